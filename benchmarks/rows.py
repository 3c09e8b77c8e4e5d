"""The rows: what is measured against what, and the target. A new row is an entry of ``ROWS``."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.attention_rows import ATTENTION_ROWS
from benchmarks.cases import Case, Row, Side
from benchmarks.layer_rows import LAYER_ROWS
from benchmarks.memory_rows import MEMORY_ROWS
from benchmarks.phase_rows import PHASE_ROWS
from benchmarks.user_rows import MEMORY_USE_ROWS, USER_ROWS


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


def larger(case: Case, *sizes: int) -> tuple[Case, ...]:
    """A case of each number of stored patterns."""
    return tuple(replace(case, S=size) for size in sizes)


def graphs(work: str, *libraries: str) -> tuple[Side, ...]:
    return tuple(Side("ours_graphs", library, work) for library in libraries)


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
GRAPH = Case(0, 10000, k=8)
TINY = Case(10, 50, batch=(8,))

STEPS = replace(GRAPH, steps=3)
THOUSAND = replace(GRAPH, S=1000)

GRAPH_ROWS = (
    *(
        Row(
            f"knn-{library}",
            f"exact nearest-neighbour graph in {library} against the product of all pairs alone",
            graphs("knn", library),
            (GRAPH,),
            (THOUSAND,),
            by_hand(library, "pairs"),
            clock="cpu",
            most=1.8,
            scratch=20,
            same=False,
        )
        for library in ("numpy", "torch", "jax")
    ),
    Row(
        "knn-difflayers",
        "exact nearest-neighbour graph against difflayers' dense one",
        graphs("knn", "torch", "numpy", "jax"),
        (GRAPH,),
        (THOUSAND,),
        Side("peer_difflayers", "torch", "knn"),
        least=9,
        same=False,
    ),
    Row(
        "knn-approximate",
        "approximate nearest-neighbour graph (nndescent) against the exact one",
        graphs("knn_approximate", "numpy"),
        (Case(0, 100000, k=8, stored="clustered"),),
        (Case(0, 5000, k=8, stored="clustered"),),
        Side("ours_graphs", "numpy", "knn"),
        least=5,
        same=False,
    ),
    Row(
        "diffusion-sparse",
        "three explicit steps of diffusion against difflayers' sparse ones",
        graphs("diffuse", "torch", "numpy", "jax"),
        (STEPS,),
        (replace(STEPS, S=1000),),
        Side("peer_difflayers", "torch", "diffuse_sparse"),
        least=12,
        same=False,
    ),
    Row(
        "diffusion-dense",
        "three explicit steps of diffusion against difflayers' dense ones",
        graphs("diffuse", "torch", "numpy", "jax"),
        (STEPS,),
        (replace(STEPS, S=1000),),
        Side("peer_difflayers", "torch", "diffuse_dense"),
        least=100,
    ),
    *(
        Row(
            f"diffusion-backward-{library}",
            f"three steps of diffusion and their gradient in {library} against the steps alone",
            graphs("diffuse_backward", library),
            (STEPS,),
            (replace(STEPS, S=1000),),
            Side("ours_graphs", library, "diffuse"),
            clock="cpu",
            most=3.5,
            same=False,
        )
        for library in ("torch", "jax")
    ),
    Row(
        "heat-scipy",
        "heat kernel to 1e-6 against scipy.sparse.linalg.expm_multiply",
        graphs("heat", "numpy", "torch", "jax"),
        (THOUSAND,),
        (THOUSAND,),
        Side("peer_scipy", "numpy", "expm_multiply"),
        least=4,
    ),
    Row(
        "heat-eigh",
        "heat kernel to 1e-6 against a full eigendecomposition",
        graphs("heat", "numpy", "torch", "jax"),
        (THOUSAND,),
        (THOUSAND,),
        Side("peer_scipy", "numpy", "eigh"),
        least=40,
    ),
    Row(
        "knn-growth",
        "how the time of an exact nearest-neighbour graph grows with N",
        graphs("knn", "torch", "numpy", "jax"),
        larger(GRAPH, 12500, 25000, 50000),
        larger(GRAPH, 1000, 2000),
        clock="cpu",
        exponent=2.1,
        axes=("S",),
    ),
    Row(
        "diffusion-growth",
        "how the time of three steps of diffusion grows with N",
        graphs("diffuse", "torch", "numpy", "jax"),
        larger(replace(STEPS, d=16), 12500, 25000, 50000, 100000),
        larger(STEPS, 1000, 2000),
        clock="cpu",
        exponent=1.15,
        axes=("S",),
    ),
    Row(
        "heat-growth",
        "how the time of a heat kernel grows with N",
        graphs("heat", "torch", "numpy", "jax"),
        larger(replace(GRAPH, d=16), 12500, 25000, 50000, 100000),
        larger(GRAPH, 1000, 2000),
        clock="cpu",
        exponent=1.15,
        axes=("S",),
    ),
)
"""Graphs over patterns and diffusion; L = 0 stands for no queries."""

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
            "softmax association in torch against scaled_dot_product_attention, with the gradient",
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
                replace(MEDIUM, beta=4.0),  # most exponentials are nearly 0
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
            "retrieval to convergence from patterns in 64 clusters, against difflayers",
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
                f"energy in {library} against only the matrix product that gives its scores",
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
            "statistics",
            "statistics of an association against those of all its weights, in NumPy",
            ours("statistics", "numpy", "torch", "jax"),
            (Case(4096, 4096),),
            (Case(1024, 1024),),
            by_hand("numpy", "statistics"),
            scratch=40,
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
        *GRAPH_ROWS,
        *ATTENTION_ROWS,
        *LAYER_ROWS,
        *MEMORY_ROWS,
        *PHASE_ROWS,
        *USER_ROWS,
        *MEMORY_USE_ROWS,
    )
}
