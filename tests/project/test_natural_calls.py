"""Calls that a newcomer guesses: each gives the right answer, or an error with the right advice."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import hopcore
import hopcore_jax
import hopcore_torch
from hopcore.__main__ import main

X = np.eye(4)
Q = np.asarray([0.9, 0.2, 0.1, 0.0])
TX, TQ = torch.eye(4), torch.tensor([0.9, 0.2, 0.1, 0.0])
JX, JQ = jnp.eye(4), jnp.asarray([0.9, 0.2, 0.1, 0.0])
IMAGES = np.zeros((4, 2, 2), dtype=np.uint8)
IMAGES.reshape(4, 4)[:] = np.eye(4) * 255
Y, Z = torch.ones(2, 5, 4), torch.ones(2, 3, 4)
JY, JZ = jnp.ones((2, 5, 4)), jnp.ones((2, 3, 4))
P = np.random.default_rng(0).normal(size=(8, 4))
KEY = jax.random.key(0)
LAYER = hopcore_torch.Hopfield(4)
JLAYER = hopcore_jax.Hopfield(4, key=KEY)
CORE = hopcore_torch.HopfieldCore(4)
ENCODER = hopcore_torch.HopfieldEncoderLayer(4, 2, batch_first=True)
DECODER = hopcore_torch.HopfieldDecoderLayer(4, 2, batch_first=True)
JENCODER = hopcore_jax.HopfieldEncoderLayer(4, 2, key=KEY)
JDECODER = hopcore_jax.HopfieldDecoderLayer(4, 2, key=KEY)
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


def learning(array: torch.Tensor) -> torch.Tensor:
    """A copy of which a derivative is wanted."""
    return array.clone().requires_grad_()


def command(line: str) -> str:
    """What a command prints; an error is raised with what it says."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(line.split())
        except SystemExit as done:
            if done.code:
                raise ValueError(err.getvalue().strip()) from None
    return out.getvalue()


def drawn(got: Any) -> bool:
    """Whether Axes of a figure came back."""
    return got.figure is not None and hasattr(got, "plot")


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

ATTENTION_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: R(Q, X, temperature=0.125), r"beta=1 / temperature"),
    (lambda: R(query=Q, key=X, beta=8.0), "did you mean state"),
    (lambda: R(Q, X, 8, num_heads=2), r"leading axis, state \(\.\.\., H, L, d\)"),
    (lambda: R(Q, X, 8, steps=3), "did you mean max_steps"),
    (lambda: R(Q, X, 8, tolerance=1e-3), "did you mean tol"),
    (lambda: R(Q, X, 8, key_padding_mask=None), "mask=~key_padding_mask"),
    (lambda: R(Q, X, 8, is_causal=True), r"mask=np\.tri"),
    (lambda: R(Q, X, 8, dropout_p=0.1), "drops nothing"),
    (lambda: R(Q, X, 8, alpha=1.5), r"hopcore\.Entmax\(alpha\)"),
    (lambda: R(Q, X, 8, "sparsemax"), "the others by name"),
    (lambda: A(Q, X, X, scale=0.5), "did you mean beta"),
    (lambda: A(Q, X, X, 8.0), "the others by name"),
    (lambda: A(Q, X, value=X, beta=1.0), "did you mean projection"),
    (lambda: A(Q, X, beta=8.0, need_weights=True), r"hopcore\.association_weights"),
    (lambda: A(Q, X, beta=8.0, attn_mask=None), "mask=~attn_mask"),
    (lambda: E(Q, X, scaling=1.0), "did you mean beta"),
    (lambda: hopcore.attention(Q, X), r"hopcore\.association"),
    (lambda: hopcore.softmax(X), r"hopcore\.separate"),
    (lambda: hopcore.Hopfield(4), r"hopcore_torch\.Hopfield"),
    (lambda: hopcore.association_weight, r"hopcore\.association_weights"),
    (lambda: LAYER(Y, src_key_padding_mask=None), "did you mean stored_pattern_padding_mask"),
    (lambda: LAYER(Y, temperature=0.1), "scaling= is given when the layer is made"),
    (lambda: LAYER(Y, dropout_p=0.1), "dropout= is given when the layer is made"),
    (lambda: LAYER(query=Y, key=Y, value=Y), "one tuple"),
    (lambda: LAYER(Y.numpy()), r"torch\.as_tensor"),
    (lambda: LAYER(Y.double()), "convert the patterns"),
    (lambda: ENCODER(Y, is_causal=True), shaped(2, 5, 4)),
    (lambda: ENCODER(Y, mask=None), "did you mean src_mask"),
    (lambda: ENCODER(Y, key_padding_mask=None), "did you mean src_key_padding_mask"),
    (lambda: ENCODER(Y, need_weights=True), "get_association_matrix"),
    (lambda: DECODER(Y, Z, is_causal=True), "did you mean tgt_is_causal"),
    (lambda: DECODER(Y, Z, key_padding_mask=None), "memory_key_padding_mask"),
    (lambda: DECODER(Y), "memory"),
    (lambda: CORE(Y, Y, Y, is_causal=True), "attn_mask="),
    (lambda: CORE(Y, Y, Y, mask=None), "did you mean attn_mask"),
    (lambda: JENCODER(JY, is_causal=True), "src_mask="),
    (lambda: JENCODER(JY, src_key_padding_mask=None, inference=True), shaped(2, 5, 4)),
    (lambda: JENCODER(JY), "inference=True"),
    (lambda: JDECODER(JY, JZ, mask=None), "memory_mask"),
    (lambda: JLAYER(JY, deterministic=True), "did you mean inference"),
    (lambda: hopcore_torch.Hopfield(4, n_heads=2), "did you mean num_heads"),
    (lambda: hopcore_torch.Hopfield(4, temperature=2.0), r"scaling\? It is the inverse"),
    (lambda: hopcore_torch.Hopfield(4, dropout_p=0.1), "did you mean dropout"),
    (lambda: hopcore_torch.HopfieldPooling(4, num_patterns=3), "did you mean quantity"),
    (lambda: hopcore_torch.HopfieldEncoderLayer(4, 2, activation=torch.relu), "such as 'relu'"),
    (lambda: hopcore_jax.Hopfield(4), r"key=, as jax\.random\.key"),
    (lambda: hopcore_jax.Hopfield(4, rng=KEY), "did you mean key"),
    (lambda: hopcore_jax.Hopfield(4, key=KEY, device="cpu"), "device_put"),
    (lambda: hopcore_torch.save_layer(LAYER, "x.safetensors"), r"save_layer\(path, layer\)"),
    (lambda: hopcore.initial_parameters(4), r"HopfieldSettings\(input_size=4\)"),
]

DERIVATIVE_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: jax.vmap(lambda q: R(q, JX, 8.0).state)(JX), shaped(4, 4)),
    (lambda: jax.vmap(E, in_axes=(0, None, None))(JX, JX, 8.0), shaped(4)),
    (lambda: jax.vmap(lambda beta: E(JQ, JX, beta))(jnp.ones(3)), shaped(3)),
    (lambda: jax.grad(lambda beta: E(JQ, JX, beta))(2.0), shaped()),
    (lambda: jax.grad(lambda q: R(q, JX, 8.0).state.sum())(JQ), shaped(4)),
    (lambda: jax.jit(R)(JQ, JX, 8.0).state, first),
    (lambda: jax.jit(lambda beta: R(JQ, JX, beta).state)(8.0), first),
    (lambda: jax.hessian(lambda q: E(q, JX, 8.0))(JQ), shaped(4, 4)),
    (lambda: eqx.filter_jit(JLAYER)(JY), shaped(2, 5, 4)),
    (
        lambda: eqx.filter_grad(lambda layer: layer(JY).sum())(JLAYER).settings,
        same(JLAYER.settings),
    ),
    (lambda: jax.tree.map(lambda x: x, JLAYER)(JY), shaped(2, 5, 4)),
    (lambda: jax.vmap(JLAYER)(JY), shaped(2, 5, 4)),
    (lambda: R(learning(TQ), TX, 8.0).state.sum().backward(), same(None)),
    (lambda: R(learning(TQ), TX, 8.0).index, same(0)),
    (lambda: np.asarray(R(learning(TQ), TX, 8.0).state), "detach"),
    (lambda: hopcore.suggest_beta(learning(TX)).beta, near(hopcore.suggest_beta(X).beta)),
    (lambda: hopcore.critical_betas(learning(TX)).appear, shaped(4)),
    (lambda: hopcore.plots.attention_map(learning(TX)), drawn),
]

PLOTS_AND_DATA_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: hopcore.plots.attention_map(hopcore.association_weights(X, X, 8.0)), drawn),
    (lambda: hopcore.plots.attention_map(X, figsize=(2, 2)), "new_figure"),
    (lambda: hopcore.plots.energy_landscape(X.tolist(), 4, resolution=5), drawn),
    (lambda: hopcore.plots.energy_landscape(X), "beta"),
    (lambda: hopcore.plots.cobweb(6, 10, ax=hopcore.plots.new_figure(2, 2)), r"figure\.subplots"),
    (lambda: hopcore.plots.cobweb(6, 10, axes=None), "did you mean ax"),
    (lambda: hopcore.plots.gallery(IMAGES), drawn),
    (lambda: hopcore.plots.gallery(X), r"\(n, height, width\)"),
    (lambda: hopcore.plots.over([1, 2], [3, 4]), drawn),
    (lambda: hopcore.plots.temperature_history([1, 2], [0.3, 0.4]), drawn),
    (hopcore.plots.phase_diagram, drawn),
    (lambda: hopcore.plots.critical_distribution(X), r"hopcore\.phase\.critical_betas"),
    (lambda: hopcore.plots.save(hopcore.plots.cobweb(6, 10), "x.gif"), r"\.png, \.pdf or \.svg"),
    (lambda: hopcore.datasets.load("mnist"), "data="),
    (lambda: hopcore.datasets.load("cifar10"), "'digits', 'mnist'"),
    (lambda: hopcore.datasets.corrupt(hopcore.datasets.digits(), "half"), shaped(1797, 64)),
    (lambda: hopcore.datasets.choose(hopcore.datasets.digits(), 10, 0).pixels, shaped(10, 64)),
    (lambda: repr(hopcore.datasets.digits()), re.compile("^<1797 images of 8 x 8")),
    (lambda: hopcore.suggest_beta(hopcore.datasets.digits()), r"stored\.pixels"),
    (lambda: hopcore.as_patterns(Table(X)), shaped(4, 4)),
    (lambda: hopcore.suggest_beta(Table(X)).beta, near(hopcore.suggest_beta(X).beta)),
    (lambda: hopcore.as_patterns([IMAGES[0], IMAGES[1]]), shaped(2, 4)),
    (lambda: command("retrieve"), "--queries"),
    (lambda: command("phase nothing.npy"), "No such file"),
    (lambda: command("retreive p.npy q.npy"), "Did you mean 'retrieve'"),
    (lambda: command("train --model resnet"), "known: hnm"),
    (lambda: command("train --schedule cos"), "cosine"),
    (lambda: command("--version"), re.compile(r"^hopcore \d")),
]

TEMPERATURE_USER: list[tuple[Callable[[], Any], Any]] = [
    (lambda: hopcore.Cosine(1.0, 0.1, 100)(50), near(0.55)),
    (lambda: hopcore.Cosine(1.0, 0.1, T_max=100), "did you mean steps"),
    (lambda: hopcore.Cosine(1.0, 0.1), "steps"),
    (lambda: hopcore.Cosine(1.0, 0.0, steps=100), "positive"),
    (lambda: hopcore.Cosine(1.0, 0.1, steps=100)([0, 50]), r"np\.asarray"),
    (lambda: hopcore.Linear(start=1.0, stop=0.1, steps=3), "did you mean end"),
    (lambda: hopcore.Geometric(1.0, 0.9, step_size=10), "did you mean every"),
    (lambda: hopcore_torch.HNM(input_size=4, output_size=3)(Y[0], beta=3.0), r"1 / beta"),
    (lambda: hopcore_torch.HNM(input_size=4, output_size=3)(Y[0], seed=3), "mean generator"),
    (lambda: hopcore.knn_graph(P, n_neighbors=3), "did you mean k"),
    (lambda: hopcore.knn_graph(P), "k"),
    (lambda: hopcore.knn_graph(P, 3.0), "integer"),
    (lambda: hopcore.compute_laplacian(P), r"hopcore\.knn_graph"),
    (lambda: hopcore.ChebyshevDiffusion(P, 0.1), r"hopcore\.knn_graph"),
    (lambda: hopcore.ChebyshevDiffusion(hopcore.knn_graph(P, 3), 0.1)(P), shaped(8, 4)),
    (lambda: hopcore.diffused_retrieve(Q, P, 8.0, k=3), r"DiffusionConfig\(k_neighbors="),
    (lambda: hopcore.diffused_retrieve(Q, P, 8.0, config={"eta": 0.1}), "DiffusionConfig"),
    (lambda: hopcore.DiffusionConfig(mode="spectral"), "did you mean diffusion_mode"),
    (lambda: hopcore.phase.sweep(X, [1, 2, 3]).betas, shaped(3)),
    (lambda: hopcore.phase.sweep(X), "betas"),
    (lambda: hopcore.phase.minima(X, 8.0).state, shaped(4, 4)),
    (lambda: hopcore.suggest_beta(X, target="retrieve"), "did you mean goal"),
    (lambda: hopcore.suggest_beta(X, noise=-1), ">= 0"),
    (lambda: hopcore.merge_associations(A(Q, X, beta=1.0, return_lse=True)), "list"),
    (lambda: hopcore.Entmax("1.5"), "number"),
]

CALLS = {
    f"{user}-{place}": call
    for user, calls in {
        "patterns": PATTERNS_USER, "theorist": THEORIST, "torch": TORCH_USER, "jax": JAX_USER,
        "attention": ATTENTION_USER, "derivative": DERIVATIVE_USER, "data": PLOTS_AND_DATA_USER,
        "temperature": TEMPERATURE_USER,
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
    """At least 95 % of at least 240 calls."""
    found = {name: outcome(name) for name in CALLS}
    bad = {name: text for name, text in found.items() if text}
    assert len(CALLS) >= 240
    assert len(bad) <= 0.05 * len(CALLS), bad


def test_a_call_without_advice_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CALLS, "planted", (lambda: R(Q, X, -1.0), "there is no such advice"))
    assert outcome("planted").startswith("ValueError: beta must be positive")


def test_the_logger_is_silent_and_gets_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="hopcore"):
        R(Q, X, "auto")
    assert "queries keep a margin" in caplog.text
