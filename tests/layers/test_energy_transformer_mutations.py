"""The conformance suite can fail: each fault in the energy transformer block is caught."""

from __future__ import annotations

from typing import Any

import pytest
from planting import MUTANTS, Mutant, core, mutant

BEFORE = len(MUTANTS)
BLOCK = "layers._energy_transformer"


def replaced(patch: pytest.MonkeyPatch, wrong: Any) -> None:
    right = core(BLOCK).descent
    patch.setattr(core(BLOCK), "descent", lambda now: wrong(right, now))


@mutant("a step up the energy", "L.step L.descent")
def ascent(patch: pytest.MonkeyPatch) -> None:
    replaced(patch, lambda right, now: -right(now))


@mutant("keys that get nothing from queries", "L.step")
def one_way(patch: pytest.MonkeyPatch) -> None:
    def wrong(right: Any, now: Any) -> Any:
        joined = core(BLOCK).Tokens.joined
        patch.setattr(
            core(BLOCK).Tokens, "joined",
            lambda self, heads, name: joined(self, heads, name) * (name == "query"),
        )  # fmt: skip
        return right(now)

    replaced(patch, wrong)


@mutant("padding that is a key", "L.step L.energy")
def attended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core(BLOCK).Tokens, "mask", property(lambda self: None))


@mutant("a memory that is not rectified", "L.energy L.step")
def linear(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, g: Any) -> Any:
        return self.backend.linear(g, self.parameters["memory_weight"], None)

    patch.setattr(core(BLOCK).Tokens, "hidden", wrong)


@mutant("padding that moves", "L.padding")
def moving(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core(BLOCK).Tokens, "only_shown", lambda self, values: values)
    right = core(BLOCK).tokens_of

    def wrong(settings: Any, parameters: Any, tokens: Any, padding: Any) -> Any:
        return right(settings, parameters, tokens, None)

    patch.setattr(core(BLOCK), "tokens_of", wrong)


OURS = MUTANTS[BEFORE:]


@pytest.mark.parametrize("mutant", OURS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
