"""Batches of queries: each is answered as it would be alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.prepared._excluded import GROUP, best_of_groups, highest_of_groups, not_excluded
from hopcore.prepared._partial import MANY
from hopcore.prepared._survivors import survivors as survivors_of


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 5 * GROUP + 3),
    queries=st.integers(2, 6),
)
def test_the_highest_bounds_of_groups_tell_the_highest_bound(seed, count, queries):
    bounds = np.random.default_rng(seed).integers(-3, 4, (queries, count)).astype(np.float32)
    sieve = highest_of_groups(bounds)
    best = best_of_groups(bounds, sieve)
    np.testing.assert_array_equal(bounds[np.arange(queries), best], bounds.max(axis=1))
    np.testing.assert_array_equal(sieve.max(axis=1), bounds.max(axis=1))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.sampled_from((2, 17, 60)),
    dtype=st.sampled_from((np.float32, np.float64)),
    similarity=st.sampled_from(("distance", "dot")),
    removed=st.booleans(),
    biased=st.booleans(),
    cold=st.floats(-2, 4),
)
def test_a_block_of_queries_keeps_what_each_query_keeps_alone(
    seed, depth, dtype, similarity, removed, biased, cold
):
    rng = np.random.default_rng(seed)
    stored = rng.standard_normal((300, depth)).astype(dtype)
    bias = rng.standard_normal(300) if biased else None
    memory = hopcore.Memory(stored, beta=1.0, error=1e-6, similarity=similarity, bias=bias)
    if removed:
        memory.remove(rng.choice(300, 100, replace=False).tolist())
    sketch = memory.snapshot().sketched
    assert sketch is not None
    states = stored[:9] + dtype(0.1) * rng.standard_normal((9, depth)).astype(dtype)
    states[8] = np.nan  # never gets here, and would exclude nothing
    query, size, centred = sketch.directions.query(states)
    bounds = (query @ sketch.table.T).astype(np.float64 if biased else np.float32)
    if removed:
        assert sketch.dead is not None
        bounds[:, sketch.dead] = -np.inf
    given = np.full(9, 10.0**cold) * sketch.directions.scale**2
    with np.errstate(invalid="ignore", over="ignore"):
        together = not_excluded(sketch, bounds, centred, size, given, 20.0, 60)
        for i, rows in enumerate(together):
            part = slice(i, i + 1)
            alone = not_excluded(
                sketch, bounds[part], centred[part], size[part], given[part], 20.0, 60
            )[0]
            if alone is None:
                assert rows is None
            else:
                np.testing.assert_array_equal(rows, alone)
    assert together[8] is None


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
@pytest.mark.parametrize("similarity", ["distance", "dot"])
@pytest.mark.parametrize("count", [5, MANY + 7])
def test_batches_give_the_results_of_single_queries(separation, similarity, count, monkeypatch):
    monkeypatch.setattr("hopcore.prepared._survivors.BLOCK", 30_000)
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((2400, 16)) @ rng.standard_normal((16, 500)) / 4.0
    stored = stored.astype(np.float32)
    options = {"separation": separation, "similarity": similarity}
    memory = hopcore.Memory(stored, beta=0.5, error=1e-6, **options)
    noise = np.where(np.arange(count) % 9, 0.2, 30.0)  # some queries need all patterns
    states = stored[:count] + (noise[:, None] * rng.standard_normal((count, 500)))
    states = states.astype(np.float32)
    output, certificate = memory.association(states, return_certificate=True)
    for i in range(0, count, 5):
        one, bound = memory.association(states[i], return_certificate=True)
        apart = np.linalg.norm(output[i].astype(np.float64) - one)
        assert apart <= float(certificate[i]) + float(bound)
    patterns, _ = memory.visits(states)
    assert (patterns[noise == 0.2] < 20).all() or similarity == "dot"


def test_a_batch_in_vain_reads_the_sketch_for_a_few_queries_only(monkeypatch):
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((2000, 300)).astype(np.float32)
    memory = hopcore.Memory(stored, beta=1e-3, error=1e-6)
    asked = []
    right = survivors_of

    def survivors(memory, states, *given):
        asked.append(len(states))
        return right(memory, states, *given)

    monkeypatch.setattr("hopcore.prepared._partial.survivors", survivors)
    memory.association(stored[:256])
    assert sum(asked) <= 16
