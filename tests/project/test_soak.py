"""The long random runs, for a short time; and that they find what is planted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soak import calls, laws, rounds
from soak.__main__ import main
from soak.commands import as_process, broken, within, wrong_commands
from soak.commands import files as files_to_read
from soak.damage import wrongly_read
from soak.draws import BLOCK
from soak.kills import broken_files

import hopcore
from hopcore import files
from hopcore_conformance.subject import Subject

NUMPY = Subject(hopcore.backend("numpy"), "float64")


@pytest.fixture(autouse=True)
def _quiet():
    import warnings

    with warnings.catch_warnings():
        laws.quiet()
        yield


def broken_laws(seeds: range) -> set[str]:
    return {finding.law for finding in calls.findings(seeds, NUMPY, threads=2)}


def test_nothing_is_found() -> None:
    assert broken_laws(range(300)) == set()


def test_a_seed_draws_the_same_call_again() -> None:
    one, other = calls.drawn(7, NUMPY), calls.drawn(7, NUMPY)
    assert one.function.__name__ == other.function.__name__
    assert laws.described(one.arguments) == laws.described(other.arguments)


def test_nan_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true = hopcore.update
    monkeypatch.setattr(hopcore, "update", lambda **given: true(**given) * np.nan)
    assert broken_laws(range(60)) == {"no nan"}


def test_an_error_of_another_kind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def update(**given: object) -> None:
        raise KeyError("state")

    monkeypatch.setattr(hopcore, "update", update)
    assert broken_laws(range(60)) == {"errors are ValueError or TypeError"}


def test_an_error_of_two_lines_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def update(**given: object) -> None:
        raise ValueError("no\nnever")

    monkeypatch.setattr(hopcore, "update", update)
    assert broken_laws(range(60)) == {"an error is one line"}


def test_what_depends_on_the_call_before_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def update(**given: object) -> float:
        called.append(1)
        return float(len(called))

    monkeypatch.setattr(hopcore, "update", update)
    assert broken_laws(range(60)) == {"two runs agree"}


def test_what_writes_into_its_arguments_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def update(state: np.ndarray, **given: object) -> None:
        if isinstance(state, np.ndarray) and state.flags.owndata:
            state.flags.writeable = True
            state += 1

    monkeypatch.setattr(hopcore, "update", update)
    assert broken_laws(range(60)) == {"arguments are not written to"}


def test_commands_end_in_an_answer_or_in_one_line(tmp_path: Path) -> None:
    assert list(wrong_commands(tmp_path, range(60))) == []


def test_a_traceback_of_a_command_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(words: list[str]) -> None:
        raise KeyError(words[0])

    monkeypatch.setattr("soak.commands.main", fails)
    assert len(list(wrong_commands(tmp_path, range(3)))) == 3


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    assert list(wrongly_read(tmp_path, range(400))) == []


def test_files_are_whole_whenever_their_writer_is_killed(tmp_path: Path) -> None:
    assert list(broken_files(tmp_path, seed=0, kills=2)) == []


def test_a_torn_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(path: Path) -> np.ndarray:
        raise ValueError(f"{path} is not a whole .npy file")

    monkeypatch.setattr("soak.kills.read_array", torn)
    assert files.read_array is not torn
    written, killed = broken_files(tmp_path, seed=0, kills=1)
    assert written.startswith("while they were written")
    assert killed.startswith("after a kill")
    assert "not a whole .npy file" in written


def test_calls_that_are_compiled_differ_in_their_values_alone_within_a_block() -> None:
    pytest.importorskip("jax")
    subject = Subject(hopcore.backend("jax"), "float32")

    def kinds(start: int) -> set[str]:
        drawn = [calls.drawn(seed, subject) for seed in range(start, start + 30)]
        usual = [call for call in drawn if call.sensible]
        return {f"{call.function.__name__}: {laws.described(call.arguments)}" for call in usual}

    names = {kind.split(":")[0] for kind in kinds(0)}
    assert len(names) == 2
    assert kinds(0).isdisjoint(kinds(BLOCK))
    values = [str(calls.drawn(seed, subject).arguments) for seed in range(20)]
    assert len(set(values)) == len(values)


def words_but_seconds(text: str) -> list[str]:
    """The words of a table but for the time that it states, whose width sets that of the table."""
    return re.sub("seconds .*", "", text).split()


def test_a_process_answers_like_a_call_of_the_same_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files_to_read(tmp_path)
    monkeypatch.chdir(tmp_path)

    def answers(patterns: str) -> list[tuple[object, list[str]]]:
        words = ["retrieve", "--patterns", patterns, "--queries", "Q.npy"]
        found = [run(words) for run in (as_process, within)]
        return [(code, words_but_seconds(printed + said)) for code, printed, said in found]

    for patterns, expected in (("P.npy", 0), ("torn.npy", 2)):
        process, call = answers(patterns)
        assert process == call
        assert call[0] == expected


def test_a_process_that_ends_with_a_traceback_is_found() -> None:
    (detail,) = broken([], lambda words: (1, "", "Traceback (most recent call last): ..."))
    assert detail.startswith("exit code 1: 'Traceback")


def test_a_round_is_made_again_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = hopcore.update
    monkeypatch.setattr(hopcore, "update", lambda **given: true(**given) * np.nan)
    monkeypatch.setattr(rounds, "CALLS", {"numpy": 60})
    for name, count in (("COMMANDS", 1), ("PROCESSES", 0), ("DAMAGED", 4), ("KILLS", 0)):
        monkeypatch.setattr(rounds, name, count)

    def record(seed: int, count: int, *options: str) -> dict[str, Any]:
        path = tmp_path / "record.json"
        words = ["--seed", str(seed), "--calls", str(count), "--json", str(path)]
        monkeypatch.setattr("sys.argv", ["soak", "--backend", "numpy", *words])
        assert main() == 1
        return json.loads(path.read_text())

    run, again = record(10, 61), record(11, 1)
    assert run["rounds"] == [10, 12]
    assert run["ran"]["calls on numpy"] == 120
    assert [found for found in run["found"] if found["round"] == 11] == again["found"] != []


def test_every_subject_has_its_turn_with_the_suite() -> None:
    numbers = range(0, 10 * rounds.SUITE_EVERY, rounds.SUITE_EVERY)
    assert {number % len(rounds.SUBJECTS) for number in numbers} == set(range(10))
