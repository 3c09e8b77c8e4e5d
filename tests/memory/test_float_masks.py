"""Float masks: which are refused, their derivatives, and which memories accept them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore

RNG = np.random.default_rng(0)
STORED = RNG.normal(size=(6, 4))
STATE = RNG.normal(size=(3, 4))
NUMBERS = RNG.normal(size=(3, 6))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_neither_finite_nor_minus_infinity(wrong: float) -> None:
    mask = NUMBERS.copy()
    mask[1, 2] = wrong
    with pytest.raises(ValueError, match=rf"mask of numbers must hold .* got {wrong} at index \(1"):
        hopcore.association(STATE, STORED, beta=1.0, mask=mask)


@pytest.mark.parametrize("mask", [np.zeros((3, 5)), np.ones((3, 5)), np.ones((2, 6))])
def test_numbers_of_another_shape(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"mask must broadcast to \(\.\.\., L, S\)"):
        hopcore.retrieve(STATE, STORED, 1.0, mask=mask)


def test_what_takes_no_numbers_of_each_query() -> None:
    with pytest.raises(TypeError, match=r"a memory in parts has too many; .* are bias="):
        hopcore.association(STATE, hopcore.Streamed(STORED), beta=1.0, mask=NUMBERS)
    with pytest.raises(ValueError, match="statistics take no mask of numbers for each query"):
        hopcore.statistics(STATE, STORED, 1.0, mask=NUMBERS)
    with pytest.raises(ValueError, match="would change the radius of a pattern"):
        hopcore.retrieve(STATE, STORED, 1.0, mask=NUMBERS, separation="epanechnikov")


def test_numbers_of_the_patterns_are_a_bias() -> None:
    row = NUMBERS[:1]
    wanted = hopcore.association(STATE, STORED, beta=1.0, bias=row[0])
    for memory in (STORED, hopcore.Streamed(STORED, rows=4)):
        found = hopcore.association(STATE, memory, beta=1.0, mask=row)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    effective = hopcore.statistics(STATE, STORED, 1.0, mask=row[0]).effective
    np.testing.assert_allclose(
        effective, hopcore.statistics(STATE, STORED, 1.0, bias=row[0]).effective
    )


def test_numbers_without_effect_are_a_boolean_mask() -> None:
    allowed = NUMBERS > -0.5
    mask = np.where(allowed, 0.0, -np.inf)
    found = hopcore.retrieve(STATE, STORED, 2.0, mask=mask)
    wanted = hopcore.retrieve(STATE, STORED, 2.0, mask=allowed)
    np.testing.assert_array_equal(found.state, wanted.state)


@pytest.mark.parametrize("gradient", ["unrolled", "implicit"])
def test_learned_masks_have_derivatives(gradient: Any) -> None:
    torch = pytest.importorskip("torch")
    state, stored = torch.tensor(STATE), torch.tensor(STORED)

    def retrieved(mask: Any) -> Any:
        options: dict[str, Any] = {"mask": mask, "gradient": gradient}
        return hopcore.retrieve(state, stored, 0.3, **options, max_steps=200, tol=1e-13).state

    for start in (NUMBERS, np.zeros((3, 6))):  # a mask that is learned often starts at zero
        mask = torch.tensor(start, requires_grad=True)
        assert torch.autograd.gradcheck(retrieved, mask, atol=1e-5)


def test_masks_under_a_trace() -> None:
    jax = pytest.importorskip("jax")
    state, stored, mask = (jax.numpy.asarray(x) for x in (STATE, STORED, NUMBERS))
    found = jax.jit(lambda mask: hopcore.retrieve(state, stored, 0.5, mask=mask).state)(mask)
    wanted = hopcore.retrieve(STATE, STORED, 0.5, mask=NUMBERS).state
    np.testing.assert_allclose(found, wanted, atol=1e-4)
