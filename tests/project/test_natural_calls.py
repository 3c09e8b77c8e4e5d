"""Calls that a newcomer guesses: each gives the right answer, or an error with the right advice."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import hopcore
import hopcore_jax
import hopcore_torch

X = np.eye(4)
Q = np.asarray([0.9, 0.2, 0.1, 0.0])
TX, TQ = torch.eye(4), torch.tensor([0.9, 0.2, 0.1, 0.0])
JX, JQ = jnp.eye(4), jnp.asarray([0.9, 0.2, 0.1, 0.0])
IMAGES = np.zeros((4, 2, 2), dtype=np.uint8)
IMAGES.reshape(4, 4)[:] = np.eye(4) * 255
Y, Z = torch.ones(2, 5, 4), torch.ones(2, 3, 4)
LAYER = hopcore_torch.Hopfield(4)
JLAYER = hopcore_jax.Hopfield(4, key=jax.random.key(0))
GRAPH = hopcore.knn_graph(np.random.default_rng(0).normal(size=(6, 4)), 2)


class Table:
    """What a DataFrame has."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def to_numpy(self) -> np.ndarray:
        return np.asarray(self.values)


def first(state: Any) -> bool:
    """Whether states are the first stored pattern, nearly."""
    return bool(np.allclose(np.asarray(state), X[0], atol=0.01))


def shaped(*size: int) -> Callable[[Any], bool]:
    return lambda got: tuple(got.shape) == size


def near(value: float) -> Callable[[Any], bool]:
    return lambda got: abs(float(got) - value) < 1e-3


def same(value: Any) -> Callable[[Any], bool]:
    return lambda got: got == value


R, A, E = hopcore.retrieve, hopcore.association, hopcore.energy

PATTERNS_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: R(Q, X, 8.0).state, first),
    (lambda: R([0.9, 0.2, 0.1, 0.0], X, 8).state, first),
    (lambda: R([0.9, 0.2, 0.1, 0.0], X.tolist(), 8).state, first),
    (lambda: R([[1, 0, 0, 0]], X, 8).state, shaped(1, 4)),
    (lambda: R(Q, X.astype(int), 8).state, first),
    (lambda: R(Q, X.astype(bool), 8).state, first),
    (lambda: R(Q, X.astype(np.uint8), 8).state, first),
    (lambda: R(Q, X.astype(np.float32), 8).state.dtype, same(np.float64)),
    (lambda: R(Q.astype(np.float32), X, 8).state, first),
    (lambda: R(Q, Table(X), 8).state, first),
    (lambda: R(Table(Q[None]), X, 8).state, first),
    (lambda: R(Q, X, 8).index, same(0)),
    (lambda: list(R(X, X, 8).index), same([0, 1, 2, 3])),
    (lambda: R(X[:0], X, 8).index, shaped(0)),
    (lambda: R(Q, X, beta="auto").state, first),
    (lambda: R(Q, X, "auto").suggestion.beta, near(hopcore.suggest_beta(X).beta)),
    (lambda: R(Q, X, 8, separation="entmax15").state, first),
    (lambda: R(Q, X, 8, separation="entmax:1.5").state, first),
    (lambda: R(Q, X, 8, separation="sparsemax").state, first),
    (lambda: R(Q, X, 8, separation="entmax"), "entmax:1.5"),
    (lambda: R(Q, X, 8, separation=hopcore.Entmax), r"Entmax\(1.5\)"),
    (lambda: R(Q, X, 8, separation="relu"), "softmax"),
    (lambda: R(Q, X, 8, mask=[True, True, False, False]).index, same(0)),
    (lambda: R(Q, X, 8, mask=[1, 1, 0, 0]), "mask != 0"),
    (lambda: R(Q, X), "beta"),
    (lambda: R(Q, X, "8"), "suggest_beta"),
    (lambda: R(Q, X, 0), "positive"),
    (lambda: R(Q, X, -1.0), "positive"),
    (lambda: R(Q, X, None), "beta"),
    (lambda: R(Q, X[0], 8), r"\(\.\.\., S, d\)"),
    (lambda: R(np.ones((1, 4)), np.ones((4, 9)), 8), r"stored\.T"),
    (lambda: R(Q, IMAGES, 8), "as_patterns"),
    (lambda: R(IMAGES[:2], IMAGES, 8), "as_patterns"),
    (lambda: R(Q, hopcore.as_patterns(IMAGES) / 255, 8).state, first),
    (lambda: hopcore.as_patterns(IMAGES), shaped(4, 4)),
    (lambda: hopcore.as_patterns(IMAGES[0, 0]), r"images\[None\]"),
    (lambda: hopcore.as_patterns(IMAGES.tolist()), shaped(4, 4)),
    (lambda: R(Q, [[1, 2], [3]], 8), "pad the rows"),
    (lambda: R(Q, X.astype(str), 8), "dtype=float"),
    (lambda: R(Q, X.astype(object), 8), "dtype=float"),
    (lambda: R(Q, X.astype(complex), 8), r"stored\.real"),
    (lambda: R(Q, np.ma.masked_array(X, X > 2), 8), "mask="),
    (lambda: R(Q, np.asmatrix(X), 8), "np.asarray"),
    (lambda: R(Q, (X * 2**60).astype(int), 8), "scale"),
    (lambda: R(None, X, 8), "state must be an array"),
    (lambda: R(Q, "patterns.npy", 8), "stored must be an array"),
    (lambda: R(np.full(4, np.nan), X, 8), "finite"),
    (lambda: R(Q, X[:0], 8), "at least one"),
    (lambda: R(Q, X, 8, max_steps=0.5), "integer"),
    (lambda: R(Q, X, 8).state.round(2).tolist(), same([1.0, 0.0, 0.0, 0.0])),
    (lambda: hopcore.knn_graph(X.tolist(), 2).nodes, same(4)),
    (lambda: hopcore.knn_graph(X.astype(int), 2).nodes, same(4)),
    (lambda: hopcore.knn_graph(Table(X), 2).nodes, same(4)),
    (lambda: hopcore.suggest_beta(X.tolist()).beta, near(hopcore.suggest_beta(X).beta)),
    (lambda: hopcore.suggest_beta(X.astype(int)).beta, near(hopcore.suggest_beta(X).beta)),
    (lambda: hopcore.suggest_beta(IMAGES), "as_patterns"),
    (lambda: hopcore.critical_betas(X.astype(np.uint8)).appear, shaped(4)),
    (lambda: hopcore.diffused_retrieve(Q, X, 8.0).output, first),
    (lambda: len(hopcore.datasets.load("digits")) > 0, same(True)),
    (lambda: hopcore.plots.new_figure(2, 2) is not None, same(True)),
]

THEORIST: list[tuple[Callable[[], Any], Any]] = [
    (lambda: E(Q, X, 8.0), near(float(E(Q[None], X, 8.0)[0]))),
    (lambda: E([0.9, 0.2, 0.1, 0.0], X, 8), near(float(E(Q[None], X, 8.0)[0]))),
    (lambda: hopcore.energy_gradient(Q, X, 8.0), shaped(4)),
    (lambda: hopcore.energy_gradient([1, 0, 0, 0], X, 8.0), shaped(4)),
    (lambda: hopcore.update(Q, X, 8.0), shaped(4)),
    (lambda: hopcore.association_weights(Q, X, 8.0), shaped(4)),
    (lambda: hopcore.association_weights(Q, X, 8.0).sum(), near(1.0)),
    (lambda: A(Q, X, beta=8.0), shaped(4)),
    (lambda: A(Q, X, 8.0), "beta"),
    (lambda: A(Q, X, 8.0, beta=8.0), "by name"),
    (lambda: A(Q, X, [[1], [2], [3], [4]], beta=8.0), shaped(1)),
    (lambda: A(Q, X, beta=8.0, return_lse=True)[1], shaped()),
    (lambda: E(Q, X, "auto"), "suggest_beta"),
    (lambda: hopcore.transition(4).spinodal, near(4.0)),
    (lambda: hopcore.transition(X), "critical_betas"),
    (lambda: hopcore.transition(X.tolist()), "suggest_beta"),
    (lambda: hopcore.transition(4.0), "integer"),
    (lambda: hopcore.lse(1.0, X[0]), near(float(np.log(3 + np.e)))),
    (lambda: hopcore.separate(X, "entmax15"), shaped(4, 4)),
    (lambda: repr(hopcore.SimpleDiffusion(GRAPH, 0.1)), re.compile("^SimpleDiffusion.*eta=0.1")),
    (lambda: repr(hopcore.EnergyTracker()), re.compile("EnergyTracker")),
    (lambda: repr(hopcore.Cosine(1.0, 0.1, steps=5)), re.compile("^Cosine")),
]

TORCH_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: R(TQ, TX, 8.0).state, first),
    (lambda: R(TQ, X, 8.0).state, first),
    (lambda: R([0.9, 0.2, 0.1, 0.0], TX, 8.0).state, first),
    (lambda: type(R(TQ, X, 8.0).state), same(torch.Tensor)),
    (lambda: R(TQ.double(), TX, 8.0).state.dtype, same(torch.float64)),
    (lambda: R(TQ, TX.long(), 8.0).state.dtype, same(torch.float32)),
    (lambda: R(TQ, torch.nn.Parameter(TX), 8.0).state.data, first),
    (lambda: R([TQ, TQ], TX, 8.0), "torch.stack"),
    (lambda: R(Q, TX, 8.0), r"backend\('torch'\)"),
    (lambda: R(TQ, TX * (1 + 1j), 8.0), r"stored\.real"),
    (lambda: R(TQ, TX.to_sparse(), 8.0), "to_dense"),
    (lambda: torch.func.vmap(lambda q: A(q, TX, beta=8.0))(TX), shaped(4, 4)),
    (lambda: torch.func.grad(lambda q: E(q, TX, 8.0))(TQ), shaped(4)),
    (lambda: LAYER(Y), shaped(2, 5, 4)),
    (lambda: LAYER((Y, Z, Y)), shaped(2, 3, 4)),
    (lambda: LAYER(Y, Z, Y), "one tuple"),
    (lambda: LAYER((Y, Z)), "three"),
    (lambda: LAYER(Y, key_padding_mask=None), "stored_pattern_padding_mask"),
    (lambda: LAYER(Y, attn_mask=None), "association_mask"),
    (lambda: LAYER(Y, is_causal=True), "triu"),
    (lambda: LAYER(Y, need_weights=True), "association_weights"),
    (lambda: LAYER(Y, mask=None), "~mask"),
    (lambda: hopcore_torch.HopfieldPooling(4)(Y, key_padding_mask=None), "padding_mask"),
    (lambda: R(TQ, TX, 8.0, mask=torch.ones(4)), "True where nothing is attended"),
    (lambda: hopcore.save_layer(LAYER, "x.safetensors", {}), "path, layer.settings"),
    (lambda: hopcore.load_layer(LAYER), r"load_layer\(path\)"),
    (lambda: hopcore.suggest_beta(TX).beta, near(hopcore.suggest_beta(X).beta)),
    (lambda: hopcore.as_patterns(torch.ones(3, 1, 2, 2)), shaped(3, 4)),
    (lambda: LAYER.association_weights(Y), shaped(2, 1, 5, 5)),
]

JAX_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: R(JQ, JX, 8.0).state, first),
    (lambda: R(JQ, X, 8.0).state, first),
    (lambda: R(JQ, JX.astype(int), 8.0).state, first),
    (lambda: R([0.9, 0.2, 0.1, 0.0], JX, 8.0).state, first),
    (lambda: R([JQ, JQ], JX, 8.0), "jnp.stack"),
    (lambda: R(Q, JX, 8.0), r"backend\('jax'\)"),
    (lambda: jax.jit(lambda q: R(q, JX, 8.0))(JQ).state, first),
    (lambda: jax.jit(lambda q: R(q, JX, 8.0))(JQ).index, "inside"),
    (lambda: jax.jit(lambda q: R(q, JX, 8.0).index)(JQ), same(0)),
    (lambda: jax.vmap(lambda q: A(q, JX, beta=8.0))(JX), shaped(4, 4)),
    (lambda: jax.grad(lambda q: E(q, JX, 8.0))(JQ), shaped(4)),
    (lambda: jax.jit(lambda x: hopcore.suggest_beta(x).beta)(JX), "outside"),
    (lambda: jax.jit(lambda x: R(JQ, x, "auto"))(JX), "outside"),
    (lambda: jax.jit(lambda x: R(JQ, x, 8.0))(JX.astype(int)), "astype"),
    (lambda: JLAYER(jnp.ones((2, 5, 4))), shaped(2, 5, 4)),
    (lambda: JLAYER(*[jnp.ones((2, 5, 4))] * 3), "one tuple"),
    (lambda: JLAYER(jnp.ones((2, 5, 4)), key_padding_mask=None), "stored_pattern_padding_mask"),
]

CALLS = {
    f"{user}-{place}": call
    for user, calls in {
        "patterns": PATTERNS_USER, "theorist": THEORIST, "torch": TORCH_USER, "jax": JAX_USER,
    }.items()
    for place, call in enumerate(calls)
}  # fmt: skip


def outcome(name: str) -> str:
    """An empty string if a call answers or advises as wanted, or else what it did."""
    call, wanted = CALLS[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = call()
    except Exception as error:
        text = str(error)
        good = isinstance(wanted, str) and re.search(wanted, text) and "\n" not in text
        return "" if good else f"{type(error).__name__}: {text}"
    if isinstance(wanted, re.Pattern):
        return "" if wanted.search(got) else f"returned {got!r}"
    return "" if callable(wanted) and wanted(got) else f"returned {got!r}"


@pytest.mark.full
def test_newcomers_get_answers_or_advice() -> None:
    """At least 95 % of at least 100 calls."""
    found = {name: outcome(name) for name in CALLS}
    bad = {name: text for name, text in found.items() if text}
    assert len(CALLS) >= 100
    assert len(bad) <= 0.05 * len(CALLS), bad


def test_a_call_without_advice_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CALLS, "planted", (lambda: R(Q, X, -1.0), "there is no such advice"))
    assert outcome("planted").startswith("ValueError: beta must be positive")


def test_the_logger_is_silent_and_gets_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="hopcore"):
        R(Q, X, "auto")
    assert "queries keep a margin" in caplog.text
