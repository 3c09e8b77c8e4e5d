"""Plain calls with a prepared memory give the results and the errors of the usual way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.memory._plain_calls import PLAINLY


@pytest.mark.parametrize("similarity", ["dot", "distance"])
@pytest.mark.parametrize("error", [0.0, 1e-6])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (1, 7), (5, 7), (2, 3, 7), (2, 0, 7)])
@pytest.mark.parametrize("special", ["", "bias", "values", "removed", "entmax", "large"])
def test_results_are_those_of_the_usual_way(
    similarity: Any, error: float, kind: Any, shape: tuple[int, ...], special: str
) -> None:
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((40, 7)).astype(kind)
    options: dict[str, Any] = {"similarity": similarity, "error": error, "beta": 2.0}
    if special == "bias":
        options["bias"] = rng.standard_normal(40)
    if special == "values":
        options["values"] = rng.standard_normal((40, 3)).astype(kind)
    if special == "entmax":
        options["separation"] = "entmax15"
    memory = hopcore.Memory(stored, **options)
    if special == "removed":
        memory.remove([3, 5])
    state = rng.standard_normal(shape).astype(kind)
    if special == "large":
        state *= kind(1e18)
    for held in (memory, memory.snapshot()):
        got = hopcore.association(state, held, beta=2.0)
        np.testing.assert_array_equal(got, hopcore.association(state, held, beta=2.0, mask=None))
        assert got.shape == (*shape[:-1], 3 if special == "values" else 7)
        got = hopcore.update(state, held, 2)
        np.testing.assert_array_equal(got, hopcore.update(state, held, 2.0, mask=None))


@pytest.mark.parametrize(
    ("state", "beta", "message"),
    [
        (np.full(7, np.nan), 1.0, "nan"),
        (np.zeros(6), 1.0, "6"),
        (np.zeros(7), -1.0, "beta"),
        (np.zeros(7), np.inf, "beta"),
        (np.zeros(()), 1.0, "state"),
        (np.zeros(7, np.float32), 1.0, "float32"),
    ],
)
@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_errors_are_those_of_the_usual_way(
    state: Any, beta: float, message: str, similarity: Any
) -> None:
    memory = hopcore.Memory(np.eye(7), similarity=similarity)
    with pytest.raises((ValueError, TypeError), match=message) as usual:
        hopcore.association(state, memory, beta=beta, mask=None)
    with pytest.raises((ValueError, TypeError), match=message) as plain:
        hopcore.association(state, memory, beta=beta)
    assert str(plain.value) == str(usual.value)


@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_plain_calls_take_the_short_way(similarity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = hopcore.Memory(np.eye(7), similarity=similarity)
    right, found = PLAINLY[hopcore.Memory], []

    def counted(*given: Any) -> Any:
        found.append(right(*given))
        return found[-1]

    monkeypatch.setitem(PLAINLY, hopcore.Memory, counted)
    hopcore.association(np.zeros(7), memory, beta=1.0)
    hopcore.association(np.zeros(7), memory, beta=1.0, separation="softmax")
    hopcore.association([0.0] * 7, memory, beta=1.0)
    assert [one is None for one in found] == [False, False, True]
