"""Rows of what users would pick instead, and rows of memory."""

from __future__ import annotations

from benchmarks.cases import Case, Row, Side

SQUARE = Case(4096, 4096)
SMALL = (Case(256, 256),)
GRAPH = Case(0, 10000, k=8)
SMALL_GRAPH = (Case(0, 1000, k=8),)


def memory(work: str, library: str, about: str, case: Case = SQUARE, **options: object) -> Row:
    """A row of which only the memory counts; it must stay below half of the (L, S) array."""
    name = f"memory-{work.replace('_', '-')}-{library}"
    limits = options or {"no_scores": True}
    side = Side("ours_memory_use", library, work)
    return Row(name, about, (side,), (case,), SMALL, pairs=True, **limits)  # type: ignore[arg-type]


MEMORY_USE_ROWS = (
    memory("dropout", "torch", "peak memory of a torch layer with dropout, forward and backward"),
    memory("dropout", "jax", "peak memory of a compiled JAX layer with dropout"),
    memory(
        "eager_dropout",
        "jax",
        "peak memory of a JAX layer with dropout outside of jax.jit, with gradient",
    ),
    memory(
        "bias_row",
        "torch",
        "peak memory of a torch layer with a padding mask of numbers, with gradient",
    ),
    memory(
        "bias",
        "torch",
        "peak memory of a torch layer with an (L, S) mask of numbers, with gradient",
    ),
    memory("func_grad", "torch", "peak memory of torch.func.grad of an energy"),
    memory("compiled_energy", "torch", "peak memory of an energy under torch.compile"),
    memory(
        "compiled_sparsemax", "torch", "peak memory of a sparsemax association under torch.compile"
    ),
    memory("causal_energy", "numpy", "peak memory of a causal energy in NumPy"),
    memory("causal_association", "torch", "peak memory of a causal association in torch"),
    Row(
        "memory-sparsemax",
        "peak memory of a sparsemax association with 262,144 patterns",
        tuple(Side("ours", library, "association") for library in ("numpy", "torch")),
        (Case(64, 262144, separation="sparsemax"),),
        (Case(16, 4096, separation="sparsemax"),),
        scratch=16,
        pairs=True,
    ),
)

USER_ROWS = (
    Row(
        "flex-attention",
        "softmax association in torch against flex_attention, compiled",
        (Side("ours", "torch", "association"),),
        (Case(1024, 1024), SQUARE),
        SMALL,
        Side("peer_users", "torch", "flex_attention"),
        clock="cpu",
        most=1.0,
    ),
    Row(
        "multihead-attention",
        "torch's Hopfield against nn.MultiheadAttention without weights, which has no norms",
        (Side("ours_layers", "torch", "layer"),),
        (Case(10, 50, batch=(8,), heads=4), Case(1024, 1024, batch=(4,), heads=4)),
        (Case(64, 128, batch=(2,), heads=2),),
        Side("peer_users", "torch", "multihead_attention"),
        clock="cpu",
        same=False,
    ),
    Row(
        "vector-quantize",
        "hard codes of torch's VectorQuantizer against vector-quantize-pytorch, in evaluation",
        (Side("ours_layers", "torch", "quantizer"),),
        (Case(4096, 512), Case(4096, 8192)),
        (Case(64, 128),),
        Side("peer_users", "torch", "vector_quantize"),
        clock="cpu",
    ),
    Row(
        "equinox-attention",
        "JAX's Hopfield, compiled, against equinox's MultiheadAttention, which has no norms",
        (Side("ours_layers", "jax", "layer"),),
        (Case(1024, 1024, batch=(4,), heads=4),),
        (Case(64, 128, batch=(2,), heads=2),),
        Side("peer_users", "jax", "equinox_attention"),
        clock="cpu",
        same=False,
    ),
    *(
        Row(
            name,
            f"exact nearest-neighbour graph in NumPy against {peer}",
            (Side("ours_graphs", "numpy", "knn"),),
            (GRAPH,),
            SMALL_GRAPH,
            Side("peer_users", "numpy", work),
            clock="cpu",
            least=least,
            same=False,
        )
        for name, peer, work, least in (
            ("sklearn-neighbors", "scikit-learn's kneighbors_graph", "sklearn_neighbors", 1.0),
            ("faiss", "FAISS's flat index", "faiss_flat", None),
        )
    ),
    Row(
        "pynndescent",
        "approximate nearest-neighbour graph in NumPy against pynndescent's own",
        (Side("ours_graphs", "numpy", "knn_approximate"),),
        (Case(0, 20000, k=8, stored="clustered"),),
        (Case(0, 2000, k=8, stored="clustered"),),
        Side("peer_users", "numpy", "pynndescent"),
        clock="cpu",
        same=False,
    ),
    Row(
        "one-query-numpy",
        "association of one query in NumPy against two products with the memory",
        (Side("ours", "numpy", "association"),),
        (Case(1, 16384), Case(1, 100000)),
        (Case(1, 1024),),
        Side("by_hand_numpy", "numpy", "two_products"),
        clock="cpu",
        most=1.15,
        same=False,
    ),
    Row(
        "layer-backward-call-by-hand",
        "a small call of torch's Hopfield, forward and backward, against the same by hand",
        (Side("ours_layers", "torch", "layer_backward"),),
        (Case(10, 50, batch=(8,), heads=4),),
        (Case(64, 128, batch=(2,), heads=2),),
        Side("by_hand_layers_torch", "torch", "layer_backward"),
        clock="cpu",
        most=1.05,
    ),
    Row(
        "retrieval-few",
        "retrieval that needs two or three updates, against difflayers",
        tuple(Side("ours", library, "retrieve") for library in ("torch", "numpy", "jax")),
        (Case(512, 4096, beta=1.0, state="noisy"),),
        (Case(64, 512, beta=1.0, state="noisy"),),
        Side("peer_difflayers", "torch", "retrieve"),
        clock="cpu",
        least=9,
    ),
)
