"""What users would pick instead: attention of torch and equinox, neighbours of other packages."""

from __future__ import annotations

import numpy as np

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def flex_attention(case: Case, library: str) -> Prepared:
    """Torch's flex_attention, compiled."""
    import torch  # noqa: PLC0415 - only where torch runs
    from torch.nn.attention.flex_attention import flex_attention as flex  # noqa: PLC0415

    state, stored = (torch.from_numpy(x)[None, None] for x in arrays(case))
    compiled = torch.compile(flex)

    def call() -> torch.Tensor:
        with torch.no_grad():
            return compiled(state, stored, stored, scale=case.beta)

    return Prepared(call)


def multihead_attention(case: Case, library: str) -> Prepared:
    """Torch's MultiheadAttention, without the weights that it returns otherwise."""
    import torch  # noqa: PLC0415 - only where torch runs

    state, stored = map(torch.from_numpy, arrays(case))
    layer = torch.nn.MultiheadAttention(case.d, case.heads, batch_first=True).eval()

    def call() -> torch.Tensor:
        with torch.no_grad():
            return layer(state, stored, stored, need_weights=False)[0]

    return Prepared(call)


def vector_quantize(case: Case, library: str) -> Prepared:
    """The quantiser of vector-quantize-pytorch, with the patterns as its codes."""
    import torch  # noqa: PLC0415 - only where torch runs
    from vector_quantize_pytorch import VectorQuantize  # noqa: PLC0415

    state, stored = map(torch.from_numpy, arrays(case))
    layer = VectorQuantize(dim=case.d, codebook_size=case.S).eval()
    layer.codebook = stored

    def call() -> torch.Tensor:
        with torch.no_grad():
            return layer(state)[0]

    return Prepared(call)


def equinox_attention(case: Case, library: str) -> Prepared:
    """Equinox's MultiheadAttention of one sample, compiled."""
    import equinox as eqx  # noqa: PLC0415 - only where JAX runs
    import jax  # noqa: PLC0415

    from benchmarks.sides.by_hand_jax import compiled  # noqa: PLC0415

    layer = eqx.nn.MultiheadAttention(case.heads, case.d, key=jax.random.key(0))
    state, stored = arrays(case)

    def call(state: jax.Array, stored: jax.Array) -> jax.Array:
        return jax.vmap(lambda q, k: layer(q, k, k))(state, stored)

    return compiled(call, state, stored)


def sklearn_neighbors(case: Case, library: str) -> Prepared:
    """scikit-learn's graph of neighbours, by brute force."""
    from sklearn.neighbors import kneighbors_graph  # noqa: PLC0415

    patterns = arrays(case)[1]
    return Prepared(lambda: kneighbors_graph(patterns, case.k, metric="cosine").data)


def pynndescent(case: Case, library: str) -> Prepared:
    """Pynndescent's approximate neighbours, with its defaults."""
    from pynndescent import NNDescent  # noqa: PLC0415

    patterns = arrays(case)[1]

    def call() -> np.ndarray:
        return NNDescent(patterns, metric="cosine", n_neighbors=case.k + 1).neighbor_graph[1]

    return Prepared(call)


def faiss_flat(case: Case, library: str) -> Prepared:
    """FAISS's flat index of inner products, built and asked."""
    import faiss  # noqa: PLC0415

    patterns = arrays(case)[1].copy()
    faiss.normalize_L2(patterns)

    def call() -> np.ndarray:
        index = faiss.IndexFlatIP(case.d)
        index.add(patterns)
        return index.search(patterns, case.k + 1)[0]

    return Prepared(call)
