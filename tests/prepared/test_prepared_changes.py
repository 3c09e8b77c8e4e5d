"""After any changes a memory is the one that would be made of what is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import hopcore

DEPTH = 5


class Changes(RuleBasedStateMachine):
    """A memory beside a dictionary of what it holds."""

    error = 0.0

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.memory = hopcore.Memory(
            np.empty((0, DEPTH)), np.empty((0, 2)), beta=2.0, error=self.error
        )
        self.held = {}
        self.seen = []
        self.number = 0

    def drawn(self, count):
        return self.rng.standard_normal((count, DEPTH)), self.rng.standard_normal((count, 2))

    @rule(count=st.integers(0, 30))
    def add(self, count):
        patterns, values = self.drawn(count)
        keys = [f"p{self.number + i}" for i in range(count)]
        self.number += count
        self.memory.add(patterns, values, keys=keys)
        self.held.update(zip(keys, zip(patterns, values, strict=True), strict=True))

    @rule(share=st.floats(0, 1))
    def remove(self, share):
        gone = [key for key in self.held if self.rng.random() < share]
        self.memory.remove(gone)
        for key in gone:
            del self.held[key]

    @rule(share=st.floats(0, 1))
    def replace(self, share):
        keys = [key for key in self.held if self.rng.random() < share]
        patterns, values = self.drawn(len(keys))
        if keys:
            self.memory.update(keys, patterns, values)
        for key, *new in zip(keys, patterns, values, strict=True):
            del self.held[key]
            self.held[key] = tuple(new)

    @rule()
    def look(self):
        snapshot = self.memory.snapshot()
        self.seen.append((snapshot, snapshot.patterns.copy(), list(snapshot.keys)))

    @invariant()
    def holds_what_was_put_into_it(self):
        assert self.memory.keys == list(self.held)
        assert len(self.memory) == len(self.held)
        state = np.zeros((2, DEPTH))
        state[1, 0] = 1.0
        if not self.held:
            assert not hopcore.association(state, self.memory, beta=2.0).any()
            return
        patterns, values = map(np.asarray, zip(*self.held.values(), strict=True))
        np.testing.assert_array_equal(self.memory.patterns, patterns)
        fresh = hopcore.Memory(patterns, values, beta=2.0, error=self.error)
        for ask in (hopcore.association, hopcore.energy):
            got, wanted = ask(state, self.memory, beta=2.0), ask(state, fresh, beta=2.0)
            np.testing.assert_allclose(got, wanted, atol=1e-12 + 2.0 * self.error)

    @invariant()
    def snapshots_stay(self):
        for snapshot, patterns, keys in self.seen:
            np.testing.assert_array_equal(snapshot.patterns, patterns)
            assert snapshot.keys == keys


class Certified(Changes):
    error = 1e-9


SETTINGS = settings(max_examples=8, stateful_step_count=15, deadline=None)
TestChanges = Changes.TestCase
TestChanges.settings = SETTINGS
TestCertified = Certified.TestCase
TestCertified.settings = SETTINGS


@pytest.fixture(autouse=True)
def _small_memories_too(monkeypatch):
    monkeypatch.setattr("hopcore.prepared._snapshot.SMALL", 0)


@pytest.mark.full
@pytest.mark.parametrize("error", [0.0, 1e-9])
def test_ten_thousand_changes(error):
    rng = np.random.default_rng(1)
    stored = rng.standard_normal((300, 24))
    memory = hopcore.Memory(stored, beta=3.0, error=error)
    for _ in range(10_000):
        kind, keys = rng.integers(3), memory.keys
        if kind == 0:
            memory.add(rng.standard_normal(24))
        elif kind == 1 and len(keys) > 10:
            memory.remove(keys[rng.integers(len(keys))])
        else:
            memory.update(keys[rng.integers(len(keys))], rng.standard_normal(24))
    fresh = hopcore.Memory(memory.patterns, beta=3.0, error=error)
    states = memory.patterns[:50] + 0.1 * rng.standard_normal((50, 24))
    for ask in (hopcore.update, hopcore.energy):
        np.testing.assert_allclose(
            ask(states, memory, 3.0), ask(states, fresh, 3.0), atol=1e-12 + 2.0 * error
        )
