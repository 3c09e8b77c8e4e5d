"""Associations by the kernels as primitives of JAX, with derivatives in both modes and every order.

``forward_p`` computes an association. Its derivative in forward mode is ``push_p``, a linear
function of the changes of the arrays, which is computed by the portable formula. That of reverse
mode is the transpose of ``push_p``, which is ``pull_p``, and computed by the kernels. Derivatives
of these two are those of the portable formula.

Where the kernels do not run, as on a CPU without the interpreter, the portable formula takes the
place of all three.

The attention of cuDNN takes the place of the kernels in the same way. It has no conjugate, and
saves nothing: its derivative makes the forward pass again. Both passes are the same call where the
program has both, and XLA may merge them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from hopcore.arrays import Array
from hopcore_jax.kernels import _cudnn as cudnn
from hopcore_jax.kernels.pallas._batching import merged, split, with_more
from hopcore_jax.kernels.pallas._launch import Launch, results_of
from hopcore_jax.kernels.pallas._layout import Arrays, Given, Plan, Results, sizes_of
from hopcore_jax.kernels.pallas._portable import portable, portable_best, portable_statistics

Tree = Any

LEARNED = "query", "key", "value", "beta", "bias"
"""The arrays of a call that have derivatives."""


def associate(plan: Plan, arrays: Arrays, also: str = "") -> Results:
    """Return the results of an association, with those of ``also``.

    What is "saved" is needed by the derivative; results about the "best" pattern have none. The
    derivative of "statistics" is that of the portable formula.
    """
    flat, tree = jax.tree.flatten(arrays)
    found = forward_p.bind(*flat, plan=plan, tree=tree, also=also)
    return jax.tree.unflatten(jax.tree.structure(shapes_of(plan, arrays, also)), found)


def shapes_of(plan: Plan, arrays: Arrays, also: str = "") -> Results:
    """Return the shapes and dtypes of the results of an association."""
    if plan.beta is not None:
        return Results(output=jax.ShapeDtypeStruct(arrays.query.shape, arrays.query.dtype))
    return results_of(sizes_of(plan, arrays), arrays, also)


def attention_of(plan: Plan) -> Callable[..., Array]:
    """Return the attention of cuDNN as a function of queries, keys and values."""
    options: Any = {"beta": plan.beta, "length": plan.length}
    return partial(cudnn.attention, **options)


def forward(*flat: Array, plan: Plan, tree: Tree, also: str, kernels: bool) -> list[Array]:
    """Compute the results of ``forward_p``."""
    arrays = jax.tree.unflatten(tree, flat)
    if kernels and plan.beta is not None:
        attend = attention_of(plan)
        # With what a derivative needs, so that its own forward pass is the same call.
        saves = also == "saved"
        return [jax.vjp(attend, *arrays[:3])[0] if saves else attend(*arrays[:3])]
    if kernels:
        return jax.tree.leaves(Launch(plan, arrays).forward(also))
    if also == "best":
        return jax.tree.leaves(portable_best(plan, arrays))
    if also == "statistics":
        return jax.tree.leaves(portable_statistics(plan, arrays))
    found = dict(zip(names_of(plan, arrays), by_portable(plan, arrays), strict=True))
    # The derivative of the portable formula needs nothing of what is saved.
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes_of(plan, arrays, also))
    return jax.tree.leaves(nothing._replace(**found))


def forward_shapes(*flat: Any, plan: Plan, tree: Tree, also: str) -> list[ShapedArray]:
    """Return what ``forward_p`` computes, without computing it."""
    arrays = jax.tree.unflatten(tree, flat)
    shapes = shapes_of(plan, arrays, also)
    return [ShapedArray(x.shape, x.dtype) for x in jax.tree.leaves(shapes)]


def forward_change(
    primals: Sequence[Any], tangents: Sequence[Any], *, plan: Plan, tree: Tree, also: str
) -> tuple[list[Any], list[Any]]:
    """The rule of ``forward_p`` for both modes of differentiation."""
    if also == "statistics":
        formula = partial(forward, kernels=False)
        return by_formula(formula, primals, tangents, plan=plan, tree=tree, also=also)
    arrays = jax.tree.unflatten(tree, primals)
    results = associate(plan, arrays, "saved")
    changes = {
        name: change
        for name, change in zip(Arrays._fields, jax.tree.unflatten(tree, tangents), strict=True)
        if name in LEARNED and not (change is None or isinstance(change, ad.Zero))
    }
    by = results._replace(output=None, conjugate=None)
    flat, whole = jax.tree.flatten((arrays, by, changes))
    pushed = push_p.bind(*flat, plan=plan, tree=whole)
    shown = {
        name: x
        for name, x in results._asdict().items()
        if x is not None and (also or name in ("output", "conjugate"))
    }
    # What is saved has no derivative. A Zero has no leaves, so this is no tree.
    changed = {name: ad.Zero(jax.typeof(x).to_tangent_aval()) for name, x in shown.items()}
    changed |= zip(names_of(plan, arrays), pushed, strict=True)
    return list(shown.values()), list(changed.values())


def names_of(plan: Plan, arrays: Arrays) -> tuple[str, ...]:
    """Return which results have derivatives."""
    if plan.beta is not None:
        return ("output",)
    return ("conjugate",) if arrays.value is None else ("output", "conjugate")


def by_portable(plan: Plan, arrays: Arrays) -> list[Any]:
    """Return the results that have derivatives by the portable formula."""
    output, conjugate = portable(plan, arrays)
    found = {"output": output, "conjugate": conjugate}
    return [found[name] for name in names_of(plan, arrays)]


def results_by(plan: Plan, arrays: Arrays) -> Callable[[dict[str, Array]], list[Array]]:
    """Return the portable formula as a function of some of the arrays."""
    return lambda learned: by_portable(plan, arrays._replace(**learned))


def push(*flat: Array, plan: Plan, tree: Tree) -> list[Array]:
    """Return the changes of output and conjugate for changes of the arrays."""
    arrays, _, changes = jax.tree.unflatten(tree, flat)
    learned = {name: getattr(arrays, name) for name in changes}
    return jax.jvp(results_by(plan, arrays), (learned,), (changes,))[1]


def push_shapes(*flat: Any, plan: Plan, tree: Tree) -> list[ShapedArray]:
    """Return what ``push_p`` computes, without computing it."""
    arrays = jax.tree.unflatten(tree, flat)[0]
    shapes = shapes_of(plan, arrays)
    return [ShapedArray(x.shape, x.dtype) for x in jax.tree.leaves(shapes)]


def transposed(by: Sequence[Any], *flat: Any, plan: Plan, tree: Tree) -> list[Any]:
    """The rule of ``push_p`` for reverse mode: derivatives by the changes, which are linear."""
    arrays, saved, changes = jax.tree.unflatten(tree, flat)
    given: dict[str, Any] = dict.fromkeys(("by_output", "by_conjugate"))
    for name, cotangent in zip(names_of(plan, arrays), by, strict=True):
        given["by_" + name] = None if isinstance(cotangent, ad.Zero) else cotangent
    needs = tuple(name for name in changes if ad.is_undefined_primal(changes[name]))
    if given["by_output"] is None:  # of which projections have their derivative
        needs = tuple(name for name in needs if name != "value")
    found: dict[str, Any] = dict.fromkeys(changes)
    if needs and any(x is not None for x in given.values()):
        names = [name for name in Given._fields if name not in given]
        given |= {name: getattr(saved, name) for name in names}
        leaves, whole = jax.tree.flatten((arrays, Given(**given)))
        derivatives = pull_p.bind(*leaves, plan=plan, tree=whole, needs=needs)
        found |= zip(needs, derivatives, strict=True)
    linear = iter([found[name] for name in sorted(changes)])
    first = len(flat) - len(changes)
    return [None] * first + list(linear)


def pull(
    *flat: Array, plan: Plan, tree: Tree, needs: tuple[str, ...], kernels: bool
) -> list[Array]:
    """Return derivatives by arrays of a call, given those by its results."""
    arrays, given = jax.tree.unflatten(tree, flat)
    if kernels and not ("bias" in needs and arrays.bias.shape != (1, arrays.key.shape[1])):
        return pull_by_kernels(plan, arrays, given, needs)
    learned = {name: getattr(arrays, name) for name in needs}
    results, pull_back = jax.vjp(results_by(plan, arrays), learned)
    named = [getattr(given, "by_" + name) for name in names_of(plan, arrays)]
    by = [jnp.zeros_like(x) if y is None else y for x, y in zip(results, named, strict=True)]
    return [pull_back(by)[0][name] for name in needs]


def pull_by_kernels(plan: Plan, arrays: Arrays, given: Given, needs: Any) -> list[Array]:
    """:func:`pull` by the kernels, or by cuDNN."""
    if plan.beta is not None:
        by_arrays = jax.vjp(attention_of(plan), *arrays[:3])[1](given.by_output)
        return [by_arrays[Arrays._fields.index(name)] for name in needs]
    launch, found = Launch(plan, arrays), {}
    if "query" in needs or "beta" in needs:
        by_query = launch.by_query(given, "query" in needs, "beta" in needs)
        found |= {"query": by_query.state, "beta": by_query.beta}
    if {"key", "value", "bias"} & set(needs):
        wanted = ("key" in needs, "value" in needs, "bias" in needs)
        by_memory = launch.by_memory(given, *wanted)
        found |= {"key": by_memory.stored, "value": by_memory.projection}
        if by_memory.bias is not None:
            found["bias"] = jnp.sum(by_memory.bias, axis=0, keepdims=True)
    return [found[name] for name in needs]


def pull_shapes(*flat: Any, plan: Plan, tree: Tree, needs: tuple[str, ...]) -> list[ShapedArray]:
    """Return what ``pull_p`` computes, without computing it."""
    arrays = jax.tree.unflatten(tree, flat)[0]
    wanted = [getattr(arrays, name) for name in needs]
    return [ShapedArray(x.shape, x.dtype) for x in wanted]


def by_formula(
    function: Callable[..., list[Array]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    **options: Any,
) -> tuple[list[Array], list[Array]]:
    """The derivative of a primitive that computes one: that of the portable formula."""
    chosen = [i for i, x in enumerate(tangents) if not isinstance(x, ad.Zero)]

    def some(*values: Array) -> list[Array]:
        every = list(primals)
        for i, value in zip(chosen, values, strict=True):
            every[i] = value
        return function(*every, **options)

    return jax.jvp(some, [primals[i] for i in chosen], [tangents[i] for i in chosen])


def forward_batched(
    flat: Sequence[Any], axes: Sequence[Any], *, plan: Plan, tree: Tree, also: str
) -> tuple[list[Array], list[int]]:
    """The rule of ``forward_p`` under ``vmap``."""
    arrays, places, size = axis_of(tree, flat, axes)
    own = also in ("saved", "statistics")  # what is saved or received for each memory
    place = int(not own and places.key is None and places.value is None)
    found = jax.tree.leaves(associate(plan, with_more(arrays, places, size, place), also))
    return [split(x, size, place) for x in found], [place] * len(found)


def pull_batched(
    flat: Sequence[Any], axes: Sequence[Any], *, plan: Plan, tree: Tree, needs: tuple[str, ...]
) -> tuple[list[Array], list[int]]:
    """The rule of ``pull_p`` under ``vmap``: every element has its own derivatives."""
    (arrays, given), (places, given_places), size = axis_of(tree, flat, axes)
    arrays = with_more(arrays, places, size, 0, own_bias="bias" in needs)
    given = Given(*(merged(x, axis, size, 0) for x, axis in zip(given, given_places, strict=True)))
    leaves, whole = jax.tree.flatten((arrays, given))
    found = pull_p.bind(*leaves, plan=plan, tree=whole, needs=needs)
    return [split(x, size, 0) for x in found], [0] * len(found)


def axis_of(tree: Tree, flat: Sequence[Any], axes: Sequence[Any]) -> tuple[Any, Any, int]:
    """Return arrays, the places of their new axes, and the size of these."""
    size = next(x.shape[axis] for x, axis in zip(flat, axes, strict=True) if axis is not None)
    return jax.tree.unflatten(tree, flat), jax.tree.unflatten(tree, axes), size


def push_batched(
    flat: Sequence[Any], axes: Sequence[Any], **options: Any
) -> tuple[list[Array], list[int]]:
    """The rule of ``push_p`` under ``vmap``, that of its formula."""
    found = jax.vmap(partial(push, **options), in_axes=tuple(axes))(*flat)
    return found, [0] * len(found)


def new(name: str, function: Any, shapes: Any, batched: Any, kernels: bool = True) -> Primitive:
    """Make a primitive of several results, which kernels compute where they run."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("plan", "tree", "also", "needs")))
    primitive.def_abstract_eval(shapes)
    batching.primitive_batchers[primitive] = batched

    def here(*flat: Array, plan: Plan, **options: Any) -> list[Array]:
        return function(*flat, plan=plan, kernels=plan.interprets, **options)

    portably = here if kernels else function
    formula = mlir.lower_fun(portably, multiple_results=True)
    mlir.register_lowering(primitive, formula)
    if kernels:
        by_kernels = mlir.lower_fun(partial(function, kernels=True), multiple_results=True)

        def on_gpus(context: Any, *flat: Any, plan: Plan, **options: Any) -> Any:
            if plan.beta is not None and not cudnn.runs_in(context.module_context):
                return formula(context, *flat, plan=plan, **options)
            return by_kernels(context, *flat, plan=plan, **options)

        mlir.register_lowering(primitive, on_gpus, platform="cuda")
    return primitive


forward_p = new("hopcore_forward", forward, forward_shapes, forward_batched)
push_p = new("hopcore_push", push, push_shapes, push_batched, kernels=False)
pull_p = new("hopcore_pull", pull, pull_shapes, pull_batched)
cudnn.needs_devices(forward_p)
cudnn.needs_devices(pull_p)
ad.primitive_jvps[forward_p] = forward_change
ad.primitive_jvps[push_p] = partial(by_formula, push)
ad.primitive_jvps[pull_p] = partial(by_formula, partial(pull, kernels=False))
ad.primitive_transposes[push_p] = transposed
