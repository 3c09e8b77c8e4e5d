"""The Dask backend: chunks of every kind, and nothing computed before it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")

RNG = np.random.default_rng(0)
STATE, STORED = RNG.normal(size=(2, 5, 4)), RNG.normal(size=(7, 4))
MASK = RNG.random((2, 5, 7)) < 0.7
CHUNKS = {
    "one": ((2, 5, 4), (7, 4), (2, 5, 7)),
    "queries": ((1, 2, 4), (7, 4), (1, 2, 7)),
    "patterns": ((2, 5, 4), (3, 4), (2, 5, 2)),
    "features": ((2, 3, 3), (4, 1), (2, 2, 5)),
}


def pieces(kind: str) -> tuple[Any, ...]:
    """State, stored patterns and mask in chunks."""
    arrays = (STATE, STORED, MASK)
    return tuple(da.from_array(x, chunks=c) for x, c in zip(arrays, CHUNKS[kind], strict=True))


def refuses(graph: Any, keys: Any, **options: Any) -> Any:
    """A scheduler for what has to stay lazy."""
    raise AssertionError("something was computed")


@pytest.mark.parametrize("separation", ["softmax", "sparsemax", hopcore.Entmax(1.5)], ids=repr)
@pytest.mark.parametrize("kind", CHUNKS)
def test_chunks_change_nothing_and_formulas_stay_lazy(kind: str, separation: Any) -> None:
    state, stored, mask = pieces(kind)
    options: dict[str, Any] = {"separation": separation}
    for function in (hopcore.energy, hopcore.update, hopcore.association_weights):
        with dask.config.set(scheduler=refuses):
            lazy = function(state, stored, 2.0, mask=mask, **options)
        assert isinstance(lazy, da.Array)
        wanted = function(STATE, STORED, 2.0, mask=MASK, **options)
        assert lazy.shape == wanted.shape
        np.testing.assert_allclose(lazy.compute(), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", CHUNKS)
def test_retrieval_of_chunks(kind: str) -> None:
    state, stored, mask = pieces(kind)
    found = hopcore.retrieve(state, stored, 2.0, mask=mask)
    wanted = hopcore.retrieve(STATE, STORED, 2.0, mask=MASK)
    np.testing.assert_allclose(found.state.compute(), wanted.state, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found.steps.compute(), wanted.steps)


def test_graphs_of_chunks() -> None:
    patterns = da.from_array(STORED, chunks=(3, 2))
    graph, wanted = hopcore.knn_graph(patterns, 2), hopcore.knn_graph(STORED, 2)
    np.testing.assert_allclose(graph.to_dense().compute(), wanted.to_dense(), atol=1e-14)


def test_it_is_found_from_its_arrays() -> None:
    array = da.from_array(STORED, chunks=3)
    assert hopcore.backend("dask.array") is hopcore.backend("dask.array")
    assert type(hopcore.update(array, array, 1.0)) is da.Array
    assert type(hopcore.energy(array, STORED, 1.0)) is da.Array
