"""The rows of memories: distances and kernels beside dot products, blocks beside torch's layers."""

from __future__ import annotations

from benchmarks.cases import Case, Row, Side

ONE = Case(1, 16384)
MIDDLING = Case(64, 1024)
MANY = Case(1024, 16384)
QUICK = (Case(64, 256),)

TOKENS = Case(256, 256, d=128, batch=(8,), heads=8, steps=1)
"""Tokens of a transformer; a feed-forward part, or the patterns of a block, of width 4 d."""
SMALL_TOKENS = (Case(16, 16, d=16, batch=(2,), heads=2, steps=1),)

SEQUENCE = Case(1024, 1024, d=64, batch=(4,), heads=4)
BAG = Case(1, 128, d=256, batch=(32,), heads=8)
LARGE_BAG = Case(1, 5000, d=256, batch=(2,), heads=8)
SMALL_BAG = (Case(1, 32, d=16, batch=(2,), heads=2),)


def ours(work: str, library: str) -> tuple[Side, ...]:
    return (Side("ours_memories", library, work),)


def beside(work: str, library: str) -> Side:
    return Side("ours_memories", library, work)


MEMORY_ROWS = (
    *(
        Row(
            f"distance-{library}",
            f"association by distance in {library} against dot products",
            ours("distance", library),
            (MANY, MIDDLING, ONE),
            QUICK,
            beside("dot", library),
            clock="cpu",
            most=1.15,
            scratch=24,
            same=False,
        )
        for library in ("numpy", "torch", "jax")
    ),
    *(
        Row(
            f"{kernel}-{library}",
            f"association with {name} in {library} against the softmax by distance",
            ours(kernel.replace("-", "_"), library),
            (MANY, MIDDLING),
            QUICK,
            beside("distance", library),
            clock="cpu",
            most=2.0,
            scratch=24,
            same=False,
        )
        for kernel, name in (("compact", "a compact kernel"), ("k-subsets", "16-subsets"))
        for library in ("numpy", "torch")
    ),
    Row(
        "energy-transformer",
        "a step of the energy transformer in torch against a TransformerEncoderLayer",
        (Side("ours_blocks", "torch", "energy_transformer"),),
        (TOKENS,),
        SMALL_TOKENS,
        Side("torch_blocks", "torch", "encoder"),
        clock="cpu",
        most=1.2,
        same=False,
    ),
    Row(
        "encoder-causal",
        "a causal HopfieldEncoderLayer against torch's TransformerEncoderLayer, in evaluation",
        (Side("ours_blocks", "torch", "causal_encoder"),),
        (SEQUENCE,),
        SMALL_TOKENS,
        Side("torch_blocks", "torch", "causal_encoder"),
        clock="cpu",
        most=1.1,
        no_scores=True,
        same=False,
    ),
    *(
        Row(
            f"pooling{name}",
            f"Hopfield pooling of a set{words} in torch against the same layer made of its parts",
            (Side("ours_blocks", "torch", f"pooling{work}"),),
            (BAG, LARGE_BAG),
            SMALL_BAG,
            Side("torch_blocks", "torch", f"pooling{work}"),
            clock="cpu",
            least=least,
            same=False,
        )
        for name, words, work, least in (
            ("", "", "", 5.0),
            ("-backward", ", forward and backward,", "_backward", 4.0),
        )
    ),
)
