"""Certificates are never violated; the exact association is computed in extended precision."""

from __future__ import annotations

import numpy as np
import pytest
from exact_associations import KINDS, WIDTHS, check_certificate, exact, patterns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

import hopcore
from hopcore.prepared import _answers
from hopcore.prepared._partial import Habit
from hopcore.prepared._probe import Probe


@pytest.fixture(autouse=True)
def _small_memories_too(monkeypatch):
    monkeypatch.setattr("hopcore.prepared._snapshot.SMALL", 0)


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depth = draw(st.sampled_from(WIDTHS))
    count = draw(st.sampled_from((1, 2, 5, 40, 200, 700) if depth < 2000 else (1, 30)))
    unit = draw(st.sampled_from((1.0, 1.0, 1e-15, 1e15)))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    kind = draw(st.sampled_from(KINDS))
    stored = (patterns(rng, kind, count, depth) * unit).astype(dtype)
    values, bias = None, None
    if draw(st.booleans()):
        scale = 10.0 ** draw(st.integers(-3, 3))
        values = (rng.standard_normal((count, draw(st.integers(1, 4)))) * scale).astype(dtype)
    if draw(st.booleans()):
        bias = rng.standard_normal(count) * 10.0 ** draw(st.integers(-1, 2))
    memory = hopcore.Memory(
        stored,
        values,
        similarity=draw(st.sampled_from(("distance", "dot"))),
        separation=draw(st.sampled_from(("softmax", "softmax", "sparsemax"))),
        beta=1.0,
        error=unit * 10.0 ** draw(st.floats(-10, 0)),
        bias=bias,
    )
    if count > 4 and draw(st.booleans()):
        memory.remove(rng.choice(count, count // 3, replace=False).tolist())
        if values is None:
            memory.add((stored[:2] + unit).astype(dtype))
    noise = unit * 10.0 ** draw(st.floats(-3, 1))
    state = (stored[rng.integers(count)] + noise * rng.standard_normal(depth)).astype(dtype)
    beta = 10.0 ** draw(st.floats(-4, 6)) / unit / unit
    return memory, state, beta


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_certificates_hold(case):
    memory, state, beta = case
    check_certificate(memory, memory, state, beta)


@pytest.mark.full
@settings(max_examples=5000, deadline=None)
@given(case=cases())
def test_certificates_hold_in_many_cases(case):
    memory, state, beta = case
    check_certificate(memory, memory, state, beta)


def test_what_is_left_out_is_within_the_error():
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((2000, 96))
    memory = hopcore.Memory(stored, beta=4.0, error=1e-6)
    states = stored[:20] + 0.1 * rng.standard_normal((20, 96))
    output, certificate = memory.association(states, return_certificate=True)
    assert (certificate < 1.0001e-6).all()
    plain = hopcore.association(states, stored, beta=4.0, similarity="distance")
    assert np.linalg.norm(output - plain, axis=-1).max() < 1e-9
    np.testing.assert_array_equal(hopcore.association(states, memory, beta=4.0), output)


@pytest.mark.parametrize("separation", ["softmax", "sparsemax", "entmax15", "entmax:3"])
@pytest.mark.parametrize("similarity", ["distance", "dot"])
def test_retrieval_energies_and_weights(separation, similarity):
    rng = np.random.default_rng(1)
    stored = rng.standard_normal((600, 40))
    options = {"similarity": similarity, "separation": separation}
    memory = hopcore.Memory(stored, beta=3.0, error=1e-9, **options)
    states = np.concatenate([stored[:8] + 0.1 * rng.standard_normal((8, 40)), np.zeros((1, 40))])
    got, wanted = (
        hopcore.retrieve(states, memory, 3.0),
        hopcore.retrieve(states, stored, 3.0, **options),
    )
    np.testing.assert_allclose(got.state, wanted.state, atol=1e-6)
    np.testing.assert_allclose(got.energy, wanted.energy, atol=1e-6)
    np.testing.assert_array_equal(got.index[:8], wanted.index[:8])
    np.testing.assert_allclose(got.certain[:8], wanted.certain[:8], atol=1e-6)
    weights = hopcore.association_weights(states, memory, 3.0)
    wanted = hopcore.association_weights(states, stored, 3.0, **options)
    np.testing.assert_allclose(weights, wanted, atol=1e-12)
    found = hopcore.statistics(states, memory, 3.0)
    wanted = hopcore.statistics(states, stored, 3.0, **options)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_the_certificate_of_a_retrieval_bounds_its_exact_update():
    rng = np.random.default_rng(2)
    stored = rng.standard_normal((700, 30)).astype(np.float32)
    memory = hopcore.Memory(stored, beta=2.0, error=1e-5)
    found = memory.retrieve(stored[:5] + np.float32(0.3))
    for state, certificate in zip(found.state, found.certificate, strict=True):
        apart = exact(state, memory, 2.0) - state
        assert np.sqrt((apart * apart).sum()) <= certificate < 1e-3
    with pytest.raises(AttributeError, match="a memory that gives some"):
        hopcore.retrieve(stored[:1], stored, 2.0).certificate  # noqa: B018


@pytest.mark.parametrize("similarity", ["distance", "dot"])
@pytest.mark.parametrize(("mean", "unit"), [(0.0, 1.0), (1e2, 1.0), (1e6, 1.0), (0.0, 1e-90)])
def test_certificates_with_all_patterns_stay_small_far_from_the_origin(similarity, mean, unit):
    rng = np.random.default_rng(14)
    stored = unit * (rng.standard_normal((300, 20)) + mean)
    beta = 1e-3 / unit**2
    memory = hopcore.Memory(stored, similarity=similarity, beta=beta, error=1e-9 * unit)
    state = unit * rng.standard_normal(20) / (1.0 + mean) + (similarity == "distance") * unit * mean
    output, certificate = memory.association(state, return_certificate=True)
    apart = output.astype(np.longdouble) - exact(state, memory, beta)
    assert np.sqrt((apart / unit) @ (apart / unit)) <= certificate / unit < 1e-12 * (10.0 + mean)
    assert memory.visits(state).patterns == 300


def test_leading_axes_and_an_inverse_temperature_for_each_query():
    rng = np.random.default_rng(3)
    stored = rng.standard_normal((500, 20))
    memory = hopcore.Memory(stored, beta=2.0, error=1e-9)
    states, beta = rng.standard_normal((2, 3, 20)), np.asarray([[0.01], [5.0]])
    got = hopcore.association(states, memory, beta=beta)
    wanted = hopcore.association(states, stored, beta=beta, similarity="distance")
    np.testing.assert_allclose(got, wanted, atol=1e-8)


def test_a_memory_stops_trying_where_few_patterns_are_not_enough():
    habit = Habit()
    tried = 0
    for _ in range(1000):
        if habit.allows(0.1):
            tried += 1
            habit.saw(0.1, answered=False)
    assert tried < 120
    assert habit.allows(1.0)
    habit.saw(0.05, answered=True)
    assert habit.allows(0.1)


def test_a_probe_says_where_the_sketch_excludes_too_few_patterns():
    rng = np.random.default_rng(5)
    stored = rng.standard_normal((6000, 100))
    for similarity, near in (("distance", 0.1), ("dot", 0.0)):
        memory = hopcore.Memory(stored, beta=1.0, error=1e-6, similarity=similarity)
        states = stored[:4] + near * rng.standard_normal((4, 100))
        probe = memory.snapshot().probe
        assert all(probe.in_vain(state, 1e-3, 30.0) for state in states)
        assert not any(probe.in_vain(state, 1e2, 30.0) for state in states)


def test_a_probe_looks_at_patterns_that_were_not_removed():
    rng = np.random.default_rng(6)
    far = rng.standard_normal((3000, 100))
    near = np.tile(rng.standard_normal(100), (3000, 1)) + 1e-3 * far
    memory = hopcore.Memory(np.concatenate([far, near]), beta=1.0, error=1e-6)
    assert memory.snapshot().probe.in_vain(near[0], 50.0, 30.0)
    memory.remove(memory.keys[3500:])
    assert not memory.snapshot().probe.in_vain(near[0], 50.0, 30.0)


def test_a_warm_memory_is_known_without_a_look_at_the_states():
    rng = np.random.default_rng(8)
    stored = rng.standard_normal((6000, 100))
    for similarity in ("distance", "dot"):
        memory = hopcore.Memory(stored, beta=1.0, error=1e-6, similarity=similarity)
        warmest = memory.snapshot().probe.warmest(30.0)
        probe = memory.snapshot().probe
        assert all(probe.in_vain(state, warmest, 30.0) for state in stored[:50])
        assert 1e-2 < warmest < 1e2
        assert 1e-2 < memory.snapshot().warmest < 1e2
    biased = hopcore.Memory(stored, beta=1.0, error=1e-6, bias=np.linspace(0.0, 1e3, 6000))
    assert biased.snapshot().warmest == 0.0


def test_in_vain_is_not_tried_and_what_was_enough_is_not_asked(monkeypatch):
    rng = np.random.default_rng(7)
    stored = rng.standard_normal((6000, 100)).astype(np.float32)
    memory = hopcore.Memory(stored, beta=1.0, error=1e-6)
    asked = []
    monkeypatch.setattr(Probe, "in_vain", counted(Probe.in_vain, asked))
    monkeypatch.setattr(_answers, "answer_if_most", counted(_answers.answer_if_most, tried := []))
    warmest = memory.snapshot().warmest
    for beta in (1e-3, 0.5 * warmest, 1.9 * warmest, 100.0, 100.0, 100.0):
        hopcore.association(stored[:1], memory, beta=beta)
    assert (len(asked), len(tried)) == (3, 2)  # one at each new beta that is not surely in vain


@pytest.mark.parametrize("similarity", ["distance", "dot"])
@pytest.mark.parametrize("biased", [False, True])
def test_a_probe_with_the_level_of_all_patterns_knows_queries_far_from_them(
    similarity: str, biased: bool
) -> None:
    rng = np.random.default_rng(11)
    flat = np.pad(rng.standard_normal((6000, 8)) + 3.0, ((0, 0), (0, 92)))
    stored = flat + 0.1 * rng.standard_normal((6000, 100))
    bias = rng.uniform(-1.0, 1.0, 6000) if biased else None
    memory = hopcore.Memory(stored, beta=1.0, error=1e-6, similarity=similarity, bias=bias)
    distance, probe = similarity == "distance", memory.snapshot().probe
    near = stored[:8]
    far = near + np.pad(10.0 * rng.standard_normal((8, 92)), ((0, 0), (8, 0)))
    for states, vain in ((near, False), (far, True)):
        apart, products = cdist(states, stored, "sqeuclidean"), states @ stored.T
        scores = 100.0 * (-0.5 * apart if distance else products)
        level = logsumexp(scores + (bias if biased else 0.0), axis=-1)
        for state, own in zip(states, level, strict=True):
            assert probe.in_vain(state, 100.0, 20.0, float(own)) == vain
    if distance:
        # Without the level they may be near.
        assert not any(probe.in_vain(state, 100.0, 20.0) for state in far)


def test_the_first_query_at_a_beta_reads_all_patterns_and_tells_whether_few_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(12)
    stored = rng.standard_normal((6000, 100))
    far = 0.5 * (stored[:8] + stored[8:16]) + rng.standard_normal((8, 100))
    monkeypatch.setattr(_answers, "answer_if_most", counted(_answers.answer_if_most, tried := []))
    for states, expected in ((far, 0), (stored[:8] + 0.1, 7)):
        memory = hopcore.Memory(stored, beta=100.0, error=1e-6)
        tried.clear()
        for state in states:
            got = hopcore.association(state, memory, beta=100.0)
            wanted = hopcore.association(state, stored, beta=100.0, similarity="distance")
            np.testing.assert_allclose(got, wanted, atol=1e-6)
        assert len(tried) == expected


def counted(function, calls):
    def wrapped(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return wrapped
