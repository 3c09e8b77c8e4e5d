"""Which inputs are accepted, and properties of the results (docs/spec/inputs.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore.arrays import check_inputs
from hopcore_conformance.cases.memory import SEPARATIONS, Problem, problems
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

STATE, STORED = np.full((3, 2), 0.5), np.eye(4, 2)


def refused(error: type[Exception], *words: str, call: Callable[[], Any]) -> None:
    """Check that a call is refused in one line that contains the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message, f"more than one line: {message}"
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


FUNCTIONS = (
    hopcore.energy,
    hopcore.energy_gradient,
    hopcore.update,
    hopcore.association_weights,
    hopcore.retrieve,
    lambda state, stored, beta, **options: hopcore.association(state, stored, beta=beta, **options),
)


def each(subject: Subject, error: type[Exception], *words: str, **changes: Any) -> None:
    """Check that every function refuses an input."""
    for function in FUNCTIONS:
        given = {"state": subject.put(STATE), "stored": subject.put(STORED), "beta": 1.0, **changes}
        refused(error, *words, call=lambda f=function, g=given: f(**g))


def core(subject: Subject, error: type[Exception], *words: str, **changes: Any) -> None:
    """Check that the core refuses an input that public functions may convert."""
    given = {"state": subject.put(STATE), "stored": subject.put(STORED), "beta": 1.0, **changes}
    refused(error, *words, call=lambda: check_inputs(**given))


def seen(subject: Subject) -> None:
    """Skip a check of values where hopcore cannot see them."""
    if not subject.backend.can_read_values(subject.put(STATE)):
        pytest.skip("values are not visible here, and not checked")


@statement("A.type")
def test_what_is_no_array_is_refused(subject: Subject) -> None:
    core(subject, TypeError, "state", "list", "np.asarray(state", state=[[1.0, 2.0]])
    for name, value in (("stored", "patterns"), ("state", None)):
        each(subject, TypeError, name, type(value).__name__, **{name: value})


@statement("A.type")
@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "complex64"])
def test_dtypes_that_are_not_real_floating_are_refused(subject: Subject, dtype: str) -> None:
    xp = subject.backend.xp
    if (
        dtype == "int64"
        and xp.zeros(1, dtype=xp.int32).dtype == subject.backend.asarray([1], dtype="int32").dtype
    ):
        dtype = "int32"
    array = subject.backend.asarray(
        np.ones((3, 2), dtype=dtype), dtype=dtype, device=subject.device
    )
    core(subject, TypeError, "state", "floating", dtype, state=array)
    if dtype == "complex64":
        each(subject, TypeError, "state", "floating", dtype, "state.real", state=array)


@statement("A.type")
def test_object_arrays_are_refused(subject: Subject) -> None:
    each(subject, TypeError, state=np.asarray([[object(), object()]]))


@statement("A.type")
def test_two_libraries_are_refused(subject: Subject) -> None:
    other = array_api_strict if subject.backend.name == "numpy" else np
    dtype = "float64" if subject.dtype == "float64" else "float32"
    foreign = other.asarray(STORED, dtype=getattr(other, dtype))
    core(subject, TypeError, "stored", "library", subject.backend.name, stored=foreign)
    mask = other.asarray(np.ones((3, 4), dtype=bool))
    core(subject, TypeError, "mask", "library", subject.backend.name, mask=mask)


@statement("A.type")
def test_two_dtypes_are_refused(subject: Subject) -> None:
    backend, own = subject.backend, subject.put(STATE).dtype
    others = [dtype for dtype in backend.precise if dtype != own]
    stored = backend.xp.astype(subject.put(STORED), others[0])
    core(subject, TypeError, "stored", "dtype", str(own), str(stored.dtype), stored=stored)
    beta = backend.xp.astype(subject.put(np.ones(3)), others[0])
    core(subject, TypeError, "beta", "dtype", beta=beta)


@statement("A.type")
def test_masks_of_integers_are_refused(subject: Subject) -> None:
    byte = subject.backend.asarray(
        np.ones((3, 4), dtype="uint8"), dtype="uint8", device=subject.device
    )
    each(subject, TypeError, "mask", "boolean", "uint8", mask=byte)


@statement("A.single")
@given(p=problems(shapes=((3, 6, 4), (1, 5, 2)), separations=SEPARATIONS[:2]))
def test_a_single_query_gives_results_without_its_axis(subject: Subject, p: Problem) -> None:
    beta = float(np.max(p.beta))
    for function in FUNCTIONS:
        options = {"separation": p.separation, "beta": beta}
        stored = subject.put(p.stored)
        whole = function(subject.put(p.state[:1]), stored, **options)
        one = function(subject.put(p.state[0]), stored, **options)
        pairs = zip(one, whole, strict=True) if isinstance(one, tuple) else [(one, whole)]
        for got, wanted in pairs:
            right = subject.get(wanted)[0]
            assert tuple(got.shape) == right.shape, f"{tuple(got.shape)}, not {right.shape}"
            np.testing.assert_allclose(subject.get(got), right, rtol=8 * subject.eps, atol=1e-30)


@statement("A.convert")
@pytest.mark.parametrize("kind", ["list", "int32", "uint8", "bool", "float32", "numpy"])
def test_what_people_have_is_converted(subject: Subject, kind: str) -> None:
    values = np.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    backend, stored = subject.backend, subject.put(STORED)
    given: Any = values.tolist()
    if kind == "numpy":
        given, stored = subject.put(values), STORED
        if isinstance(given, np.ndarray):
            stored = stored.astype(np.float32)
    elif kind != "list":
        given = backend.asarray(values.astype(kind), dtype=kind, device=subject.device)
    for function in FUNCTIONS:
        right = function(subject.put(values), subject.put(STORED), beta=1.0)
        got = function(given, stored, beta=1.0)
        found, wanted = (
            subject.get(x.state if isinstance(x, hopcore.Retrieval) else x) for x in (got, right)
        )
        rounding = 64 * max(subject.eps, float(np.finfo(np.float32).eps))
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=rounding)


@statement("A.convert")
def test_no_conversion_changes_a_value(subject: Subject) -> None:
    seen(subject)
    default = subject.backend.xp.asarray(0.0).dtype
    most = int(2.0 / subject.backend.xp.finfo(default).eps)
    huge = [[most + 2, 1]]
    each(subject, ValueError, "state", str(most), str(most + 2), state=huge)
    each(subject, ValueError, "state", "ragged", state=[[1.0, 2.0], [3.0]])
    for values in ([["a", "b"]], np.asarray([[1.0, object()]])):
        each(subject, TypeError, "state", "dtype=float", state=values)
    masked = np.ma.masked_array(STATE, STATE > 2)
    each(subject, TypeError, "state", "mask=", state=masked)
    refused(ValueError, "16777216" if most == 2**24 else str(most), call=lambda: (
        hopcore.retrieve([most + 2, 1], subject.put(STORED), 1.0)
    ))  # fmt: skip


@statement("A.shape")
def test_shapes_that_do_not_fit_are_refused(subject: Subject) -> None:
    put = subject.put
    each(subject, ValueError, "(3, 2)", "(4, 3)", stored=put(np.ones((4, 3))))
    core(subject, ValueError, "(2,)", "(4, 2)", state=put(np.ones(2)))
    each(subject, ValueError, "(2,)", stored=put(np.ones(2)))
    each(subject, ValueError, "(0, 2)", "at least one", stored=put(np.ones((0, 2))))
    each(subject, ValueError, "(4, 0)", state=put(np.ones((3, 0))), stored=put(np.ones((4, 0))))
    batches = {"state": put(np.ones((2, 3, 2))), "stored": put(np.ones((3, 4, 2)))}
    each(subject, ValueError, "(2,)", "(3,)", "broadcast", **batches)
    each(subject, ValueError, "mask", "3, 4", "(4, 3)", mask=put(np.ones((4, 3), dtype=bool)))
    each(subject, ValueError, "mask", "(3,)", mask=put(np.ones(3, dtype=bool)))
    each(subject, ValueError, "beta", "(4,)", beta=put(np.ones(4)))
    arrays = put(STATE), put(STORED), put(np.ones((3, 2)))
    refused(ValueError, "4, v", "(3, 2)", call=lambda: hopcore.association(*arrays, beta=1.0))


@statement("A.value")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(subject: Subject, value: float) -> None:
    seen(subject)
    for name, array in (("state", STATE), ("stored", STORED)):
        bad = array.copy()
        bad[2, 1] = value
        each(subject, ValueError, name, "finite", str(value), "(2, 1)", **{name: subject.put(bad)})
        # A mask that hides the pattern from one query shows it to the others.
        mask = np.ones((3, 4), dtype=bool)
        mask[0] = False
        changes = {name: subject.put(bad), "mask": subject.put(mask)}
        each(subject, ValueError, name, "finite", str(value), "(2, 1)", **changes)
    values = subject.put(np.full((4, 2), value))
    arrays = subject.put(STATE), subject.put(STORED), values
    refused(ValueError, "projection", call=lambda: hopcore.association(*arrays, beta=1.0))


@statement("A.value")
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_inverse_temperatures_are_positive_and_finite(subject: Subject, value: float) -> None:
    seen(subject)
    each(subject, ValueError, "beta", "positive", beta=float(value))
    each(subject, ValueError, "beta", "positive", beta=subject.put(np.asarray([1.0, value, 1.0])))
    each(subject, ValueError, "beta", "positive", beta=subject.put(np.asarray(value)))
    refused(ValueError, "beta", call=lambda: hopcore.lse(value, subject.put(STATE)))


@statement("A.value")
def test_inverse_temperatures_leave_scores_finite(subject: Subject) -> None:
    seen(subject)
    most = float(np.finfo(subject.precise.dtype).max)
    each(subject, ValueError, "beta", "at most", beta=most / 4)
    if subject.dtype == subject.precise.dtype:
        each(subject, ValueError, "beta", "at most", beta=subject.put(np.asarray(most / 4)))
    energy = hopcore.energy(subject.put(STATE), subject.put(STORED), most / 1e4)
    assert np.all(np.isfinite(subject.get(energy)))


@statement("A.type")
@pytest.mark.parametrize(
    "value", ["1", None, True, np.bool_(True), np.asarray(True), np.str_("1"), 2j], ids=repr
)
def test_inverse_temperatures_are_numbers(subject: Subject, value: Any) -> None:
    each(subject, TypeError, "beta", beta=value)
    core(subject, TypeError, "beta", "list", beta=[1.0])


@statement("B.beta")
@pytest.mark.parametrize("value", [2, 2.0, np.int64(2), np.float32(2.0), np.asarray(2)], ids=repr)
def test_numbers_that_are_equal_are_one_beta(subject: Subject, value: Any) -> None:
    arrays = subject.put(STATE), subject.put(STORED)
    for function in (hopcore.energy, hopcore.update):
        wanted = subject.get(function(*arrays, 2.0))
        agree(function.__name__, subject.get(function(*arrays, value)), wanted, 0.0)
    wanted = subject.get(hopcore.lse(2.0, arrays[0]))
    agree("lse", subject.get(hopcore.lse(value, arrays[0])), wanted, 0.0)


@statement("A.value")
def test_separation_functions_are_known(subject: Subject) -> None:
    each(subject, ValueError, "'sharp'", "softmax", separation="sharp")
    each(subject, TypeError, "separation", separation=2.0)
    for alpha in (1.0, 0.5, np.inf, np.nan, -2.0):
        refused(ValueError, "alpha", str(alpha), call=lambda a=alpha: hopcore.Entmax(a))
    for alpha in ("2", None, True):
        refused(TypeError, "alpha", call=lambda a=alpha: hopcore.Entmax(a))


@statement("A.value")
def test_options_of_retrieval_are_checked(subject: Subject) -> None:
    def retrieve(**options: Any) -> Callable[[], Any]:
        return lambda: hopcore.retrieve(subject.put(STATE), subject.put(STORED), 1.0, **options)

    for steps in (-1, 2.5, True):
        refused((ValueError, TypeError), "max_steps", repr(steps), call=retrieve(max_steps=steps))
    for tol in (-1e-3, np.inf, np.nan):
        refused(ValueError, "tol", call=retrieve(tol=tol))
    refused(ValueError, "gradient", "'none'", call=retrieve(gradient="none"))


@statement("A.value", "E.merge")
def test_pieces_that_do_not_merge_are_refused(subject: Subject) -> None:
    refused(ValueError, "at least one", call=lambda: hopcore.merge_associations([]))
    parts = [
        hopcore.association(subject.put(STATE[:n]), subject.put(STORED), beta=1.0, return_lse=True)
        for n in (3, 2)
    ]
    refused(ValueError, "(3, 2)", "(2, 2)", call=lambda: hopcore.merge_associations(parts))
    arrays = subject.put(STATE), subject.put(STORED)
    options: dict[str, Any] = {"beta": 1.0, "separation": "sparsemax", "return_lse": True}
    refused(ValueError, "return_lse", call=lambda: hopcore.association(*arrays, **options))


@statement("A.value")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_are_finite_or_masked(subject: Subject, value: float) -> None:
    seen(subject)
    for function in ("softmax", "sparsemax", hopcore.Entmax(1.5)):
        scores = subject.put(np.asarray([[0.0, -np.inf], [1.0, value]]))
        refused(ValueError, str(value), call=lambda f=function, z=scores: hopcore.separate(z, f))


@statement("A.shape", "A.type")
def test_scores_are_checked(subject: Subject) -> None:
    for function in (hopcore.separate, lambda z: hopcore.lse(1.0, z)):
        refused(TypeError, "scores", call=lambda f=function: f([1.0]))
        refused(ValueError, "(3, 0)", call=lambda f=function: f(subject.put(np.ones((3, 0)))))
        refused(ValueError, "()", call=lambda f=function: f(subject.put(np.asarray(1.0))))
    scores = subject.put(np.ones((3, 2)))
    for mask, error, word in (
        (subject.put(np.ones((3, 2))), TypeError, "boolean"),
        (subject.put(np.ones((3, 4), dtype=bool)), ValueError, "(3, 4)"),
    ):
        refused(error, "mask", word, call=lambda m=mask: hopcore.lse(1.0, scores, mask=m))


@statement("A.value")
def test_unknown_backends_are_refused(subject: Subject) -> None:
    refused(ValueError, "'nowhere'", "numpy", call=lambda: hopcore.backend("nowhere"))
    refused(TypeError, "int", call=lambda: hopcore.backend(3))  # type: ignore[arg-type]
    assert hopcore.backend(subject.backend.name) is hopcore.backend(subject.backend.name)


@statement("A.kind")
@given(p=problems(projected=True, masked=True, shapes=((3, 6, 4),), separations=SEPARATIONS[:2]))
def test_results_are_of_the_kind_of_the_input(subject: Subject, p: Problem) -> None:
    backend, xp = subject.backend, subject.backend.xp
    state, stored, projection = (subject.put(x) for x in (p.state, p.stored, p.projection))
    options = dict(p.options)
    if p.mask is not None:
        options["mask"] = subject.put(p.mask)
    own, wide = state.dtype, xp.zeros(0, dtype=backend.precise[state.dtype]).dtype
    found = hopcore.retrieve(state, stored, p.beta, **options, max_steps=2)
    softmax = {**options, "separation": "softmax"}
    output, lse = hopcore.association(
        state, stored, projection, beta=p.beta, return_lse=True, **softmax
    )
    merged, total = hopcore.merge_associations([(output, lse), (output, lse)])
    for name, got, dtype in (
        ("energy", hopcore.energy(state, stored, p.beta, **options), wide),
        ("energy_gradient", hopcore.energy_gradient(state, stored, p.beta, **options), own),
        ("update", hopcore.update(state, stored, p.beta, **options), own),
        ("association", output, own),
        ("log-sum-exp", lse, wide),
        ("merged association", merged, own),
        ("merged log-sum-exp", total, wide),
        ("weights", hopcore.association_weights(state, stored, p.beta, **options), own),
        ("separate", hopcore.separate(state, p.separation), own),
        ("lse", hopcore.lse(1.0, state), wide),
        ("retrieved state", found.state, own),
        ("residual", found.residual, wide),
        ("energy of the retrieved state", found.energy, wide),
        ("steps", found.steps, found.steps.dtype),
        ("converged", found.converged, found.converged.dtype),
    ):
        assert isinstance(got, type(state)), f"{name} is {type(got)}, the state {type(state)}"
        assert got.dtype == dtype, f"{name} has dtype {got.dtype}, expected {dtype}"
        place = backend.device(state)
        assert backend.device(got) == place, f"{name} is on {backend.device(got)}, not on {place}"
    assert "int" in str(found.steps.dtype), f"steps are {found.steps.dtype}"
    assert "bool" in str(found.converged.dtype), f"converged is {found.converged.dtype}"


@statement("A.unchanged")
@given(p=problems(projected=True, masked=True, shapes=((3, 6, 4),), separations=SEPARATIONS[:2]))
def test_inputs_are_left_as_they_are(subject: Subject, p: Problem) -> None:
    # Writable inputs here; everywhere else the suite hands NumPy read-only ones.
    arrays = [
        subject.backend.asarray(np.array(x), dtype=subject.dtype, device=subject.device)
        for x in (p.state, p.stored, p.projection)
    ]
    before = [subject.get(array).copy() for array in arrays]
    options = {k: subject.put(v) if isinstance(v, np.ndarray) else v for k, v in p.options.items()}
    state, stored, projection = arrays
    hopcore.retrieve(state, stored, p.beta, **options, max_steps=5)
    hopcore.energy(state, stored, p.beta, **options)
    hopcore.association(state, stored, projection, beta=p.beta, **options)
    for name, array, was in zip(("state", "stored", "projection"), arrays, before, strict=True):
        np.testing.assert_array_equal(subject.get(array), was, f"{name} was written to")
