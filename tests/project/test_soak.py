"""The long random runs, for a short time; and that they find what is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from soak import calls, laws
from soak.commands import wrong_commands
from soak.damage import wrongly_read
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
    (found,) = broken_files(tmp_path, seed=0, kills=1)
    assert "not a whole .npy file" in found
