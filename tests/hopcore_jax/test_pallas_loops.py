"""A retrieval with the kernels in Pallas is one loop on the device, as lowered for CUDA."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import hopcore
from hopcore_jax.kernels import _backend
from hopcore_jax.kernels.pallas import using_kernels

KERNEL = "xla.gpu.triton"


@pytest.mark.parametrize("separation", ["softmax", "entmax15"])
def test_the_host_does_not_look(separation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieved(state: Any) -> Any:
        stored = jnp.ones((40, 3))
        return hopcore.retrieve(state, stored, 1.0, separation=separation, max_steps=99).state

    with using_kernels("auto"):
        monkeypatch.setattr(_backend, "uses_pallas", lambda device: True)
        traced = jax.jit(retrieved).trace(jnp.ones((2, 3)))
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.while") == 1
    # The kernels of one step, however many steps there are, and those at rest.
    assert 1 <= text.count(KERNEL) <= 3
    others = set(re.findall(r"custom_call @(\w+)", text.replace(KERNEL, "kernel")))
    assert not any("callback" in name for name in others)
