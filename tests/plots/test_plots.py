"""Pictures: what they draw is what was computed, and their names can be read."""

from __future__ import annotations

import inspect
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import hopcore
from hopcore import plots, training
from hopcore.plots import _landscape as landscape

TEN = np.eye(10)
BETAS = np.geomspace(3.0, 15.0, 12)
SWEEP = hopcore.phase.sweep(TEN, BETAS)
CLOUD = np.random.default_rng(0).standard_normal((30, 6))
CLOUD *= 2.0 / np.linalg.norm(CLOUD, axis=-1, keepdims=True)
FOUND = hopcore.critical_betas(CLOUD)
RING = np.stack([np.cos(np.arange(5) * 1.3), np.sin(np.arange(5) * 1.3)], axis=-1)


@pytest.fixture
def ax():
    return plots.new_figure(5.2, 3.6, dpi=100).subplots()


def line(ax, label):
    """The one line of a name."""
    (found,) = [one for one in ax.lines if one.get_label() == label]
    return found


def points(ax, label):
    return np.stack(line(ax, label).get_data(), axis=-1)


def test_matplotlib_is_not_imported_before_a_picture():
    code = "import sys, hopcore.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there():
    for name in plots.__all__:
        assert getattr(plots, name) is not None


# Axes and arrays.

RECORDS = training.AttentionRecords()
RECORDS.add(0, "first", hopcore.statistics(CLOUD[None], CLOUD[None], 1.0))

WITH_AXES = {"frame", "heading", "quiet"}
"""Functions that change axes in which something is drawn already."""

PLAIN = {
    "attention_map": (TEN,),
    "cobweb": (6.0, 10),
    "critical_distribution": (FOUND,),
    "curves": ({"a": plots.Curve([0, 1], [1.0, 2.0], [0.1, 0.1])}, ["x", "y"]),
    "energy_landscape": (RING, 6.0),
    "gallery": (CLOUD.reshape(30, 2, 3),),
    "minima_over_beta": (SWEEP,),
    "over": (BETAS, 1.0 / BETAS),
    "phase_diagram": (np.asarray([2, 60]),),
    "sharpness_over_beta": (SWEEP,),
    "statistics": (RECORDS.records,),
    "temperature_history": (BETAS, 1.0 / BETAS),
}
"""What each function draws, with arrays of NumPy."""


def drawing():
    """The functions that draw into axes."""
    functions = {name: getattr(plots, name) for name in plots.__all__}
    return {
        name
        for name, function in functions.items()
        if inspect.isfunction(function) and "ax" in inspect.signature(function).parameters
    }


def test_the_last_argument_is_the_axes():
    assert drawing() - WITH_AXES == set(PLAIN)
    for name in PLAIN:
        *_, last = inspect.signature(getattr(plots, name)).parameters.values()
        assert (last.name, last.kind, last.default) == ("ax", last.KEYWORD_ONLY, None), name


@pytest.mark.parametrize("name", PLAIN)
def test_lists_are_drawn_like_arrays_with_and_without_axes(ax, name):
    function, arguments = getattr(plots, name), PLAIN[name]
    lists = [x.tolist() if isinstance(x, np.ndarray) else x for x in arguments]
    assert function(*arguments, ax=ax) is ax
    alone = function(*lists)
    assert alone.figure is not ax.figure
    assert len(alone.lines) == len(ax.lines)
    for one, other in zip(alone.lines, ax.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    for one, other in zip(alone.images, ax.images, strict=True):
        np.testing.assert_array_equal(one.get_array(), other.get_array())


@pytest.mark.parametrize("name", PLAIN)
def test_axes_in_a_wrong_place_are_refused(ax, name):
    with pytest.raises(TypeError, match=f"{name} takes .* by position"):
        getattr(plots, name)(*PLAIN[name], *[ax] * 4)
    with pytest.raises(TypeError, match=r"must be matplotlib's Axes, got Figure; give figure\.sub"):
        getattr(plots, name)(*PLAIN[name], ax=ax.figure)
    with pytest.raises(TypeError, match=r"got ndarray; give one of them, as axes\[0\]"):
        getattr(plots, name)(*PLAIN[name], ax=np.asarray([ax, ax]))
    with pytest.raises(TypeError, match="has no argument axes: did you mean ax"):
        getattr(plots, name)(*PLAIN[name], axes=ax)


# Every picture.

PICTURES = {
    "landscape of two axes": lambda ax: plots.energy_landscape(
        RING, 6.0, queries=0.5 * RING, ax=ax
    ),
    "landscape of principal axes": lambda ax: plots.energy_landscape(CLOUD, 1.0, ax=ax),
    "landscape of three": lambda ax: plots.energy_landscape(CLOUD, 1.0, plane=(4, 0, 9), ax=ax),
    "cobweb, hot": lambda ax: plots.cobweb(3.0, 10, ax=ax),
    "cobweb, at the saddle-node": lambda ax: plots.cobweb(4.56, 10, ax=ax),
    "cobweb, between": lambda ax: plots.cobweb(6.0, 10, ax=ax),
    "cobweb, cold": lambda ax: plots.cobweb(20.0, 10, ax=ax),
    "cobweb of two": lambda ax: plots.cobweb(4.0, 2, ax=ax),
    "phase diagram": lambda ax: plots.phase_diagram(ax=ax),
    "phase diagram of few": lambda ax: plots.phase_diagram((2, 4), ax=ax),
    "measured": lambda ax: plots.phase_diagram(
        measured={"one": (100, 9.0, 8.0, 300.0), "two": (100, 0.5), "more": ([3, 9], [4, 5])}, ax=ax
    ),
    "minima": lambda ax: plots.minima_over_beta(SWEEP, critical=FOUND, marks=MARKS, ax=ax),
    "retrieved": lambda ax: plots.minima_over_beta(SWEEP, marks=MARKS, count="retrieved", ax=ax),
    "sharpness": lambda ax: plots.sharpness_over_beta(SWEEP, marks=MARKS, ax=ax),
    "critical": lambda ax: plots.critical_distribution(FOUND, marks=MARKS, ax=ax),
    "attention": lambda ax: plots.attention_map(TEN, ax=ax),
    "heads": lambda ax: plots.attention_map(CLOUD.reshape(3, 10, 6) ** 2, ax=ax),
    "layers": lambda ax: plots.attention_map(CLOUD.reshape(2, 3, 5, 6) ** 2, ax=ax),
    "history": lambda ax: plots.temperature_history(BETAS, 1.0 / BETAS, ax=ax),
    "marks in a crowd": lambda ax: plots.minima_over_beta(
        SWEEP, marks={f"a name, the {k}th": 4.0 + 0.1 * k for k in range(5)}, ax=ax
    ),
}
MARKS = {"one name": 4.5, "one beside it": 4.6, "another between": 4.7, "far away": 20.0}


def words(figure):
    """The boxes of all words that are seen, after the layout."""
    from matplotlib.axis import Axis, Tick
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    for _ in range(2):
        figure.draw_without_rendering()
    hidden = set()
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        beyond = [one for one in axis.findobj(Tick) if not low <= one.get_loc() <= high]
        hidden |= {id(text) for tick in beyond for text in tick.findobj(Text)}
    found = []
    for one in figure.findobj(Text):
        if one.get_text().strip() and one.get_visible() and id(one) not in hidden:
            box = one.get_window_extent()
            # Empty lines lift a name.
            below = len(one.get_text()) - len(one.get_text().rstrip())
            lift = box.height * below / (1 + one.get_text().count("\n"))
            found.append((one.get_text(), Bbox.from_extents(box.x0, box.y0 + lift, box.x1, box.y1)))
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_words_do_not_cover_each_other_and_are_on_the_page(ax, name):
    assert PICTURES[name](ax) is ax
    seen, page = words(ax.figure), ax.figure.bbox
    assert seen
    for text, box in seen:
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
    for (one, first), (two, second) in combinations(seen, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        along = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(across, along) < 1.5, (one, two)


# Landscapes.


@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_heights_are_energies(similarity):
    view = landscape.plane_of(CLOUD, (4, 0, 9))
    places = np.random.default_rng(1).standard_normal((7, 5, 2))
    states = view.origin + places.reshape(-1, 2) @ view.axes
    # The longest pattern, whose length counts, lies beside the plane.
    patterns = np.concatenate([CLOUD, 1.2 * CLOUD[7:8]])
    expected = hopcore.energy(states, patterns, 1.3, similarity=similarity).reshape(7, 5)
    drawn = landscape.heights(view, places, patterns, 1.3, similarity)
    np.testing.assert_allclose(drawn, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(view.onto(states), places.reshape(-1, 2), atol=1e-12)


def test_a_plane_goes_through_its_patterns():
    view = landscape.plane_of(CLOUD, (4, 0, 9))
    inside = view.within(CLOUD)
    assert np.nonzero(inside)[0].tolist() == [0, 4, 9]
    np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(2), atol=1e-12)
    corners = CLOUD[[4, 0, 9]]
    np.testing.assert_allclose(view.origin + view.onto(corners) @ view.axes, corners, atol=1e-12)


def test_three_patterns_span_their_plane():
    assert landscape.plane_of(CLOUD[:3], None).within(CLOUD[:3]).all()


def test_the_first_axes_are_those_of_the_largest_variance():
    view = landscape.plane_of(CLOUD, None)
    seen = np.var(view.onto(CLOUD), axis=0)
    expected = np.linalg.eigvalsh(np.cov(CLOUD.T, bias=True))[::-1][:2]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_ways_are_updates_and_minima_fixed_points(ax):
    queries = np.asarray([[0.3, 0.2], [-0.5, 0.1]])
    plots.energy_landscape(RING, 6.0, queries=queries, steps=7, resolution=20, ax=ax)
    ways = [np.stack(one.get_data(), axis=-1) for one in ax.lines if one.get_marker() == "."]
    assert len(ways) == 2
    for query, way in zip(queries, ways, strict=True):
        expected = [query]
        for _ in range(7):
            expected.append(hopcore.update(expected[-1][None], RING, 6.0)[0])
        np.testing.assert_allclose(way, expected, atol=1e-12)
    minima = points(ax, "minimum")
    assert len(minima) == len(hopcore.phase.minima(RING, 6.0).share)
    np.testing.assert_allclose(hopcore.update(minima, RING, 6.0), minima, atol=1e-6)
    np.testing.assert_array_equal(points(ax, "pattern"), RING)
    np.testing.assert_array_equal(points(ax, "query"), queries)


def test_ways_end_at_rest():
    way = landscape.walked(RING[:2], RING, 6.0, 10000, "dot")
    assert 5 < len(way) < 200
    np.testing.assert_allclose(hopcore.update(way[-1], RING, 6.0), way[-1], atol=1e-6)


def test_the_frame_holds_all_that_is_drawn(ax):
    plots.energy_landscape(RING, 6.0, queries=np.asarray([[3.0, -0.5]]), resolution=20, ax=ax)
    for shown in ax.lines:
        places = np.stack(shown.get_data(), axis=-1)
        for column, (low, high) in enumerate((ax.get_xlim(), ax.get_ylim())):
            assert (places[:, column] >= low).all()
            assert (places[:, column] <= high).all()


def test_the_shades_fill_the_frame(ax):
    plots.energy_landscape(RING, 6.0, resolution=20, ax=ax)
    corners = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    np.testing.assert_allclose((corners[:, 0].min(), corners[:, 0].max()), ax.get_xlim())
    np.testing.assert_allclose((corners[:, 1].min(), corners[:, 1].max()), ax.get_ylim())


def test_what_is_beside_the_plane_may_be_left_out(ax):
    plots.energy_landscape(CLOUD, 1.0, plane=(0, 1, 2), resolution=20, ax=ax)
    assert len(points(ax, "pattern beside the plane")) == 27
    ax.clear()
    plots.energy_landscape(CLOUD, 1.0, plane=(0, 1, 2), others=False, resolution=20, ax=ax)
    assert "pattern beside the plane" not in [one.get_label() for one in ax.lines]
    assert len(points(ax, "pattern")) == 3


@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax.numpy"])
def test_arrays_of_any_library(ax, library):
    xp = pytest.importorskip(library)
    few = RING.astype(np.float32)
    plots.energy_landscape(xp.asarray(few), 6.0, queries=xp.asarray(few[:2]), resolution=20, ax=ax)
    found = points(ax, "minimum")
    other = plots.new_figure(5, 4).subplots()
    plots.energy_landscape(few, 6.0, queries=few[:2], resolution=20, ax=other)
    np.testing.assert_array_equal(found, points(other, "minimum"))
    image = plots.attention_map(xp.asarray(few), ax=plots.new_figure(5, 4).subplots()).images[0]
    np.testing.assert_array_equal(image.get_array(), few)
    history = plots.new_figure(5, 4).subplots()
    plots.temperature_history(xp.asarray([0.0, 1.0]), {"T": xp.asarray([1.0, 0.5])}, ax=history)
    assert history.lines[0].get_ydata().tolist() == [1.0, 0.5]


# Theory.


@pytest.mark.parametrize(("b", "patterns"), [(3.0, 10), (6.0, 10), (20.0, 10), (4.0, 3)])
def test_fixed_points_are_filled_where_they_attract(ax, b, patterns):
    plots.cobweb(b, patterns, ax=ax)
    found = hopcore.phase.reduced_fixed_points(b, patterns)
    for label, attracts, face in (("attracts", True, plots.INK), ("repels", False, "white")):
        expected = [at for at, slope in found if (slope < 1.0) == attracts]
        assert points(ax, label).tolist() == [[at, at] for at in expected]
        assert line(ax, label).get_markerfacecolor() == face


def test_paths_are_cobwebs_of_the_map_that_is_drawn(ax):
    plots.cobweb(6.0, 10, starts=[0.5, 0.1], steps=9, ax=ax)
    lines = [np.stack(one.get_data(), axis=-1) for one in ax.lines]
    (drawn_map,) = [one for one in lines if len(one) > 100]
    np.testing.assert_allclose(drawn_map[:, 1], hopcore.phase.reduced_map(drawn_map[:, 0], 6.0, 10))
    paths = [one for one in lines if len(one) == 19]
    for start, path in zip((0.5, 0.1), paths, strict=True):
        np.testing.assert_array_equal(path, hopcore.phase.cobweb(start, 6.0, 10, steps=9))


def test_paths_begin_on_both_sides_of_the_barrier(ax):
    plots.cobweb(6.0, 10, ax=ax)
    ends = sorted(
        np.stack(one.get_data(), axis=-1)[-1, 0] for one in ax.lines if one.get_xdata().size == 101
    )
    places = [at for at, _ in hopcore.phase.reduced_fixed_points(6.0, 10)]
    np.testing.assert_allclose(ends, [places[0], places[2]], atol=1e-3)


def test_the_diagram_has_the_three_curves(ax):
    plots.phase_diagram((3, 1000), ax=ax)
    for label, curve in (
        ("patterns appear", hopcore.phase.saddle_node_beta),
        ("same energy", hopcore.phase.coexistence_beta),
        ("average lost, $b=N$", hopcore.phase.centroid_beta),
    ):
        n, b = line(ax, label).get_data()
        assert (n[0], n[-1]) == pytest.approx((3, 1000))
        np.testing.assert_allclose(b, curve(n), rtol=1e-12)


def test_what_was_measured_is_in_the_diagram(ax):
    measured = {"a": (50, 400.0, 0.1, 900.0), "b": (50, 7.0), "c": ([5, 9], [1.0, 2.0])}
    plots.phase_diagram((2, 60), measured=measured, ax=ax)
    assert points(ax, "b")[0] == pytest.approx([50.0, 7.0])
    assert points(ax, "a")[0, 0] < 50.0 < points(ax, "c")[0, 0] * 50.0 / 5.0
    assert points(ax, "c")[:, 1].tolist() == [1.0, 2.0]
    low, high = ax.get_ylim()
    assert low < 0.1
    assert high > 900.0
    plots.phase_diagram(measured={"large": (1e9, 30.0)}, ax=ax.figure.add_subplot())
    assert ax.figure.axes[-1].get_xlim()[1] > 1e9


# Sweeps.


@pytest.mark.parametrize("field", ["minima", "retrieved", "sharpness"])
def test_heated_and_cooled_are_two_lines(ax, field):
    if field == "sharpness":
        plots.sharpness_over_beta(SWEEP, ax=ax)
    else:
        plots.minima_over_beta(SWEEP, count=field, ax=ax)
    for label, branch in (
        ("← heated, from the patterns", SWEEP.heated),
        ("cooled, from the average →", SWEEP.cooled),
    ):
        betas, values = line(ax, label).get_data()
        np.testing.assert_array_equal(betas, SWEEP.betas)
        np.testing.assert_array_equal(values, getattr(branch, field))
    assert ax.get_xscale() == "log"


def test_marks_stand_where_they_belong(ax):
    plots.minima_over_beta(SWEEP, marks=MARKS, ax=ax)
    dashed = [one.get_xdata()[0] for one in ax.lines if one.get_color() == plots.QUIET]
    assert dashed == [4.5, 4.6, 4.7, 20.0]
    (top,) = ax.child_axes
    assert [text.get_text().strip() for text in top.get_xticklabels()] == list(MARKS)
    assert top.get_xticks().tolist() == list(MARKS.values())
    low, high = ax.get_xlim()
    assert low < 3.0
    assert high > 20.0


def test_a_bar_shows_where_patterns_appear(ax):
    sweep = hopcore.phase.sweep(CLOUD, np.geomspace(1e-3, 1e3, 8))
    plots.minima_over_beta(sweep, critical=FOUND, ax=ax)
    ends = line(ax, "5, 50, 95 % appear").get_xdata()
    for end, part in zip(ends, (0.05, 0.95), strict=True):
        below = np.mean(FOUND.appear < end)
        assert below <= part <= below + 2.0 / len(CLOUD)


def test_the_share_that_has_appeared(ax):
    appear = np.asarray([4.0, 1.0, np.inf, 2.0])
    found = FOUND._replace(pattern=np.arange(4), appear=appear, coexist=appear)
    plots.critical_distribution(found, ax=ax)
    betas, shares = ax.lines[0].get_data()
    for beta, share in ((0.99, 0.0), (1.01, 0.25), (2.01, 0.5), (3.99, 0.5), (4.01, 0.75)):
        assert shares[np.nonzero(betas <= beta)[0][-1]] == share
    assert shares[-1] == 0.75
    assert ax.lines[0].get_drawstyle() == "steps-post"
    assert "25.0% never appear" in [text.get_text() for text in ax.texts]


def test_limits_that_were_chosen_stay(ax):
    ax.set_xlim(0.5, 7.0)
    plots.critical_distribution(FOUND, ax=ax)
    assert ax.get_xlim() == (0.5, 7.0)


# Attention and temperatures.


def test_weights_are_shades(ax):
    plots.attention_map(TEN, ax=ax)
    assert ax.images[0].get_clim() == (0.0, 1.0)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is at the top
    plots.attention_map(TEN, limits=(0.0, 2.0), ax=ax)
    assert ax.images[1].get_clim() == (0.0, 2.0)


def test_heads_stand_side_by_side(ax):
    weights = np.arange(2 * 3 * 4 * 5, dtype=np.float64).reshape(2, 3, 4, 5)
    plots.attention_map(weights, ax=ax)
    sheet = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(sheet[:4, :5], weights[0, 0])
    np.testing.assert_array_equal(sheet[-4:, -5:], weights[1, 2])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["layer 1", "layer 2"]


def test_a_history_may_have_gaps(ax):
    plots.temperature_history([1, 2, 3], {"a": [0.1, np.nan, 0.2], "b": [1, 2, 3]}, ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_yscale() == "log"


# Bad input.

BAD = [
    (lambda ax: plots.energy_landscape(CLOUD[0], 1.0, ax=ax), "stored must be (N, d)", "(6,)"),
    (lambda ax: plots.energy_landscape(CLOUD[:, :1], 1.0, ax=ax), "d >= 2", "(30, 1)"),
    (lambda ax: plots.energy_landscape(CLOUD[:1], 1.0, ax=ax), "N >= 2", "(1, 6)"),
    (lambda ax: plots.energy_landscape(CLOUD, 0.0, ax=ax), "beta must be positive", "0.0"),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, plane=(0, 1), ax=ax), "0 to 29", "(0, 1)"),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, plane=(0, 1, 30), ax=ax), "0 to 29", "30"),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, plane=(0, 1, -1), ax=ax), "0 to 29", "-1"),
    (
        lambda ax: plots.energy_landscape(CLOUD, 1.0, plane=(0, 1, 1), ax=ax),
        "one line",
        "[0, 1, 1]",
    ),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, queries=RING, ax=ax), "(L, 6)", "(5, 2)"),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, resolution=1, ax=ax), "resolution", ">= 2"),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, steps=-1, ax=ax), "steps", ">= 0"),
    (lambda ax: plots.energy_landscape(CLOUD, 1.0, levels=1, ax=ax), "levels", ">= 2"),
    (lambda ax: plots.energy_landscape(CLOUD * np.nan, 1.0, ax=ax), "finite", "stored[0]"),
    (
        lambda ax: plots.energy_landscape(CLOUD, 1.0, queries=CLOUD / 0, ax=ax),
        "finite",
        "queries[0]",
    ),
    (lambda ax: plots.energy_landscape("words", 1.0, ax=ax), "numbers", "str"),
    (lambda ax: plots.cobweb(-1.0, 10, ax=ax), "b must be positive", "-1.0"),
    (lambda ax: plots.cobweb(1.0, 1, ax=ax), "patterns must be >= 2", "1"),
    (lambda ax: plots.cobweb(1.0, 10, starts=[np.nan], ax=ax), "finite", "nan"),
    (lambda ax: plots.phase_diagram([5], ax=ax), "two or more", "[5]"),
    (lambda ax: plots.phase_diagram([1, 5], ax=ax), "from 2 on", "[1, 5]"),
    (lambda ax: plots.phase_diagram(measured={"x": (1, 2, 3)}, ax=ax), "measured['x']", "3 of"),
    (lambda ax: plots.phase_diagram(measured={"x": ([1, 2], 3)}, ax=ax), "one length", "[2, 1]"),
    (lambda ax: plots.phase_diagram(measured={"x": (9, np.inf)}, ax=ax), "positive", "inf"),
    (lambda ax: plots.phase_diagram(measured={"x": (1, 3.0)}, ax=ax), "N >= 2", "1."),
    (lambda ax: plots.phase_diagram(measured={"x": 3.0}, ax=ax), "(N, b)", "float"),
    (lambda ax: plots.minima_over_beta(BETAS, ax=ax), "hopcore.phase.sweep", "ndarray"),
    (lambda ax: plots.sharpness_over_beta(None, ax=ax), "hopcore.phase.sweep", "NoneType"),
    (lambda ax: plots.minima_over_beta(SWEEP, count="all", ax=ax), "minima, retrieved", "'all'"),
    (lambda ax: plots.minima_over_beta(SWEEP, critical=3.0, ax=ax), "critical_betas", "float"),
    (lambda ax: plots.minima_over_beta(SWEEP, marks=[3.0], ax=ax), "mapping", "list"),
    (lambda ax: plots.minima_over_beta(SWEEP, marks={"x": np.inf}, ax=ax), "marks['x']", "inf"),
    (lambda ax: plots.minima_over_beta(SWEEP, marks={"x": "y"}, ax=ax), "marks['x']", "str"),
    (lambda ax: plots.critical_distribution(BETAS, ax=ax), "critical_betas", "ndarray"),
    (lambda ax: plots.attention_map(BETAS, ax=ax), "(L, S)", "(12,)"),
    (lambda ax: plots.attention_map(np.empty((0, 4)), ax=ax), "none of them 0", "(0, 4)"),
    (lambda ax: plots.attention_map(TEN * np.nan, ax=ax), "finite", "nan"),
    (lambda ax: plots.temperature_history([1, 2], [1.0], ax=ax), "(2,)", "(1,)"),
    (lambda ax: plots.over([1, 2], {"x": [1.0]}, ax=ax), "named x must", "(1,)"),
    (lambda ax: plots.gallery({"x": "y"}, ax=ax), "rows x must be numbers", "str"),
    (lambda ax: plots.temperature_history([1], {"x": [1, 2]}, ax=ax), "temperatures x", "(2,)"),
    (lambda ax: plots.temperature_history([1], [0.0], ax=ax), "positive", "0"),
]


@pytest.mark.parametrize(("call", "rule", "value"), BAD, ids=range(len(BAD)))
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_told_in_one_line(ax, call, rule, value):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(ax)
    message = str(caught.value)
    assert rule in message
    assert value in message
    assert "\n" not in message
    assert len(message) < 200


def test_nothing_that_ever_appears(ax):
    never = FOUND._replace(appear=np.full(30, np.inf))
    with pytest.raises(ValueError, match="none of the 30 patterns appears"):
        plots.critical_distribution(never, ax=ax)
    plots.minima_over_beta(SWEEP, critical=never, ax=ax)


def test_a_picture_is_written_whole(ax, tmp_path):
    from PIL import Image

    plots.cobweb(6.0, 10, ax=ax)
    plots.save(ax.figure, tmp_path / "all.png")
    plots.save(ax.figure, tmp_path / "few.png", colors=16)
    with Image.open(tmp_path / "all.png") as whole, Image.open(tmp_path / "few.png") as few:
        assert whole.size == few.size == (520, 360)
        assert len(few.getcolors()) <= 16
