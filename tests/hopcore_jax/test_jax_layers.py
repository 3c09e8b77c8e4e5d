"""The layers of hopcore_jax: NumPy's values, JAX's and equinox's ways of using a module."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

import hopcore
from hopcore import DiffusionConfig, HopfieldSettings

jax = pytest.importorskip("jax", reason="the JAX layers need jax")
eqx = pytest.importorskip("equinox", reason="the JAX layers need equinox")
hopcore_jax = pytest.importorskip("hopcore_jax")
jnp = jax.numpy

KEY = jax.random.key(0)


@pytest.fixture
def dtype(request):
    """A dtype, with x64 as it needs it."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield request.param
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def x64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def drawn(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def parameters_of(settings, dtype="float64", seed=9):
    """Parameters away from where they start, so that each of them matters."""
    shapes = hopcore.layers.parameter_shapes(settings)
    found = {
        name: 0.5 * drawn(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items())
    }
    if "scaling" in found:
        found["scaling"] = np.exp(found["scaling"])
    return {name: np.asarray(value, dtype) for name, value in found.items()}


def same(got, expected, tol=1e-10):
    """Equal up to a part of the largest value."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    scale = max(float(np.max(np.abs(expected), initial=0.0)), 1e-30)
    np.testing.assert_allclose(got / scale, expected / scale, rtol=0.0, atol=tol)


def small(**settings):
    return HopfieldSettings(**{"input_size": 6, "num_heads": 2, **settings})


# Values, against the functions on NumPy with the same parameters.

PLAIN = dict.fromkeys(
    ("normalize_stored_pattern", "normalize_state_pattern", "normalize_pattern_projection"), False
)
HOPFIELD = {
    "plain": (small(dropout=0.5), [(2, 5, 6)]),
    "three sizes": (
        small(
            hidden_size=4,
            output_size=5,
            pattern_size=3,
            stored_pattern_size=5,
            pattern_projection_size=7,
            input_bias=False,
        ),
        [(2, 5, 5), (2, 3, 6), (2, 5, 7)],
    ),
    "static": (
        HopfieldSettings(
            num_heads=2,
            scaling=(0.5, 3.0),
            stored_pattern_as_static=True,
            state_pattern_as_static=True,
            pattern_projection_as_static=True,
            disable_out_projection=True,
            update_steps_max=2,
            **PLAIN,
        ),
        [(2, 5, 6), (2, 3, 6), (2, 5, 4)],
    ),
    "connected": (
        small(pattern_projection_as_connected=True, normalize_hopfield_space=True),
        [(2, 5, 6), (3, 6), (5, 6)],
    ),
    "patterns added": (small(concat_bias_pattern=True, add_zero_association=True), [(4, 6)]),
    "each head its own": (
        small(
            learnable_scaling=True,
            scaling=(0.5, 2.0),
            update_steps_max=(1, 3),
            update_steps_eps=(1e-3, 0.0),
            normalize_hopfield_space=True,
            normalize_hopfield_space_affine=True,
        ),
        [(2, 5, 6)],
    ),
    "at rest": (small(scaling=0.5, update_steps_max=None, update_steps_eps=1e-9), [(2, 5, 6)]),
    "sequence first": (small(batch_first=False, association_activation="gelu"), [(5, 2, 6)]),
    "diffused": (small(diffusion=DiffusionConfig(k_neighbors=2, eta=0.4)), [(2, 5, 6)]),
    "weights diffused": (
        small(diffusion=DiffusionConfig(k_neighbors=2, use_logit_diffusion=True)),
        [(2, 5, 6), (2, 3, 6), (2, 5, 6)],
    ),
}


WHICH = [(case, "float64") for case in HOPFIELD] + [
    (case, "float32") for case in ("three sizes", "each head its own", "at rest", "diffused")
]


@pytest.mark.parametrize(("case", "dtype"), WHICH, indirect=["dtype"])
def test_hopfield_is_the_function(case, dtype):
    settings, shapes = HOPFIELD[case]
    tol = 1e-10 if dtype == "float64" else 1e-5
    parameters = parameters_of(settings, dtype)
    given = [drawn(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    expected = hopcore.hopfield(settings, parameters, *given)
    kind = hopcore_jax.Hopfield if settings.diffusion is None else hopcore_jax.DiffusedHopfield
    layer = kind.of(settings, parameters=parameters)
    input = jnp.asarray(given[0]) if len(given) == 1 else tuple(map(jnp.asarray, given))
    same(eqx.filter_jit(layer)(input, inference=True), expected, tol)
    if case in ("three sizes", "patterns added"):
        same(
            layer.association_weights(input),
            hopcore.layers.hopfield_weights(settings, parameters, *given),
            tol,
        )
        same(
            layer.get_projected_pattern_matrix(input),
            hopcore.layers.hopfield_projections(settings, parameters, *given),
            tol,
        )


def test_masks_are_those_of_the_function(x64):
    settings = small(add_zero_association=True)
    parameters = parameters_of(settings)
    x = drawn(2, 5, 6)
    padding = np.zeros((2, 5), bool)
    padding[1, 3:] = True
    layer = hopcore_jax.Hopfield.of(settings, parameters=parameters)
    call = eqx.filter_jit(layer)
    for association in (~np.tri(5, dtype=bool), drawn(4, 5, 5), drawn(2, 2, 5, 5) > 1.0):
        masks = {"stored_pattern_padding_mask": padding, "association_mask": association}
        expected = hopcore.hopfield(settings, parameters, x, **masks)
        same(call(x, padding, association), expected)
        weights = hopcore.layers.hopfield_weights(settings, parameters, x, **masks)
        same(layer.get_association_matrix(x, padding, association), weights)


def test_pooling_and_lookup_are_the_functions(x64):
    x, values = drawn(2, 5, 6), drawn(2, 5, 6, seed=1)
    pooling = hopcore.layers.PoolingSettings(hopfield=small(), quantity=3)
    parameters = parameters_of(pooling)
    layer = hopcore_jax.HopfieldPooling.of(pooling, parameters=parameters)
    call = eqx.filter_jit(layer)
    same(call((x, values)), hopcore.layers.hopfield_pooling(pooling, parameters, x, values))
    assert layer.association_weights(x).shape == (2, 2, 3, 5)
    assert (layer.quantity, layer.scaling, layer.hopfield.num_heads) == (3, 1 / np.sqrt(3), 2)
    for separated in (False, True):
        lookup = hopcore.layers.LookupSettings(
            hopfield=small(batch_first=False), quantity=4, lookup_weights_as_separated=separated
        )
        parameters = parameters_of(lookup)
        layer = hopcore_jax.HopfieldLayer.of(lookup, parameters=parameters)
        expected = hopcore.layers.hopfield_lookup(lookup, parameters, x.swapaxes(0, 1))
        same(eqx.filter_jit(layer)(x.swapaxes(0, 1)), expected)
    assert layer.get_association_matrix(x.swapaxes(0, 1)).shape == (2, 2, 5, 4)
    assert layer.get_projected_pattern_matrix(x.swapaxes(0, 1)).shape == (2, 2, 4, 3)


@pytest.mark.parametrize(
    ("norm_first", "dtype"), [(False, "float64"), (True, "float32")], indirect=["dtype"]
)
def test_transformer_layers_are_the_functions(norm_first, dtype):
    tol = 1e-10 if dtype == "float64" else 1e-5
    x, memory = drawn(2, 5, 6, dtype=dtype), drawn(2, 4, 6, seed=1, dtype=dtype)
    own = {"dim_feedforward": 7, "norm_first": norm_first, "activation": "gelu"}
    later = ~np.tri(5, dtype=bool)
    encoder = hopcore.layers.EncoderSettings(hopfield=small(), bias=False, **own)
    parameters = parameters_of(encoder, dtype)
    layer = hopcore_jax.HopfieldEncoderLayer.of(encoder, parameters=parameters, inference=True)
    expected = hopcore.layers.encoder_layer(encoder, parameters, x, src_mask=later)
    same(eqx.filter_jit(layer)(x, later), expected, tol)
    decoder = hopcore.layers.DecoderSettings(
        hopfield=small(), cross=small(num_heads=3, stored_pattern_size=6), **own
    )
    parameters = parameters_of(decoder, dtype)
    padding = np.arange(4) > np.asarray([[3], [1]])
    layer = hopcore_jax.HopfieldDecoderLayer.of(decoder, parameters=parameters)
    expected = hopcore.layers.decoder_layer(
        decoder, parameters, x, memory, tgt_mask=later, memory_key_padding_mask=padding
    )
    got = eqx.filter_jit(layer)(x, memory, later, memory_key_padding_mask=padding, inference=True)
    same(got, expected, tol)
    assert layer.get_association_matrix_cross((memory, x, memory)).shape == (2, 3, 5, 4)
    assert layer.norm_first is norm_first


def test_core_is_the_function(x64):
    core = hopcore_jax.HopfieldCore(6, 2, add_bias_kv=True, kdim=4, vdim=3, key=KEY)
    query, stored, values = drawn(5, 2, 6), drawn(7, 2, 4, seed=1), drawn(7, 2, 3, seed=2)
    scaling = jnp.asarray([0.5, 2.0])
    output, weights, raw, projections = core(
        query,
        stored,
        values,
        scaling=scaling,
        return_raw_associations=True,
        return_pattern_projections=True,
    )
    parameters = {name: np.asarray(value) for name, value in core.parameters.items()}
    given = {**parameters, "scaling": np.asarray(scaling)}
    same(output, hopcore.hopfield(core.settings, given, stored, query, values))
    expected = hopcore.layers.hopfield_weights(core.settings, given, stored, query, values)
    same(raw, expected)
    same(weights, expected.mean(-3))
    assert projections.shape == (2, 2, 8, 3)
    by_scaling = jax.grad(lambda beta: core(query, stored, values, scaling=beta)[0].sum())(scaling)
    assert np.all(np.abs(by_scaling) > 0)
    assert core(query, stored, values, need_weights=False)[1:] == (None, None, None)


# What JAX does with a module.

LAYERS = {
    "Hopfield": (lambda **to: hopcore_jax.Hopfield(6, num_heads=2, update_steps_max=1, **to), 1),
    "DiffusedHopfield": (lambda **to: hopcore_jax.DiffusedHopfield(6, k_neighbors=2, **to), 1),
    "HopfieldPooling": (lambda **to: hopcore_jax.HopfieldPooling(6, quantity=2, **to), 1),
    "HopfieldLayer": (lambda **to: hopcore_jax.HopfieldLayer(6, quantity=4, **to), 1),
    "HopfieldEncoderLayer": (
        lambda **to: hopcore_jax.HopfieldEncoderLayer(6, 2, 5, 0.0, **to),
        1,
    ),
    "HopfieldDecoderLayer": (
        lambda **to: hopcore_jax.HopfieldDecoderLayer(6, 2, 5, 0.0, "gelu", **to),
        2,
    ),
}
"""How to make each layer, and how many arrays it takes."""


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_maps_and_differentiates(name, x64):
    make, many = LAYERS[name]
    layer = make(key=KEY)
    layer = type(layer).of(layer.settings, parameters=parameters_of(layer.settings))
    inputs = [jnp.asarray(drawn(3, 5, 6, seed=i)) for i in range(many)]
    whole = eqx.filter_jit(layer)(*inputs)
    # One by one, without a leading axis.
    same(eqx.filter_jit(eqx.filter_vmap(layer))(*inputs), whole)

    def loss(given):
        found, *patterns = given
        return jnp.sum(jnp.sin(found(*patterns)))

    # Against central differences along a direction in all parameters and inputs at once.
    gradient = eqx.filter_jit(eqx.filter_grad(loss))((layer, *inputs))
    point, rest = eqx.partition((layer, *inputs), eqx.is_inexact_array)
    seeds = iter(range(100))
    along = jax.tree.map(lambda x: jnp.asarray(drawn(*x.shape, seed=next(seeds))), point)
    at = jax.jit(
        lambda step: loss(eqx.combine(jax.tree.map(lambda x, v: x + step * v, point, along), rest))
    )
    difference = (at(1e-5) - at(-1e-5)) / 2e-5
    slope = sum(
        jnp.vdot(x, v)
        for x, v in zip(jax.tree.leaves(gradient), jax.tree.leaves(along), strict=True)
    )
    assert abs(float(slope)) > 1e-3
    np.testing.assert_allclose(float(slope), float(difference), rtol=1e-6)


def test_equal_modules_are_compiled_once():
    traces = []

    @jax.jit
    def call(layer, x):
        traces.append(layer.settings)
        return layer(x)

    x = jnp.ones((3, 6))
    for seed in range(3):
        layer = hopcore_jax.DiffusedHopfield(6, scaling=np.asarray([2.0]), key=jax.random.key(seed))
        call(layer, x)
        call(copy.deepcopy(layer), x)
        call(pickle.loads(pickle.dumps(layer)), x)
    assert len(traces) == 1
    call(hopcore_jax.DiffusedHopfield(6, scaling=(2.5,), key=KEY), x)
    assert len(traces) == 2


def test_layers_on_top_of_each_other_are_scanned(x64):
    make = eqx.filter_vmap(lambda key: hopcore_jax.HopfieldEncoderLayer(6, 2, 5, 0.0, key=key))
    stack = make(jax.random.split(KEY, 3))
    x = jnp.asarray(drawn(4, 6))
    arrays, rest = eqx.partition(stack, eqx.is_array)

    @jax.jit
    def run(arrays, x):
        return jax.lax.scan(lambda x, layer: (eqx.combine(layer, rest)(x), None), x, arrays)[0]

    expected = x
    for i in range(3):
        each = jax.tree.map(lambda a, i=i: a[i], arrays)
        expected = eqx.combine(each, rest)(expected)
    same(run(arrays, x), expected)
    assert float(jnp.abs(run(arrays, x) - x).max()) > 0.1


@pytest.mark.parametrize("trainable", [True, False])
def test_pooling_learns(trainable):
    optax = pytest.importorskip("optax")
    # Bags of which the positive ones hold one telling pattern.
    x = 0.3 * drawn(32, 5, 6, dtype="float32")
    label = np.arange(32) % 2
    x[label == 1, 2] += np.float32([2.0, -2.0, 0.0, 0.0, 0.0, 0.0])
    layer = hopcore_jax.HopfieldPooling(6, output_size=1, trainable=trainable, key=KEY)
    optimiser = optax.adam(0.05)
    state = optimiser.init(eqx.filter(layer, eqx.is_inexact_array))

    def loss(layer):
        return optax.sigmoid_binary_cross_entropy(layer(x)[:, 0], label).mean()

    @eqx.filter_jit
    def step(layer, state):
        value, gradient = eqx.filter_value_and_grad(loss)(layer)
        change, state = optimiser.update(gradient, state)
        return eqx.apply_updates(layer, change), state, value

    before, values = layer, []
    for _ in range(80):
        layer, state, value = step(layer, state)
        values.append(float(value))
    assert values[0] > 0.69
    assert values[-1] < 0.1
    moved = before.parameters["pooling_weights"] != layer.parameters["pooling_weights"]
    assert bool(moved.all()) is trainable


def test_fully_masked_rows_recall_nothing_and_have_no_nan():
    later = ~np.tri(5, k=-1, dtype=bool)  # the first query may attend to nothing
    layer = hopcore_jax.Hopfield(6, num_heads=2, input_bias=False, update_steps_max=1, key=KEY)
    x = jnp.asarray(drawn(2, 5, 6, dtype="float32"))

    def loss(given):
        layer, x = given
        found = layer(x, None, later)
        return jnp.sum(found**2), found

    gradient, found = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))((layer, x))
    assert np.all(np.asarray(found[:, 0]) == 0.0)
    assert np.any(np.asarray(found[:, 1:]) != 0.0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.any(gradient[0].parameters["association_core.in_proj_weight"] != 0.0)


# Dropout.


def test_dropout_is_drawn_by_key():
    layer = hopcore_jax.Hopfield(6, num_heads=2, dropout=0.5, key=KEY)
    x = jnp.asarray(drawn(4, 6, dtype="float32"))
    still = layer(x, inference=True)
    one, other = jax.random.split(KEY)
    call = eqx.filter_jit(lambda key: layer(x, key=key))
    assert np.array_equal(call(one), call(one))
    assert not np.array_equal(call(one), call(other))
    many = jax.jit(jax.vmap(call))(jax.random.split(KEY, 4000))
    same(many.mean(0), still, 0.05)  # dropped weights have the same mean
    assert np.array_equal(eqx.nn.inference_mode(layer)(x, key=one), still)
    assert np.array_equal(layer(x, key=one, inference=False), layer(x, key=one))
    with pytest.raises(ValueError, match=r"dropout=0.5 is drawn in training: call with key="):
        layer(x)
    with pytest.raises(ValueError, match="call with key="):
        eqx.nn.inference_mode(layer)(x, inference=False)
    same(layer.association_weights(x).sum(-1), np.ones((2, 4), np.float32), 1e-6)


def test_each_place_of_a_transformer_layer_has_its_own_dropout(monkeypatch):
    used = []
    draw = jax.random.bernoulli
    monkeypatch.setattr(
        jax.random,
        "bernoulli",
        lambda key, *rest: used.append(jax.random.key_data(key).tolist()) or draw(key, *rest),
    )
    x = jnp.asarray(drawn(3, 6, dtype="float32"))
    layer = hopcore_jax.HopfieldDecoderLayer(6, 2, 5, key=KEY)
    assert not np.array_equal(layer(x, x, key=KEY), layer(x, x, inference=True))
    assert len(used) == len({tuple(key) for key in used}) == 6
    # Association weights alone: two of the six.
    settings = hopcore.layers.DecoderSettings(
        hopfield=small(dropout=0.1), dim_feedforward=5, dropout=0.0
    )
    layer = hopcore_jax.HopfieldDecoderLayer.of(settings, key=KEY)
    used.clear()
    layer(x, x, key=KEY)
    assert len(used) == 2
    with pytest.raises(ValueError, match="call with key="):
        layer(x, x)
    for kind in (hopcore_jax.HopfieldPooling, hopcore_jax.HopfieldLayer):
        with pytest.raises(ValueError, match="call with key="):
            kind(6, dropout=0.1, key=KEY)(x)


# Parameters.


def test_parameters_are_saved_and_read():
    layer = hopcore_jax.HopfieldEncoderLayer(6, 2, 5, key=KEY)
    other = hopcore_jax.HopfieldEncoderLayer(6, 2, 5, key=jax.random.key(1), inference=True)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, layer)
    file.seek(0)
    read = eqx.tree_deserialise_leaves(file, other)
    assert eqx.tree_equal(read, layer)
    assert not eqx.tree_equal(other, layer)


def test_parameters_start_as_in_every_framework():
    layer = hopcore_jax.Hopfield(
        200, num_heads=2, scaling=[0.5, 2], learnable_scaling=True, dtype=jnp.bfloat16, key=KEY
    )
    shapes = {name: value.shape for name, value in layer.parameters.items()}
    assert shapes == hopcore.layers.parameter_shapes(layer.settings)
    assert {value.dtype for value in layer.parameters.values()} == {np.dtype(jnp.bfloat16)}
    assert layer.scaling.tolist() == [0.5, 2.0]
    weight = np.asarray(layer.parameters["association_core.in_proj_weight"], np.float32)
    assert abs(weight.std() - 0.02) < 2e-4
    assert abs(weight.mean()) < 5e-4
    assert np.all(layer.parameters["norm_state_pattern.weight"] == 1.0)
    assert not np.any(layer.parameters["association_core.out_proj.bias"])
    assert layer(jnp.ones((3, 200), jnp.bfloat16)).dtype == jnp.bfloat16
    again = hopcore_jax.Hopfield.of(layer.settings, dtype=jnp.bfloat16, key=KEY)
    assert eqx.tree_equal(again, layer)


TORCH = {
    "Hopfield": {"input_size": 6, "num_heads": 2, "scaling": 0.7, "learnable_scaling": True},
    "DiffusedHopfield": {"input_size": 6, "num_heads": 2, "k_neighbors": 2, "eta": 0.3},
    "HopfieldPooling": {"input_size": 6, "quantity": 2, "concat_bias_pattern": True},
    "HopfieldLayer": {"input_size": 6, "num_pattern_repetitions": 4},
    "HopfieldEncoderLayer": {"d_model": 6, "nhead": 2, "dim_feedforward": 5, "batch_first": True},
    "HopfieldDecoderLayer": {"d_model": 6, "nhead": 2, "dim_feedforward": 5, "batch_first": True},
}


@pytest.mark.parametrize("name", TORCH)
def test_parameters_of_torch_give_its_output(name):
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    theirs = getattr(hopcore_torch, name)(**TORCH[name]).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.copy_(value + 0.3 * torch.randn(value.shape, generator=torch.manual_seed(3)))
    parameters = {name: value.numpy() for name, value in theirs.state_dict().items()}
    mine = getattr(hopcore_jax, name)(**TORCH[name], key=KEY)
    assert mine.settings == theirs.settings
    mine = type(mine).of(mine.settings, parameters=parameters, inference=True)
    inputs = [drawn(2, 5, 6, seed=i, dtype="float32") for i in range(1 + ("Decoder" in name))]
    with torch.no_grad():
        expected = theirs(*map(torch.from_numpy, inputs)).numpy()
    same(eqx.filter_jit(mine)(*inputs), expected, 1e-5)


# What is refused, and what a layer says of itself.


def test_bad_input_is_refused():
    layer = hopcore_jax.Hopfield(6, num_heads=2, key=KEY)
    x = jnp.ones((3, 6))
    with pytest.raises(TypeError, match="drawn at random: give key="):
        hopcore_jax.Hopfield(6)
    with pytest.raises(TypeError, match="no argument num_head: did you mean num_heads"):
        hopcore_jax.Hopfield(6, num_head=2, key=KEY)
    with pytest.raises(ValueError, match="divisible by num_heads"):
        hopcore_jax.HopfieldPooling(6, num_heads=4, key=KEY)
    with pytest.raises(ValueError, match="one value for each of the 2 heads, got 3"):
        hopcore_jax.Hopfield(6, num_heads=2, scaling=jnp.ones(3), key=KEY)
    with pytest.raises(ValueError, match="two names of one number, got 2 and 3"):
        hopcore_jax.HopfieldLayer(6, quantity=2, num_pattern_repetitions=3, key=KEY)
    with pytest.raises(ValueError, match="config or its fields, got both: eta"):
        hopcore_jax.DiffusedHopfield(6, eta=0.1, config=DiffusionConfig(), key=KEY)
    with pytest.raises(TypeError, match="settings must be PoolingSettings, got HopfieldSettings"):
        hopcore_jax.HopfieldPooling.of(layer.settings, key=KEY)
    with pytest.raises(ValueError, match=r"lack association_core\.in_proj_bias"):
        hopcore_jax.Hopfield.of(layer.settings, parameters={})
    with pytest.raises(TypeError, match=r"one array, or three: .* got tuple"):
        layer((x, x))
    with pytest.raises(TypeError, match="one array, or two"):
        hopcore_jax.HopfieldPooling(6, key=KEY)((x, x, x))
    with pytest.raises(TypeError, match="one array, state patterns, got tuple"):
        hopcore_jax.HopfieldLayer(6, key=KEY)((x, x))
    with pytest.raises(TypeError, match="dtype of the parameters, float32, got bfloat16"):
        layer(x.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match=r"must be \(\.\.\., 6\) .*, got \(3, 5\)"):
        layer(x[:, :5])
    with pytest.raises(ValueError, match=r"association_mask must be \(L, S\) = \(3, 3\)"):
        layer(x, None, jnp.ones((4, 3), bool))


def test_layers_describe_themselves():
    config = DiffusionConfig(eta=0.3, steps=2)
    layer = hopcore_jax.DiffusedHopfield(6, 4, num_heads=2, config=config, key=KEY)
    assert (layer.hidden_size, layer.output_size, layer.batch_first) == (4, 6, True)
    assert (layer.config, layer.eta, layer.get_config()["steps"]) == (config, 0.3, 2)
    assert layer.normalize_state_pattern_affine
    assert not hasattr(layer, "no_such_name")
    assert "num_heads=2" in repr(layer)
    plain = hopcore_jax.Hopfield.of(
        HopfieldSettings(
            stored_pattern_as_static=True,
            state_pattern_as_static=True,
            pattern_projection_as_static=True,
            disable_out_projection=True,
            **PLAIN,
        )
    )
    assert plain.parameters == {}
    assert plain.scaling == 1.0


def test_equinox_is_imported_for_layers_alone():
    code = (
        "import sys, hopcore, hopcore_jax; hopcore.backend('jax'); "
        "assert 'equinox' not in sys.modules; hopcore_jax.Hopfield; "
        "assert 'equinox' in sys.modules; "
        "assert all(getattr(hopcore_jax, name).__name__ == name for name in hopcore_jax.__all__)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
