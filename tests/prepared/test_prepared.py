"""A prepared memory gives the results of its patterns, for every library and option."""

from __future__ import annotations

import copy
import pickle
import threading
from functools import partial

import numpy as np
import pytest

import hopcore

rng = np.random.default_rng(0)
X, Q, V = rng.standard_normal((50, 6)), rng.standard_normal((4, 6)), rng.standard_normal((50, 3))
ASKED = (
    hopcore.association,
    hopcore.update,
    hopcore.energy,
    hopcore.energy_gradient,
    hopcore.association_weights,
    hopcore.statistics,
    partial(hopcore.retrieve, max_steps=5),
)
LIBRARIES = ("numpy", "torch", "jax", "array_api_strict")


def leaves(found):
    return [np.asarray(x) for x in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("similarity", ["dot", "distance"])
@pytest.mark.parametrize("separation", ["softmax", "sparsemax", "entmax15", "normmax:2"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_results_are_those_of_the_patterns(library, separation, similarity):
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    put = partial(backend.asarray, dtype="float32")
    state, plain = put(Q), put(X)
    memory = hopcore.Memory(plain, similarity=similarity, separation=separation, beta=2.0)
    options = {"similarity": similarity, "separation": separation}
    for ask in ASKED:
        got, wanted = ask(state, memory, beta=2.0), ask(state, plain, beta=2.0, **options)
        for one, other in zip(leaves(got), leaves(wanted), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_gradients_by_the_state(library):
    pytest.importorskip(library)
    memory = hopcore.Memory(X, beta=1.0)
    if library == "torch":
        import torch

        state = torch.tensor(Q, requires_grad=True)
        hopcore.energy(state, memory, 1.0).sum().backward()
        got = state.grad.numpy()
    else:
        import jax

        with jax.enable_x64(True):
            state = jax.numpy.asarray(Q)
            got = jax.grad(lambda x: hopcore.energy(x, memory, 1.0).sum())(state)
    wanted = hopcore.energy_gradient(Q, X, 1.0, similarity="distance")
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_options_of_the_memory_hold():
    memory = hopcore.Memory(X, V, similarity="dot", separation="sparsemax", beta=3.0)
    wanted = hopcore.association(Q, X, V, beta=3.0, separation="sparsemax")
    np.testing.assert_array_equal(hopcore.association(Q, memory, beta=3.0), wanted)
    np.testing.assert_array_equal(memory.association(Q), wanted)
    np.testing.assert_array_equal(
        hopcore.retrieve(Q, memory, "auto").state, memory.retrieve(Q).state
    )
    with pytest.raises(ValueError, match=r"prepared for similarity='dot', got 'distance'"):
        hopcore.energy(Q, memory, 1.0, similarity="distance")
    with pytest.raises(ValueError, match=r"prepared for separation=Entmax\(alpha=2.0\), got 'soft"):
        hopcore.energy(Q, memory, 1.0, separation="softmax")
    hopcore.energy(Q, memory, 1.0, separation="sparsemax", similarity="dot")


def test_masks_biases_and_known_coordinates():
    bias = rng.standard_normal(50)
    memory = hopcore.Memory(X, beta=1.0, bias=bias)
    mask = rng.random((4, 50)) < 0.5
    options = {"similarity": "distance", "mask": mask}
    wanted = hopcore.update(Q, X, 1.0, bias=2.0 * bias, **options)
    np.testing.assert_allclose(hopcore.update(Q, memory, 1.0, mask=mask, bias=bias), wanted)
    known = rng.random((4, 6)) < 0.7
    plain = hopcore.Memory(X, beta=1.0)
    wanted = hopcore.retrieve(Q, X, 1.0, known=known)
    np.testing.assert_array_equal(hopcore.retrieve(Q, plain, 1.0, known=known).state, wanted.state)


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_empty_memory(library):
    pytest.importorskip(library)
    state = hopcore.backend(library).asarray(Q, dtype="float32")
    empty = hopcore.Memory(np.empty((0, 6), np.float32), np.empty((0, 3), np.float32))
    assert np.asarray(hopcore.association(state, empty, beta=1.0)).tolist() == [[0.0] * 3] * 4
    assert np.isposinf(np.asarray(hopcore.energy(state, empty, 1.0))).all()
    found = hopcore.retrieve(state, empty, 1.0)
    assert np.asarray(found.index).tolist() == [-1] * 4
    assert hopcore.association_weights(state, empty, 1.0).shape == (4, 0)
    assert hopcore.statistics(state, empty, 1.0).received.shape == (0,)


WRONG = [
    (lambda: hopcore.Memory([[np.nan]]), ValueError, "stored must be finite, got nan"),
    (lambda: hopcore.Memory(np.eye(2, dtype=complex)), TypeError, "must be real floating"),
    (lambda: hopcore.Memory(np.ones(3)), ValueError, r"stored must be \(n, d\), got \(3,\)"),
    (lambda: hopcore.Memory(np.eye(2), keys=["a", "a"]), ValueError, "keys must be distinct"),
    (lambda: hopcore.Memory(np.eye(2), keys=[1.5, 2]), TypeError, "a string or an integer"),
    (lambda: hopcore.Memory(np.eye(2), keys=["a"]), ValueError, "each of 2 patterns, got 1"),
    (lambda: hopcore.Memory(np.eye(2), error=-1.0), ValueError, "error must be >= 0"),
    (lambda: hopcore.Memory(np.eye(2), np.eye(3)), ValueError, "a row for each of 2 patterns"),
    (lambda: hopcore.Memory(np.eye(2), similarity="cosine"), ValueError, "'dot' or 'distance'"),
    (lambda: hopcore.Memory(np.eye(2), beta=0.0), ValueError, "beta must be positive"),
    (lambda: hopcore.knn_graph(hopcore.Memory(np.eye(2)), 1), TypeError, "memory.patterns"),
    (
        lambda: hopcore.Memory(np.eye(2)).association([1.0, 0.0], return_certificate=True),
        ValueError,
        "a memory with an error",
    ),
    (lambda: hopcore.Memory(np.eye(2)).accepts([1.0, 0.0]), ValueError, "not calibrated"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_wrong_input_is_answered_in_one_line(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


CHANGES = [
    (lambda m: m.add(np.ones(5)), ValueError, r"patterns must be \(n, 6\), got \(5,\)"),
    (lambda m: m.add(np.ones(6), keys=3), ValueError, "the key 3 is taken"),
    (lambda m: m.add(np.ones((2, 6)), keys=["a", "a"]), ValueError, "distinct"),
    (lambda m: m.add([np.inf] * 6), ValueError, "must be finite"),
    (lambda m: m.add(np.ones(6), [1.0]), ValueError, "has no values"),
    (lambda m: m.remove("z"), KeyError, "no key 'z'"),
    (lambda m: m.remove([1, 1]), ValueError, "distinct"),
    (lambda m: m.remove([1, 99]), KeyError, "no key 99"),
    (lambda m: m.update([1, 99], np.ones((2, 6))), KeyError, "no key 99"),
    (lambda m: m.update([1, 2], np.ones(6)), ValueError, "2 keys need as many patterns"),
]


@pytest.mark.parametrize("error", [0.0, 1e-6])
@pytest.mark.parametrize(("change", "kind", "message"), CHANGES)
def test_a_memory_is_never_left_half_changed(change, kind, message, error):
    memory = hopcore.Memory(X, beta=1.0, error=error)
    memory.add(Q)
    before = pickle.dumps(memory)
    with pytest.raises(kind, match=message):
        change(memory)
    assert pickle.dumps(memory) == before


@pytest.mark.parametrize("error", [0.0, 1e-6])
def test_copies_and_pickles(error):
    memory = hopcore.Memory(X, V, keys=[f"k{i}" for i in range(50)], beta=1.0, error=error)
    memory.remove(["k3", "k49"])
    memory.calibrate(noise=0.1)
    for other in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        assert other.keys == memory.keys
        assert other.calibration == memory.calibration
        np.testing.assert_array_equal(other.association(Q), memory.association(Q))
        other.add(X[:1], V[:1])
        assert len(other) == len(memory) + 1


def test_patterns_are_copied_and_cannot_be_written_to():
    own = X.copy()
    memory = hopcore.Memory(own, beta=1.0)
    own[:] = 0.0
    np.testing.assert_array_equal(memory.patterns, X)
    with pytest.raises(ValueError, match="read-only"):
        memory.patterns[0] = 1.0


@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_readers_beside_a_writer_see_one_state_of_the_memory(error, monkeypatch):
    monkeypatch.setattr("hopcore.prepared._snapshot.SMALL", 0)
    # Every version holds the patterns (v, v, v, v) for one v: a mixture would show another mean.
    base = np.eye(4)
    memory = hopcore.Memory(base, beta=1e-6, error=error)
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            found = hopcore.association(np.zeros(4), memory, beta=1e-6)
            level = found[0] - 0.25
            if np.abs(found - found[0]).max() > 1e-5 or abs(level - round(level)) > 1e-5:
                wrong.append(found)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(1, 300):
        memory.update([0, 1, 2, 3], base + version)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
