"""Samples that are independent of each other, and cached graphs (J.alone, J.cache)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import DiffusionConfig
from hopcore_conformance.cases.diffused import association_error, iterated, no_half, spread_error
from hopcore_conformance.cases.memory import Problem
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def clear_patterns(seed: int, count: int = 2) -> Array:
    """Patterns (count, 6, 4) whose two nearest neighbours rounding cannot change."""
    rng = np.random.default_rng(seed)
    found: list[Array] = []
    while len(found) < count:
        stored = rng.normal(size=(6, 4)) + 1.0
        if dense.neighbours(stored, 2).gap > 0.03:
            found.append(stored)
    return np.stack(found)


def batch(seed: int) -> Problem:
    """Two samples, with a graph each, of three queries and six patterns."""
    rng = np.random.default_rng(seed)
    stored = clear_patterns(seed)
    state = stored[:, :3] + 0.3 * rng.normal(size=(2, 3, 4))
    # One sample is sure, the other is not.
    return Problem(state, stored, np.asarray([[0.15], [0.6]]))


WAYS: dict[str, dict[str, Any]] = {
    "tied": {},
    "evolving": {"values": "evolving"},
    "untied": {"values": "untied"},
    "sample": {"adaptive_eta": "sample", "values": "untied"},
    "query": {"adaptive_eta": "query", "values": "untied"},
    "tied sample": {"adaptive_eta": "sample"},
    "tied query": {"adaptive_eta": "query"},
    "logit": {"use_logit_diffusion": True, "values": "untied"},
    "graph": {"attention_mode": "graph", "values": "untied"},
    "stop": {"energy_stop_tol": 0.02},
    "queries": {"diffuse_query": True, "values": "untied"},
}


def outcome(subject: Subject, p: Problem, way: str, mask: Array | None = None) -> Array:
    """The output of a form of retrieval, after one update, or with a projection, after none."""
    options = dict(WAYS[way])
    values = options.pop("values", "tied")
    config = DiffusionConfig(eta=0.2, steps=2, k_neighbors=2, **options)
    single = values == "evolving" or way in ("query", "tied query", "logit", "graph")
    updates = {} if single else {"max_steps": 1 if p.projection is None else 0}

    def call(state: Any, stored: Any, beta: Any, **given: Any) -> Any:
        found = hopcore.diffused_retrieve(
            state, stored, beta, config=config, values=values, **updates, **given
        )
        return found.output

    given = {"mask": mask, "projection": p.projection}
    return subject(call, *p.arrays, **{name: x for name, x in given.items() if x is not None})


def outcome_error(subject: Subject, p: Problem) -> Array:
    """Rounding of :func:`outcome`, (..., L): two steps, two associations, an adapted eta."""
    config = DiffusionConfig(eta=0.2, steps=2)
    found = []
    for state, stored, beta in zip(p.state, p.stored, p.beta[:, 0], strict=True):
        one = Problem(state, stored, float(beta))
        off = 4 * spread_error(subject, stored, config, 2.0)
        found.append(iterated(subject, one, off, 2) + association_error(subject, one, off))
    return np.stack(found)


@statement("J.alone", "G.batch")
@pytest.mark.parametrize("way", WAYS)
def test_samples_are_alone(subject: Subject, way: str) -> None:
    p = batch(3).on(subject)
    together = outcome(subject, p, way)
    within = 2 * outcome_error(subject, p)[..., None]
    for i in range(2):
        one = Problem(p.state[i], p.stored[i], p.beta[i])
        agree(f"sample {i}", together[i], outcome(subject, one, way), within[i])


@statement("J.alone", "B.batch")
@pytest.mark.parametrize("way", WAYS)
def test_samples_may_share_queries_and_projections(subject: Subject, way: str) -> None:
    p = batch(3)
    # Of length 4, as patterns are: so is the rounding.
    shared = Problem(p.state[0], p.stored, p.beta, projection=p.stored[1, ::-1]).on(subject)
    together = outcome(subject, shared, way)
    both = np.stack([shared.state, shared.state])
    within = 4 * outcome_error(subject, Problem(both, shared.stored, shared.beta))[..., None]
    for i in range(2):
        one = Problem(shared.state, p.stored[i], p.beta[i], projection=shared.projection)
        agree(f"sample {i}", together[i], outcome(subject, one.on(subject), way), within[i])


@statement("J.alone", "E.mask")
@pytest.mark.parametrize("way", WAYS)
def test_masked_patterns_have_no_influence(subject: Subject, way: str) -> None:
    p = batch(4)
    # What pads the first sample: three more patterns, once of ones and once anything.
    mask = np.ones((2, 1, 9), dtype=bool)
    mask[0, :, 6:] = False
    rng, found = np.random.default_rng(0), []
    first = clear_patterns(9, 1)[0][:3]
    for padding in (np.ones((3, 4)), 30.0 * rng.normal(size=(3, 4))):
        stored = np.concat([p.stored, np.stack([padding, first])], axis=1)
        padded = Problem(p.state, stored, p.beta).on(subject)
        found.append(outcome(subject, padded, way, mask)[0])
    shown = Problem(p.state, p.stored, p.beta).on(subject)
    within = 2 * outcome_error(subject, shown)[0][:, None]
    agree("with other padding", found[1], found[0], within)
    alone = Problem(shown.state[0], shown.stored[0], shown.beta[0])
    agree("without padding", found[0], outcome(subject, alone, way), within)


@statement("B.extreme", "J.alone")
@pytest.mark.parametrize("way", WAYS)
def test_the_smallest_memories_and_no_query(subject: Subject, way: str) -> None:
    p = batch(5)
    none, one = p.but(state=p.state[:, :0]), p.but(stored=p.stored[:, :1])
    assert outcome(subject, none.on(subject), way).shape == (2, 0, 4)
    thin = p.but(projection=np.zeros((2, 6, 0)))
    assert outcome(subject, thin.on(subject), way).shape == (2, 3, 0)
    # All that one pattern has to say is itself: it has no neighbour.
    alone = one.on(subject)
    within = 4 * outcome_error(subject, alone)[..., None]
    wanted = np.broadcast_to(alone.stored, alone.state.shape)
    agree("of one pattern", outcome(subject, alone, way), wanted, within)
    for stored in (0.0 * p.stored, np.repeat(p.stored[:, :1], 6, axis=1)):
        found = outcome(subject, p.but(stored=stored).on(subject), way)
        assert np.all(np.isfinite(found)), f"not finite: {found!r}"


@statement("J.energy", "J.alone")
def test_each_sample_stops_on_its_own(subject: Subject) -> None:
    no_half(subject, "its steps are of the size of the changes that stop a sample")
    p = batch(5).on(subject)
    config = DiffusionConfig(eta=0.1, steps=8, k_neighbors=2)
    levels, memories = [], []
    for i in range(2):
        weights = dense.neighbours(p.stored[i], 2).weights
        step = dense.operator(dense.laplacian(weights, True), config.eta, "factored", 1)
        memory = [np.linalg.matrix_power(step, n) @ p.stored[i] for n in range(9)]
        energies = [plain.energy(p.state[i], keys, p.beta[i]) for keys in memory]
        levels.append(np.abs(np.diff(np.mean(energies, axis=-1))))
        memories.append(memory)
    # Between the second and the third change of the one sample; the other stops elsewhere.
    tol = float(np.sqrt(levels[0][1] * levels[0][2]))
    stops = [1 + int(np.argmax(change < tol)) if np.any(change < tol) else 8 for change in levels]
    clear = min(float(np.min(np.abs(change - tol))) for change in levels)
    assert stops[0] != stops[1]
    assert clear > 4 * np.max(
        [tolerance.energy(subject, Problem(p.state[i], p.stored[i], p.beta[i])) for i in range(2)]
    )
    stopping = DiffusionConfig.from_dict({**config.to_dict(), "energy_stop_tol": tol})

    def found(state: Any, stored: Any, beta: Any) -> Any:
        options = {"config": stopping, "values": "untied"}
        return hopcore.diffused_retrieve(state, stored, beta, **options).keys

    keys = subject(found, *p.arrays)
    for i in range(2):
        within = spread_error(subject, p.stored[i], config, 2.0)
        agree(f"keys of sample {i}", keys[i], memories[i][stops[i]], within)


def cached(subject: Subject, cache: hopcore.GraphCache, patterns: Any, **mask: Any) -> Array:
    """The adjacency that a cache gives for an array of the library."""
    return subject.get(cache.get(patterns, **mask).W.to_dense())


def own(subject: Subject, values: Array) -> Any:
    """A writable array of the library."""
    return subject.backend.asarray(np.array(values), dtype=subject.dtype, device=subject.device)


@statement("J.cache")
def test_a_cached_graph_is_that_of_the_content(subject: Subject) -> None:
    values = subject.rounded(clear_patterns(1, 1)[0])
    wanted = dense.neighbours(values, 2).weights
    cache = hopcore.GraphCache(DiffusionConfig(k_neighbors=2))
    patterns = own(subject, values)
    keeps = subject.backend.can_read_values(patterns)
    within = 32 * subject.fine
    agree("adjacency", cached(subject, cache, patterns), wanted, within)
    agree("adjacency, again", cached(subject, cache, own(subject, values)), wanted, within)
    assert (cache.hits, cache.misses) == ((1, 1) if keeps else (0, 0))
    # The same address, shape and sum, other patterns.
    order = [3, 1, 0, 2, 5, 4]
    moved = wanted[order][:, order]
    assert not np.allclose(moved, wanted)
    try:
        patterns[...] = own(subject, values[order])
    except TypeError:  # arrays of this library cannot be written to
        patterns = own(subject, values[order])
    agree("adjacency of patterns that moved", cached(subject, cache, patterns), moved, within)
    # Another dtype of the same values, and a mask.
    other = "float32" if subject.dtype == "float64" else "float64"
    if not (subject.backend.name == "jax" and subject.dtype != "float64"):
        given = subject.backend.asarray(values, dtype=other, device=subject.device)
        assert cache.get(given).W.weights.dtype == getattr(subject.backend.xp, other)
    shown = np.asarray([True, True, True, True, True, False])
    mask = subject.put(shown)
    masked = cached(subject, cache, own(subject, values), mask=mask)
    agree("adjacency of what is shown", masked, dense.neighbours(values, 2, shown).weights, within)
    agree("adjacency of all", cached(subject, cache, own(subject, values)), wanted, within)
    assert cache.hits == (2 if keeps else 0)


@statement("J.cache")
def test_a_cache_is_bounded_and_can_be_shared(subject: Subject) -> None:
    sets = [subject.rounded(values) for values in clear_patterns(2, 4)]
    wanted = [dense.neighbours(values, 2).weights for values in sets]
    cache = hopcore.GraphCache(DiffusionConfig(k_neighbors=2), max_entries=2)

    def work(number: int) -> Array:
        return cached(subject, cache, own(subject, sets[number % 4]))

    work(0)
    with ThreadPoolExecutor(4) as pool:
        for number, got in enumerate(pool.map(work, range(24))):
            agree(f"adjacency {number}", got, wanted[number % 4], 32 * subject.fine)
    assert len(cache) <= 2
    # Where values are not visible there is nothing to look for, and nothing is counted.
    looks = subject.backend.can_read_values(own(subject, sets[0]))
    assert cache.hits + cache.misses == (25 if looks else 0)
    nothing = hopcore.GraphCache(DiffusionConfig(k_neighbors=2, cache_graph=False))
    nothing.get(own(subject, sets[0]))
    nothing.get(own(subject, sets[0]))
    assert (len(nothing), nothing.hits, nothing.misses) == (0, 0, 2 if looks else 0)


HELD = hopcore.GraphCache(DiffusionConfig(k_neighbors=2))


def weights_held(patterns: Any) -> Any:
    """The adjacency from a cache that already contains these patterns."""
    return HELD.get(patterns).W.to_dense()


@statement("J.cache", "G.gradient")
def test_derivatives_go_through_a_cached_graph(subject: Subject) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    values = subject.rounded(clear_patterns(6, 1)[0])
    rng = np.random.default_rng(0)
    probe = subject.precise.rounded(rng.normal(size=(6, 6)))
    HELD.clear()
    HELD.get(own(subject, values))
    along = rng.normal(size=values.shape)
    chosen = dense.neighbours(values, 2).weights > 0

    def total(x: Array) -> float:
        return float(np.sum(probe * chosen * dense.similarity(x)))

    slope = plain.slope(total, values, along, 1e-6)
    for again in range(2):
        (got,) = subject.gradient(weights_held, values, by=[0], probe=probe)
        size = float(np.sum(np.abs(probe))) * float(np.sum(np.abs(along)))
        within = (32 * subject.eps + 1e-8) * size / np.min(tolerance.norm(values))
        agree(f"slope through the cache, {again}", np.sum(got * along), slope, within)
