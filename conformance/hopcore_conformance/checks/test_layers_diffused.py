"""Diffused Hopfield layers: keys that are diffused over the graph of the stored patterns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore_conformance.cases.diffused import MODES
from hopcore_conformance.cases.layer_options import DIFFUSED, GATE, config_of, settings_of
from hopcore_conformance.cases.layers import BATCH, Case, case_of, cases, formula, run
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import heads as plain_heads
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


@statement("L12", "J0", "J8", "J9", "J10")
@given(case=cases(DIFFUSED, masks=("none", "both", "numbers")))
def test_a_diffused_layer_is_its_formula(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L12")
@pytest.mark.parametrize("masks", ["none", "numbers"])
@pytest.mark.parametrize("name", sorted(DIFFUSED))
def test_every_way_to_diffuse(subject: Subject, name: str, masks: str) -> None:
    case = case_of(DIFFUSED[name], masks=masks).on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


WAYS = {
    **{mode: {"diffusion_mode": mode} for mode in MODES},
    "eta of each sample": {"adaptive_eta": True, **GATE},
    "eta of each query": {"adaptive_eta": "query", **GATE},
    "weights": {"use_logit_diffusion": True},
    "queries": {"diffuse_query": True},
}


@statement("L13", "J.limit")
@pytest.mark.parametrize("name", sorted(WAYS))
def test_little_diffusion_changes_little(subject: Subject, name: str) -> None:
    plain = case_of(settings_of()).on(subject)
    without = run(subject, hopcore.hopfield, plain)
    _, within = formula(subject, plain)

    def output(eta: float) -> Array:
        settings = settings_of(diffusion=config_of(eta=eta, **WAYS[name]))
        return run(subject, hopcore.hopfield, plain.but(settings=settings))

    series = 1e-4 if name == "chebyshev" or name.startswith("eta") else 0.0
    agree("eta = 0", output(0.0), without, 2 * within + series)
    for eta in (1e-2, 1e-3):
        agree(f"eta = {eta}", output(eta), without, 4 * within + series + reach(plain, eta))


def reach(case: Case, eta: float) -> float:
    """A bound of the change of an output by eta: two steps with eigenvalues of at most 2, twice."""
    stored, state, projection = case.patterns.values()
    weight = np.linalg.norm(case.parameters["association_core.out_proj.weight"], ord=2)
    worst = 0.0
    for i in range(BATCH):
        heads = plain_heads.heads_of(
            case.settings, case.parameters, stored[i], state[i], projection[i], plain_heads.exact
        )
        moved = 0.0
        for h, (q, k, v) in enumerate(zip(heads.queries, heads.keys, heads.values, strict=True)):
            beta = plain_heads.temperature(case.settings, case.parameters, h)
            # Of keys or weights, and of queries: scores move by twice this, weights by twice that.
            change = 2.0 * 4.0 * eta * beta * np.max(np.linalg.norm(q, axis=-1)) * np.linalg.norm(k)
            direct = 4.0 * eta * np.sqrt(len(k))
            moved += np.max(np.linalg.norm(v, axis=-1)) * (2.0 * change + direct)
        worst = max(worst, moved)
    return float(weight * worst)


@statement("L14", "J.alone")
@given(case=cases(DIFFUSED, masks=("padding",)), rng=generators())
def test_nothing_leaks_through_the_graph(
    subject: Subject, case: Case, rng: np.random.Generator
) -> None:
    case = case.on(subject)
    before = run(subject, hopcore.hopfield, case)
    _, within = formula(subject, case)
    hidden = case.masks["stored_pattern_padding_mask"][..., None]

    def other(patterns: dict[str, Array], where: Array) -> dict[str, Array]:
        changed = {
            name: np.where(where, 2.0 * rng.normal(size=x.shape), x)
            for name, x in patterns.items()
            if name != "state"
        }
        return {**patterns, **{name: subject.rounded(x) for name, x in changed.items()}}

    masked = case.but(patterns=other(case.patterns, hidden))
    agree("with other masked patterns", run(subject, hopcore.hopfield, masked), before, 2 * within)
    first = np.arange(BATCH)[:, None, None] == 0
    mates = case.but(patterns=other(case.patterns, ~first))
    got = run(subject, hopcore.hopfield, mates)
    agree("with another second sample", got[0], before[0], 2 * within)


@statement("L14", "J.cache")
def test_a_cache_changes_nothing(subject: Subject) -> None:
    settings = settings_of(diffusion=config_of(diffuse_query=True))
    cache = hopcore.GraphCache(config_of())
    for seed in (0, 0, 1):
        for masks in ("none", "padding"):
            case = case_of(settings, seed, masks).on(subject)
            got = run(subject, hopcore.hopfield, case, cache=cache)
            agree("output with a cache", got, *formula(subject, case))


@statement("L12")
def test_the_graph_has_as_many_neighbours_as_there_are(subject: Subject) -> None:
    settings = settings_of(diffusion=config_of(k_neighbors=50, eta=0.5))
    case = case_of(settings).on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L12")
def test_all_heads_share_the_graph_of_the_normalised_patterns(subject: Subject) -> None:
    # A large mean is gone before neighbours are chosen.
    case = case_of(DIFFUSED["factored"]).on(subject)
    patterns = {**case.patterns, "stored": subject.rounded(case.patterns["stored"] + 8.0)}
    case = case.but(patterns=patterns)
    settings = replace(case.settings, normalize_stored_pattern=False)
    plain = {k: x for k, x in case.parameters.items() if "norm_stored" not in k}
    agree("normalised", run(subject, hopcore.hopfield, case), *formula(subject, case))
    raw = case.but(settings=settings, parameters=plain)
    agree("as they are", run(subject, hopcore.hopfield, raw), *formula(subject, raw))


@statement("L14")
def test_what_some_head_may_attend_to_is_in_the_graph(subject: Subject) -> None:
    case = case_of(DIFFUSED["factored"], masks="batch").on(subject)
    mask = case.masks["association_mask"].copy()
    mask[..., 2], mask[:, 0, :, 3] = True, True
    case = case.but(masks={"association_mask": mask})
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))
