"""The rows: what is measured against what, and the target. A new row is an entry of ``ROWS``."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import Case, Row, Side


def ours(work: str, *libraries: str) -> tuple[Side, ...]:
    return tuple(Side("ours", library, work) for library in libraries)


def by_hand(library: str, work: str) -> Side:
    return Side(f"by_hand_{library}", library, work)


SEPARATIONS: tuple[str | float, ...] = ("sparsemax", 1.5, 1.3, 3.0)


def separated(case: Case, *separations: str | float) -> tuple[Case, ...]:
    """A case with each separation function, where the support is small and where it is large.

    At d = 64 the scores have standard deviations of 1 and of 0.008.
    """
    return tuple(
        replace(case, separation=separation, beta=beta)
        for separation in separations or SEPARATIONS
        for beta in (0.125, 0.001)
    )


def grown(case: Case, *factors: int) -> tuple[Case, ...]:
    """A case and larger ones along L, S and d."""
    sizes = {"L": case.L, "S": case.S, "d": case.d}
    return (
        case,
        *(replace(case, **{axis: size * k}) for axis, size in sizes.items() for k in factors),
    )


LARGE = Case(4096, 16384)
MEDIUM = Case(1024, 16384)
SMALL = Case(256, 4096)
WIDE = Case(1024, 65536)
TINY = Case(10, 50, batch=(8,))

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "association-torch",
            "softmax association in torch against scaled_dot_product_attention on the same tensors",
            ours("association", "torch"),
            (
                Case(1024, 1024),
                LARGE,
                WIDE,
                Case(1024, 8192, 256),
                Case(128, 1024, 32, batch=(8, 4)),
            ),
            (SMALL,),
            by_hand("torch", "association"),
            most=1.05,
            scratch=8,
        ),
        Row(
            "association-torch-backward",
            "the same, forward and backward",
            ours("association_backward", "torch"),
            (MEDIUM,),
            (SMALL,),
            by_hand("torch", "association_backward"),
            most=1.05,
        ),
        Row(
            "association-numpy",
            "softmax association in NumPy against torch's scaled_dot_product_attention; CPU time",
            ours("association", "numpy"),
            (
                SMALL,
                LARGE,
                replace(LARGE, beta=1.0),
                WIDE,
                Case(1024, 16384, 16),
                Case(1024, 8192, 256),
            ),
            (SMALL,),
            by_hand("torch", "association"),
            clock="cpu",
            most=1.5,
            scratch=8,
        ),
        Row(
            "association-jax",
            "softmax association in JAX, jitted on the CPU, against jax.nn.dot_product_attention",
            ours("association", "jax"),
            (MEDIUM, LARGE, WIDE),
            (MEDIUM,),
            by_hand("jax", "association"),
            most=1.0,
            no_scores=True,
        ),
        *(
            Row(
                f"separations-{library}",
                f"sparse association in {library} against the softmax association in {library}",
                ours("association", library),
                separated(Case(512, 16384)),
                separated(Case(64, 1024), "sparsemax", 1.5)[::2],
                Side("ours", library, "softmax_association"),
                most=4,
                scratch=16,
                same=False,
            )
            for library in ("numpy", "torch", "jax")
        ),
        Row(
            "entmax-package",
            "sparse association against the entmax package's bisection on dense scores",
            ours("association", "torch", "numpy", "jax"),
            (
                *separated(Case(64, 1024)),
                *separated(SMALL),
                *separated(Case(8, 65536), "sparsemax", 1.5),
            ),
            separated(Case(64, 1024), 1.5)[:1],
            Side("peer_entmax", "torch", "bisection"),
            least=1,
        ),
        Row(
            "entmax-package-exact",
            "sparse association against the entmax package's sorting algorithms on dense scores",
            ours("association", "torch", "numpy", "jax"),
            (
                *separated(Case(64, 1024), "sparsemax", 1.5),
                *separated(SMALL, "sparsemax", 1.5),
            ),
            separated(Case(64, 1024), "sparsemax")[:1],
            Side("peer_entmax", "torch", "exact"),
            least=1,
        ),
        Row(
            "retrieval",
            "retrieval to convergence against difflayers' static Hopfield(update_steps_max=100)",
            ours("retrieve", "torch", "numpy", "jax"),
            (
                Case(512, 4096, beta=0.2, state="noisy"),
                Case(512, 4096, beta=1.0, state="noisy"),
            ),
            (Case(128, 1024, beta=0.3, state="noisy"),),
            Side("peer_difflayers", "torch", "retrieve"),
            least=10,
        ),
        Row(
            "retrieval-clustered",
            "the same on patterns in 64 clusters",
            ours("retrieve", "torch", "numpy", "jax"),
            (
                Case(512, 4096, stored="clustered", state="noisy"),
                Case(512, 4096, stored="clustered", state="noisy", beta=1.0),
            ),
            (Case(128, 1024, stored="clustered", state="noisy"),),
            Side("peer_difflayers", "torch", "retrieve"),
            least=15,
        ),
        *(
            Row(
                f"energy-{library}",
                f"energy in {library} against the matrix product of its scores alone",
                ours("energy", library),
                (Case(10000, 100000),),
                (Case(1000, 20000),),
                by_hand(library, "gemm"),
                most=most,
                scratch=16,
                same=False,
            )
            for library, most in (("torch", 2.0), ("numpy", 2.7))
        ),
        Row(
            "gradient",
            "the explicit energy gradient against autograd through the naive energy, torch",
            ours("energy_gradient", "torch"),
            (SMALL, MEDIUM),
            (SMALL,),
            by_hand("torch", "energy_gradient"),
            least=2.5,
        ),
        Row(
            "overhead-numpy",
            "a small association in NumPy against the bare expression",
            ours("association", "numpy"),
            (TINY,),
            (TINY,),
            by_hand("numpy", "association"),
            clock="cpu",
            added=5,
        ),
        Row(
            "overhead-torch",
            "a small association in torch against a bare scaled_dot_product_attention",
            ours("association", "torch"),
            (TINY, Case(10, 50, 16, batch=(8, 4))),
            (TINY,),
            by_hand("torch", "association"),
            clock="cpu",
        ),
        Row(
            "growth",
            "how the time of an association grows with L, S and d",
            ours("association", "torch", "numpy", "jax"),
            grown(Case(512, 4096, 32), 2, 4, 8),
            grown(Case(256, 2048, 32), 4),
            clock="cpu",
            exponent=1.1,
        ),
    )
}
