"""The transition in closed form: its temperatures, the reduced map, the effective scale."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.phase import simplex
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import phase as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

TRANSITIONS = {
    2: (2.0, 0.5, 2.0),
    3: (2.745644, 0.58480, 2.772589),
    10: (4.559779, 0.72939, 4.943755),
    100: (7.458675, 0.84245, 9.284018),
    1000: (10.110736, 0.88884, 13.827351),
    10**6: (17.624495, 0.93961, 27.631047),
}
"""Of N patterns: saddle-node, the weight of the pattern there, coexistence."""


@statement("P1")
@pytest.mark.parametrize("patterns", sorted(TRANSITIONS))
def test_the_transition(subject: Subject, patterns: int) -> None:
    found = hopcore.transition(patterns)
    saddle_node, weight, coexistence = TRANSITIONS[patterns]
    agree("saddle-node", np.asarray(found.saddle_node), saddle_node, 5e-7)
    agree("coexistence", np.asarray(found.coexistence), coexistence, 5e-7)
    assert found.spinodal == patterns
    with localcontext() as context:
        context.prec = 60
        b, n = Decimal(found.saddle_node), Decimal(patterns)
        # b N u = (u + N - 1)^2, of which u is the larger root; for N = 2 both are 1.
        half = b * n / 2 - (n - 1)
        u = half + max(half * half - (n - 1) ** 2, Decimal(0)).sqrt()
        residual = u.ln() - (u - 1) * (u + n - 1) / (n * u)
        at_most("residual", np.asarray(abs(float(residual))), 1e-12)
        s = (u - 1) / (u + n - 1)
        agree("weight", np.asarray(float((1 + (n - 1) * s) / n)), weight, 5e-6)
        # Of a pattern and the centroid at coexistence: s = (N - 2)/(N - 1) is a fixed point.
        b, s = Decimal(found.coexistence), (n - 2) / (n - 1)
        e = (b * s).exp()
        at_most("residual", np.asarray(abs(float((e - 1) / (e + n - 1) - s))), 1e-12)


@statement("P1")
def test_the_transition_of_an_array(subject: Subject) -> None:
    counts = np.asarray([[2.0, 3.0, 5.0], [64.0, 1024.0, 32768.0]])  # exact in every dtype
    for name in hopcore.phase.Transition._fields:
        formula = getattr(hopcore.phase, {"spinodal": "centroid"}.get(name, name) + "_beta")
        wanted = [getattr(hopcore.transition(int(n)), name) for n in counts.ravel()]
        got = subject.get(formula(subject.put(counts)))
        assert got.shape == counts.shape
        agree(name, got.ravel(), wanted, 64.0 * subject.fine * np.asarray(wanted))


@statement("P1")
@pytest.mark.parametrize("patterns", [3, 10])
@pytest.mark.parametrize("b", [0.5, 3.0, 8.0])
def test_the_map_of_equidistant_patterns(subject: Subject, patterns: int, b: float) -> None:
    # Half the square distance of unit vectors is 1; with another length it is its square.
    length, n = 1.5, patterns
    stored = subject.rounded(length * np.eye(n))
    s = np.asarray([-0.02, 0.0, 0.3, 0.8, 1.0])
    p = np.column_stack([(1.0 + (n - 1.0) * s) / n, *[(1.0 - s) / n] * (n - 1)])
    beta = b / length**2
    found = subject(hopcore.update, subject.rounded(p @ stored), stored, beta) / length
    got = found[:, 0] - found[:, 1]
    wanted = np.expm1(b * s) / (np.exp(b * s) + n - 1.0)
    agree("the map", got, wanted, 32.0 * subject.eps * (1.0 + b))


@statement("P1")
@pytest.mark.parametrize("patterns", [2, 3, 10])
def test_where_minima_are(subject: Subject, patterns: int) -> None:
    fine, n = subject.precise, patterns
    found, stored = hopcore.transition(patterns), np.eye(n)
    centroid = np.full((1, n), 1.0 / n)
    s = (n - 2.0) / (n - 1.0)
    pattern = (1.0 - s) * centroid + s * stored[:1]
    both = np.concatenate([pattern, centroid])
    energies = fine(hopcore.energy, both, stored, found.coexistence)
    agree("energies at coexistence", energies[0], energies[1], 64.0 * fine.eps)

    # Where the update goes towards the pattern, there is a minimum beyond: above the saddle-node
    # somewhere, above the spinodal at the centroid.
    s = np.linspace(0.001, 1.0, 100)[:, None]
    betas = [0.97 * found.saddle_node, 1.03 * found.saddle_node,
             0.97 * found.spinodal, 1.03 * found.spinodal]  # fmt: skip
    way = np.tile((1.0 - s) * centroid + s * stored[:1], (4, 1, 1))
    moved = fine(hopcore.update, way, stored, np.repeat(np.asarray(betas)[:, None], 100, axis=1))
    ahead = moved[..., 0] - moved[..., 1] - s[:, 0]
    at_most("below the saddle-node", ahead[0], -1e-5)
    at_most("-above it", -np.max(ahead[1]), -1e-4)
    at_most("below the spinodal", ahead[2, 0], -1e-5)
    at_most("-above it", -ahead[3, 0], -1e-5)


@statement("P5")
@given(rng=generators())
def test_the_effective_scale(subject: Subject, rng: np.random.Generator) -> None:
    stored = subject.rounded(rng.normal(size=(7, 3)))
    within = 64.0 * subject.fine * np.sum(stored**2)

    def scale(patterns: Array) -> Array:
        return np.asarray(hopcore.phase.effective_scale(subject.put(patterns)))

    wanted = plain.half_square(stored)
    agree("all pairs", scale(stored), wanted, within)
    # What is rounded again moves by eps of its length.
    moved = stored + subject.rounded(3.0 * rng.normal(size=3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    loose = 64.0 * subject.eps * np.sum(moved**2)
    agree("translated", scale(moved), wanted, loose)
    agree("rotated", scale(stored @ turn), wanted, loose)
    agree("twice as far", scale(2.0 * stored), 4.0 * wanted, 4.0 * within)
    several = np.stack([stored, subject.rounded(0.5 * stored)])
    mean = (wanted + plain.half_square(several[1])) / 2.0
    agree("of two memories", scale(several), mean, within)
    beta = float(rng.uniform(0.1, 3.0))
    found = np.asarray(hopcore.phase.effective_beta(subject.put(stored), beta))
    agree("effective beta", found, beta * wanted, 3.0 * within)


@statement("P1")
@pytest.mark.parametrize("patterns", [2, 10, 10**6])
def test_the_reduced_map(subject: Subject, patterns: int) -> None:
    lowest = -1.0 / (patterns - 1.0)
    overlaps = subject.rounded(np.asarray([lowest, 0.5 * lowest, -1e-3 * lowest, 0.0, 0.3, 0.9, 1]))
    for b in (1e-30, 0.7, 6.0, 40.0, 1e4, 1e30):
        pairs = [plain.reduced(s, b, patterns) for s in overlaps]
        wanted, slope = np.asarray(pairs).T
        got = subject(hopcore.phase.reduced_map, overlaps, b, patterns)
        # b s is rounded before its exponential is taken: as if s were off by its rounding.
        error = 8.0 * np.abs(wanted) + 4.0 * slope * np.abs(overlaps)
        within = subject.fine * error + subject.eps * np.abs(wanted) + subject.least + subject.tiny
        agree(f"the map at b = {b}", got, wanted, within)
        numbers = np.asarray([hopcore.phase.reduced_map(float(s), b, patterns) for s in overlaps])
        within = 2.0**-52 * error + np.finfo(float).tiny
        agree(f"of numbers at b = {b}", numbers, wanted, within)
        assert got[3] == numbers[3] == 0.0


@statement("P1")
@pytest.mark.parametrize("b", [2.0, 4.9, 12.0])
def test_a_cobweb_is_the_map_again_and_again(subject: Subject, b: float) -> None:
    start = float(subject.rounded(np.asarray(0.6)))
    path = hopcore.phase.cobweb(start, b, 10, steps=6)
    assert path.shape == (13, 2)
    assert tuple(path[0]) == (start, start)
    # From the diagonal up to the map, and from there across to the diagonal.
    assert np.all(path[1::2, 0] == path[:-1:2, 0])
    assert np.all(path[2::2, 0] == path[2::2, 1])
    assert np.all(path[2::2, 1] == path[1::2, 1])
    ends = subject.precise(hopcore.phase.reduced_map, path[:-1:2, 1], b, 10)
    agree("the map", path[1::2, 1], ends, 16.0 * subject.fine * (1.0 + b))
    rest = [point.overlap for point in hopcore.phase.reduced_fixed_points(b, 10)]
    far = hopcore.phase.cobweb(start, b, 10, steps=400)[-1, 1]
    at_most("distance to a fixed point", np.min(np.abs(far - np.asarray(rest))), 1e-9)


@statement("P1")
@pytest.mark.parametrize("patterns", [2, 3, 10, 1000, 10**6])
def test_fixed_points_of_the_reduced_map(subject: Subject, patterns: int) -> None:
    first, _, last = hopcore.transition(patterns)
    inside = [first * (1.0 + 1e-9), 0.5 * (first + last), last * (1.0 - 1e-9)]
    for b in (1e-3, first * (1.0 - 1e-9), *(inside if patterns > 2 else []),
              last * (1.0 + 1e-9), 1.7 * last, 1e9 * last):  # fmt: skip
        found = hopcore.phase.reduced_fixed_points(b, patterns)
        overlaps = np.asarray([point.overlap for point in found])
        assert len(found) == (3 if b > first else 1), b
        assert np.all(np.diff(overlaps) > 0.0), b
        for s, slope in found:
            end, wanted = plain.reduced(s, b, patterns)
            # Where s is rounded, f(s) moves by its slope.
            at_most(f"|f(s) - s| at b = {b}", np.asarray(abs(end - s)), 0.0, 4e-16 * (1.0 + slope))
            agree(f"slope at b = {b}", np.asarray(slope), wanted, 1e-9 * (1.0 + wanted))
        # Minima and barriers take turns on the line.
        outer = [point.slope < 1.0 for point in found]
        assert outer == ([True] if b <= first else [True, False, True]), b
        if patterns == 2 and len(found) == 3:
            assert overlaps[0] == -overlaps[2]
    if patterns > 2:
        # The barrier passes the centroid: both are one fixed point.
        found = hopcore.phase.reduced_fixed_points(last, patterns)
        assert len(found) == 2
        assert found[0].overlap == 0.0


@statement("P1", "P4")
@pytest.mark.parametrize("b", [5.0, 9.0, 11.0])
def test_fixed_points_are_those_of_the_update(subject: Subject, b: float) -> None:
    stored, scale = simplex(subject, 10)
    fine, mean = subject.precise, stored.mean(axis=0)
    points = hopcore.phase.reduced_fixed_points(b, 10)
    s = np.asarray([point.overlap for point in points])[:, None]
    states, beta = mean + s * (stored[0] - mean), b / scale
    within = 64.0 * fine.fine * (1.0 + b) * np.max(np.linalg.norm(stored, axis=-1))
    agree("the update", fine(hopcore.update, states, stored, beta), states, within)
    # Along the line the Jacobian is the slope of the map; across it, to another of the equal
    # patterns, b p_j.
    slope = np.asarray([point.slope for point in points])
    wanted = np.maximum(slope, b * (1.0 - s[:, 0]) / 10.0)
    radius = fine(hopcore.phase.jacobian_radius, states, stored, beta)
    agree("radius", radius, wanted, 1e-3 * wanted)
