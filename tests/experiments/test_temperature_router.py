"""The study of a router: its tasks, its budget, no look ahead, and its controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("torch")

from typer.testing import CliRunner

from hopcore.cli.app import app
from hopcore.experiments.data.sequences import ASK, Sequences
from hopcore.experiments.temperature_router import model as routed
from hopcore.experiments.temperature_router import tasks, trials
from hopcore.files._csv import from_csv


def small(router: str, budget: float) -> routed.RoutedClassifier:
    return routed.RoutedClassifier(
        length=tasks.LENGTH, width=16, hidden=16, router=router, budget=budget
    )


@pytest.mark.parametrize("task", tasks.TASKS)
def test_sequences_fit_the_classifier(task: str) -> None:
    found = tasks.TASKS[task](np.random.default_rng(0), 50)
    assert found.symbols.shape[1] <= tasks.LENGTH
    assert found.symbols.min() >= 0
    assert found.target.max() <= ASK
    assert found.target.shape[1] <= found.symbols.shape[1]


def test_brackets_close_the_innermost_open_one() -> None:
    found = tasks.brackets(np.random.default_rng(0), 200)
    seen_empty = False
    for symbols, target in zip(found.symbols, found.target, strict=True):
        text = "".join("([{)]}"[symbol] for symbol in symbols)
        for place, answer in enumerate(target, start=len(symbols) - len(target) + 1):
            left = text[:place]
            while (shorter := left.replace("()", "").replace("[]", "").replace("{}", "")) != left:
                left = shorter
            assert not set(left) & set(")]}")  # a beginning of a Dyck word
            seen_empty |= not left
            assert answer == ("([{".index(left[-1]) + 3 if left else ASK)
    assert seen_empty


@pytest.mark.parametrize("router", routed.ROUTERS)
@pytest.mark.parametrize("budget", [0.25, 0.5])
def test_the_cold_layer_gets_its_share(router: str, budget: float) -> None:
    model = small(router, budget)
    batch = tasks.TASKS["copy"](np.random.default_rng(0), 100)
    cooled = model.cooled(model.first_parameters(seed=0), batch.symbols)
    assert (cooled.sum(axis=1) == round(budget * cooled.shape[1])).all()
    for edge, share in ((0.0, 0.0), (1.0, 1.0)):
        every = small(router, edge)
        assert every.cooled(every.first_parameters(seed=0), batch.symbols).mean() == share


def test_the_layers_do_not_look_ahead() -> None:
    """All positions go to one layer, so that the router has nothing to choose."""
    rng = np.random.default_rng(0)
    first = rng.integers(16, size=(20, 12)).astype(np.int32)
    second = first.copy()
    second[:, 8:] = rng.integers(16, size=(20, 4))
    for budget in (0.0, 1.0):
        model = small("entropy", budget)
        parameters = model.first_parameters(seed=0)
        outputs = [
            model.outputs(parameters, Sequences(symbols, symbols))[:, :8]
            for symbols in (first, second)
        ]
        np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)


def test_a_random_choice_says_nothing_about_the_symbols() -> None:
    batch = tasks.TASKS["sums"](np.random.default_rng(0), 50)
    for router, choices in (("random", {1}), ("hashed", set(range(5, 51)))):
        one = small(router, 0.5)
        cooled = one.cooled(one.first_parameters(seed=0), batch.symbols)
        assert len(np.unique(cooled, axis=0)) in choices


def test_reversed_heats_what_entropy_cools() -> None:
    batch = tasks.TASKS["recall"](np.random.default_rng(0), 50)
    cooled = {
        router: (one := small(router, 0.5)).cooled(one.first_parameters(seed=0), batch.symbols)
        for router in routed.ROUTERS
    }
    np.testing.assert_array_equal(cooled["entropy"], cooled["room"])
    assert not (cooled["entropy"] & cooled["reversed"]).any()  # each has the half that is left
    temperatures = small("entropy", 0.5).temperatures({})[:, 0]
    assert temperatures == pytest.approx([1.0, 2.0, 0.5, 1.0])
    assert small("room", 0.5).temperatures({})[:, 0] == pytest.approx([1.0] * 4)


def test_a_router_refuses() -> None:
    with pytest.raises(ValueError, match="unknown router 'best'; known: entropy"):
        small("best", 0.5)
    with pytest.raises(ValueError, match="budget"):
        small("entropy", 1.5)


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["experiment", "temperature-router", "--steps", "2", "--seeds", "2", "--task", "sums"]
    done = CliRunner().invoke(app, [*call, "--budget", "0.5"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("temperature-router.csv").read_text(), trials.Trial)
    assert [row.router for row in rows] == [*routed.ROUTERS] * 2
    assert Path("temperature-router.png").read_bytes().startswith(b"\x89PNG")
    wrong = CliRunner().invoke(app, [*call, "--budget", "2"])
    assert wrong.exit_code != 0
