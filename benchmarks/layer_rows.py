"""The rows of layers: modules and compiled modules beside what they are made of, and the peer."""

from __future__ import annotations

from benchmarks.cases import Case, Row, Side

CALL = Case(10, 50, batch=(8,), heads=4)
LONG = Case(1024, 1024, batch=(4,), heads=4)
LONGER = Case(1024, 8192, batch=(1,), heads=1)
LARGE = Case(4096, 16384, batch=(1,), heads=1)
WIDE = Case(1024, 1024, d=256, batch=(4,), heads=8)
GRAPH = Case(1024, 1024, batch=(4,), heads=4, k=8, steps=3)
GRAPHS = Case(1024, 8192, batch=(1,), heads=4, k=8, steps=3)
QUICK = (Case(64, 128, batch=(2,), heads=2),)
QUICK_GRAPH = (Case(64, 128, batch=(2,), heads=2, k=4, steps=3),)
SMALL_GRAPH = Case(10, 50, batch=(8,), heads=4, k=8, steps=3)


def ours(work: str, library: str = "torch") -> tuple[Side, ...]:
    return (Side("ours_layers", library, work),)


def by_hand(work: str, library: str = "torch") -> Side:
    return Side(f"by_hand_layers_{library}", library, work)


def difflayers(work: str) -> Side:
    return Side("peer_difflayers_layers", "torch", work)


LAYER_ROWS = (
    Row(
        "layer-torch",
        "torch's Hopfield, one update, against LayerNorm, Linear and the fused kernel by hand",
        ours("layer"),
        (LONG, WIDE, LARGE),
        QUICK,
        by_hand("layer"),
        clock="cpu",
        most=1.05,
        no_scores=True,
    ),
    Row(
        "layer-backward-torch",
        "torch's Hopfield, one update, forward and backward, against the same parts by hand",
        ours("layer_backward"),
        (LONG, WIDE),
        QUICK,
        by_hand("layer_backward"),
        clock="cpu",
        most=1.05,
    ),
    Row(
        "layer-difflayers",
        "torch's Hopfield against difflayers' Hopfield",
        ours("layer"),
        (LONG, LONGER),
        QUICK,
        difflayers("layer"),
        least=2.5,
    ),
    Row(
        "layer-backward-difflayers",
        "torch's Hopfield against difflayers' Hopfield, forward and backward",
        ours("layer_backward"),
        (LONG, LONGER),
        QUICK,
        difflayers("layer_backward"),
    ),
    Row(
        "layer-call",
        "a small call of torch's Hopfield against difflayers' Hopfield",
        ours("layer"),
        (CALL,),
        QUICK,
        difflayers("layer"),
        most=0.66,
    ),
    Row(
        "layer-call-by-hand",
        "a small call of torch's Hopfield against LayerNorm, Linear and the fused kernel by hand",
        ours("layer"),
        (CALL,),
        QUICK,
        by_hand("layer"),
        clock="cpu",
        most=1.05,
    ),
    Row(
        "diffused-call",
        "a small call of torch's DiffusedHopfield against difflayers' DiffusedHopfield, cached",
        ours("diffused_cached"),
        (SMALL_GRAPH,),
        QUICK_GRAPH,
        difflayers("diffused_cached"),
        most=0.5,
        same=False,
    ),
    Row(
        "diffused-difflayers",
        "torch's DiffusedHopfield against difflayers', both rebuilding their graphs",
        ours("diffused"),
        (GRAPHS,),
        QUICK_GRAPH,
        difflayers("diffused"),
        least=10,
        same=False,
    ),
    Row(
        "diffused-cached-difflayers",
        "torch's DiffusedHopfield against difflayers', both with a cached graph",
        ours("diffused_cached"),
        (GRAPHS,),
        QUICK_GRAPH,
        difflayers("diffused_cached"),
        least=16,
        same=False,
    ),
    Row(
        "diffused-plain",
        "torch's DiffusedHopfield with a cached graph for each sample, against the plain Hopfield",
        ours("diffused_cached"),
        (GRAPH,),
        QUICK_GRAPH,
        Side("ours_layers", "torch", "layer"),
        most=1.1,
        same=False,
    ),
    Row(
        "diffused-backward-plain",
        "torch's DiffusedHopfield against the plain Hopfield, forward and backward; the gradient "
        "passes through the graph",
        ours("diffused_backward"),
        (GRAPH,),
        QUICK_GRAPH,
        Side("ours_layers", "torch", "layer_backward"),
        same=False,
    ),
    Row(
        "layer-jax",
        "JAX's Hopfield, compiled, against the same by hand with jax.nn.dot_product_attention",
        ours("layer", "jax"),
        (LONG, LARGE),
        QUICK,
        by_hand("layer", "jax"),
        clock="cpu",
        most=1.05,
    ),
    Row(
        "layer-backward-jax",
        "JAX's Hopfield, compiled, forward and backward, against the same parts by hand",
        ours("layer_backward", "jax"),
        (LONG,),
        QUICK,
        by_hand("layer_backward", "jax"),
        clock="cpu",
    ),
    Row(
        "diffused-jax",
        "JAX's DiffusedHopfield, compiled, a new graph in every call, against the plain Hopfield",
        ours("diffused", "jax"),
        (GRAPH,),
        QUICK_GRAPH,
        Side("ours_layers", "jax", "layer"),
        same=False,
    ),
)
