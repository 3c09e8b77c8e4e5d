"""Compact kernels where the conformance suite does not look: options, refusals, larger memories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.oracle import compact as plain

OPTIONS = {"separation": "epanechnikov", "similarity": "distance"}


@pytest.mark.parametrize("p", [0, -1, 17, 1.5, "1", None, True, float("nan")])
def test_bad_powers_are_refused(p: object) -> None:
    with pytest.raises((TypeError, ValueError), match="p must be") as refused:
        hopcore.Epanechnikov(p)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_large_power_is_nearly_the_softmax() -> None:
    rng = np.random.default_rng(0)
    stored, state = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    kernel = hopcore.Epanechnikov(16)
    got = hopcore.update(state, stored, 0.2 / 15, separation=kernel, similarity="distance")
    wanted = hopcore.update(state, stored, 0.2, similarity="distance")
    assert np.max(np.abs(got - wanted)) < 0.05
    far = hopcore.update(state, stored, 0.2 / 15, **OPTIONS)
    assert np.max(np.abs(far - wanted)) > 0.2


def test_far_from_the_origin() -> None:
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(20, 3))
    wanted = hopcore.retrieve(stored[:5], stored, 4.0, **OPTIONS)
    got = hopcore.retrieve(stored[:5] + 1e6, stored + 1e6, 4.0, **OPTIONS)
    assert np.max(np.abs(got.state - 1e6 - wanted.state)) < 1e-9
    assert np.max(np.abs(got.energy - wanted.energy)) < 1e-8


def test_known_coordinates() -> None:
    stored = np.asarray([[0.0, 0.0, 1.0], [4.0, 4.0, 5.0]])
    state = [[0.1, 0.2, np.nan], [4.0, 4.3, np.nan], [9.0, 0.0, np.nan]]
    known = np.asarray([True, True, False])
    found = hopcore.retrieve(state, stored, 2.0, separation="epanechnikov", known=known)
    wanted = [[0.1, 0.2, 1.0], [4.0, 4.3, 5.0], [9.0, 0.0, 0.0]]
    assert np.allclose(found.state, wanted, atol=1e-12)
    assert found.index.tolist() == [0, 1, -1]


def test_scores_may_be_separated() -> None:
    got = hopcore.separate(np.asarray([[-0.25, -0.5, -1.0], [-2.0, -3.0, -np.inf]]), "epanechnikov")
    assert got.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    got = hopcore.separate(np.asarray([-0.25, -0.5, -1.0]), hopcore.Epanechnikov(2))
    assert np.allclose(got, [0.6, 0.4, 0.0])
    wide = np.full((1, 500), -0.5)
    wide[0, 0] = 40.0  # no distance, but a user's number
    assert np.allclose(hopcore.separate(wide, "epanechnikov"), np.full((1, 500), 1 / 500))


def test_where_distances_are_not_taken_it_is_refused() -> None:
    stored = np.eye(3)
    with pytest.raises(ValueError, match="similarity='distance'"):
        hopcore.suggest_beta(stored, separation="epanechnikov")
    with pytest.raises(ValueError, match="similarity='distance'"):
        hopcore.memory.get_separation("epanechnikov")
    with pytest.raises(ValueError, match="return_lse"):
        hopcore.association(stored, stored, beta=1.0, return_lse=True, **OPTIONS)
    assert hopcore.memory.get_separation("epanechnikov", "distance") == hopcore.Epanechnikov()


def test_statistics_say_that_they_have_no_derivative() -> None:
    torch = pytest.importorskip("torch")
    state = torch.full((1, 2), 0.4, dtype=torch.float64, requires_grad=True)
    stored = torch.eye(2, dtype=torch.float64)
    options = {"similarity": "distance", "separation": hopcore.Epanechnikov(2)}
    found = hopcore.statistics(state, stored, 1.0, **options)
    with pytest.raises(TypeError, match="no derivative"):
        found.entropy.sum().backward()
    hopcore.statistics(state, stored, 1.0, **OPTIONS).energy.sum().backward()
    wanted = hopcore.energy_gradient(state.detach(), stored, 1.0, **OPTIONS)
    assert torch.allclose(state.grad, wanted)


@settings(deadline=None)  # the first call imports SciPy
@given(
    rng=st.integers(0, 2**32 - 1).map(np.random.default_rng),
    factor=st.sampled_from((0.6, 1.0, 3.0)),
)
def test_retrieved_minima_are_minima(rng: np.random.Generator, factor: float) -> None:
    """With more patterns than are enumerated, sets come from retrieval."""
    stored = rng.normal(size=(18, 2))
    apart = plain.square_distances(stored, stored)[np.triu_indices(18, 1)]
    beta = 2.0 / (factor * np.median(apart) / 4.0)
    found = hopcore.phase.compact_minima(stored, beta)
    assert not found.exhaustive
    assert len(found.size) >= 1
    states = np.asarray(found.state)
    inside = plain.square_distances(states, stored) < 2.0 / beta
    assert np.array_equal(inside, found.members)
    assert len({row.tobytes() for row in inside}) == len(inside)
    at_rest = hopcore.update(states, stored, beta, **OPTIONS)
    assert np.max(np.abs(at_rest - states)) < 1e-12


def test_no_minimum_beside_copies() -> None:
    stored = np.asarray([[0.0], [0.0], [9.0]])
    found = hopcore.phase.compact_minima(stored, 2.0)
    assert found.size.tolist() == [1, 2]
    assert found.emergent.tolist() == [False, False]
    # At exactly the radius a pattern pulls: the other one is at rest, and no minimum.
    found = hopcore.phase.compact_minima(np.asarray([[0.0], [1.0]]), 2.0)
    assert found.state.tolist() == [[0.5]]


def test_no_start_in_reach() -> None:
    found = hopcore.phase.compact_minima(np.eye(2), 8.0, starts=np.full((3, 2), 50.0))
    assert found.state.shape == (0, 2)
    assert not found.exhaustive
