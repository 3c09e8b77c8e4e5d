"""The rows of attention: ``hopcore_torch.attention`` beside torch's own function.

Both have the same arguments; sparse weights and statistics exist only in hopcore.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import Case, Row, Side

HEADS = Case(2048, 2048, batch=(1, 4))
"""Four heads of depth 64, at the scale of attention."""
QUICK = Case(128, 128, batch=(1, 2))


def ours(work: str) -> tuple[Side, ...]:
    return (Side("ours_attention", "torch", work),)


def torchs(work: str) -> Side:
    return Side("by_hand_attention", "torch", work)


ATTENTION_ROWS = (
    Row(
        "attention-causal",
        "causal attention in torch against scaled_dot_product_attention(is_causal=True)",
        ours("causal"),
        (HEADS,),
        (QUICK,),
        torchs("causal"),
        clock="cpu",
        most=1.1,
        no_scores=True,
    ),
    Row(
        "attention-causal-backward",
        "causal attention in torch and its gradient against scaled_dot_product_attention's",
        ours("causal_backward"),
        (HEADS,),
        (QUICK,),
        torchs("causal_backward"),
        clock="cpu",
        most=1.1,
        no_scores=True,
    ),
    Row(
        "attention-statistics",
        "attention with the statistics of its weights in torch, against attention alone",
        ours("statistics"),
        (HEADS,),
        (QUICK,),
        torchs("plain"),
        clock="cpu",
        no_scores=True,
    ),
    Row(
        "attention-sparse",
        "attention with sparse weights in torch against the softmax of torch's function",
        ours("plain"),
        tuple(replace(HEADS, separation=name) for name in ("sparsemax", "entmax15")),
        (replace(QUICK, separation="entmax15"),),
        torchs("plain"),
        clock="cpu",
        same=False,
        no_scores=True,
    ),
)
