"""How often a loop on a GPU waits for the device, counted with a device that only has its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import hopcore
from hopcore_torch.kernels._loops import SYNCHRONISE_EVERY


@pytest.mark.parametrize(("device", "looks"), [("cpu", 20), ("cuda", 3)])
def test_the_host_looks_every_eighth_step_on_a_gpu(device: str, looks: int) -> None:
    seen = []
    value: Any = SimpleNamespace(device=SimpleNamespace(type=device))

    def goes_on(value: Any) -> bool:
        seen.append(value)
        return True

    backend: Any = hopcore.backend("torch")
    found = backend.loop(goes_on, lambda value: (value[0], value[1] + 1), (value, 0), 20)
    assert found[1] == 20
    assert len(seen) == looks


def test_a_finished_loop_makes_at_most_seven_steps_more() -> None:
    value: Any = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    backend: Any = hopcore.backend("torch")
    found = backend.loop(
        lambda value: value[1] < 1, lambda value: (value[0], value[1] + 1), (value, 0), 99
    )
    assert found[1] == SYNCHRONISE_EVERY
