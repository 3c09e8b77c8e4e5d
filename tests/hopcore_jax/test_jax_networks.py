"""JAX's modules with a temperature: the values of NumPy and torch, JAX's ways of using a module."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch

import hopcore
import hopcore_torch
from hopcore import LearnableTemperature

jax = pytest.importorskip("jax", reason="the JAX layers need jax")
eqx = pytest.importorskip("equinox", reason="the JAX layers need equinox")
optax = pytest.importorskip("optax", reason="one test takes a step of an optimiser")
hopcore_jax = pytest.importorskip("hopcore_jax")
jnp = jax.numpy

KEY = jax.random.key(0)
NETWORKS = {
    "hnl": (
        "HNL",
        hopcore.layers.hnl,
        {"input_size": 6, "output_size": 3, "quantity": 9, "num_heads": 2},
    ),
    "hnm": (
        "HNM",
        hopcore.layers.hnm,
        {"input_size": 6, "output_size": 3, "widths": (5,), "quantity": 7},
    ),
    "quantizer": (
        "VectorQuantizer",
        hopcore.layers.quantize,
        {"input_size": 6, "groups": 2, "quantity": 5},
    ),
}


@pytest.fixture
def x64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def close(got, wanted, tol=1e-10):
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=tol, atol=tol)


def flat(found):
    return tuple(found) if isinstance(found, tuple) else (found,)


def loss_of(found):
    """Every output that has a gradient, at work."""
    return sum((x * x).sum() for x in flat(found) if "int" not in str(x.dtype))


@pytest.fixture(params=NETWORKS)
def network(request, x64):
    name, function, settings = NETWORKS[request.param]
    return getattr(hopcore_jax, name)(**settings, key=KEY), function, name


class TestNetworks:
    @pytest.mark.parametrize("hard", [False, True])
    @pytest.mark.parametrize("temperature", [None, 0.02, 0.5])
    def test_are_the_functions(self, network, hard, temperature):
        layer, function, _ = network
        x = drawn(4, 7, 6)
        parameters = {name: np.asarray(value) for name, value in layer.parameters.items()}
        wanted = function(layer.settings, parameters, x, temperature=temperature, hard=hard)
        given = temperature if temperature is None else jnp.asarray(temperature)
        found = eqx.filter_jit(layer)(jnp.asarray(x), given, hard)
        for mine, theirs in zip(flat(found), flat(wanted), strict=True):
            close(mine, theirs)

    @pytest.mark.parametrize("hard", [False, True])
    def test_gradients_are_those_of_torch(self, network, hard):
        layer, _, name = network
        twin = getattr(hopcore_torch, name).of(layer.settings, dtype=torch.float64)
        values = {name: torch.from_numpy(np.array(x)) for name, x in layer.parameters.items()}
        twin.load_state_dict(values)
        x, temperature = (
            torch.from_numpy(drawn(4, 6)).requires_grad_(),
            torch.tensor(0.3, dtype=torch.float64),
        )
        temperature.requires_grad_()
        loss_of(twin(x, temperature, hard)).backward()

        def loss(layer, x, temperature):
            return loss_of(layer(x, temperature, hard))

        given = layer.parameters, jnp.asarray(drawn(4, 6)), jnp.asarray(0.3)
        found = jax.jit(
            jax.grad(
                lambda parameters, *others: loss(
                    type(layer).of(layer.settings, parameters=parameters), *others
                ),
                argnums=(0, 1, 2),
            )
        )(*given)
        for name, value in twin.named_parameters():
            close(found[0][name], value.grad.numpy(), 1e-8)
        close(found[1], x.grad.numpy(), 1e-8)
        close(found[2], temperature.grad.numpy(), 1e-8)
        assert all(np.any(np.asarray(value)) for value in found[0].values())

    def test_what_is_given_by_position_is_known_by_its_type(self, network):
        layer, _, name = network
        if name == "VectorQuantizer":
            pytest.skip("a quantiser takes its temperature by position")
        x = jnp.asarray(drawn(3, 6))
        for key in (KEY, jax.random.PRNGKey(0)):
            wanted = layer(x, temperature=0.3, hard=True, key=key)
            calls = {
                "HNL": lambda key=key: layer(x, True, key=key, temperature=0.3),
                "HNL, all by position": lambda key=key: layer(x, True, key, temperature=0.3),
                "HNM": lambda key=key: layer(x, key, True, temperature=0.3),
                "HNM, by name": lambda key=key: layer(x, key, hard=True, temperature=0.3),
                "ours": lambda key=key: layer(x, 0.3, True, key=key),
            }
            for call in calls.values():
                close(call(), wanted, 0.0)
        close(layer(x, False, key=KEY), layer(x), 0.0)
        for twice in ({"temperature": 0.1}, {"temperature": jnp.asarray(0.1)}):
            with pytest.raises(ValueError, match="temperature was given twice"):
                layer(x, 0.3, **twice)
        with pytest.raises(ValueError, match="key was given twice"):
            layer(x, KEY, key=KEY)
        with pytest.raises(ValueError, match="hard was given twice"):
            layer(x, True, hard=True)

    def test_another_temperature_is_no_cause_to_compile_again(self, network):
        layer, _, _ = network
        x, traces = jnp.asarray(drawn(3, 6)), []

        def called(temperature):
            traces.append(None)
            return layer(x, temperature, True)

        compiled = jax.jit(called)
        for temperature in (1.0, 0.3, 0.02):
            wanted = eqx.filter_jit(layer)(x, jnp.asarray(temperature), True)
            close(flat(compiled(temperature))[0], flat(wanted)[0], 1e-8)
        assert len(traces) == 1

    def test_a_schedule_of_a_traced_step(self, network):
        layer, _, _ = network
        x, schedule = jnp.asarray(drawn(3, 6)), hopcore.Cosine(1.0, 0.1, steps=10)
        compiled = jax.jit(lambda step: flat(layer(x, schedule(step)))[0])
        for step in (0, 5, 100):
            wanted = eqx.filter_jit(layer)(x, jnp.asarray(schedule(step)))
            close(compiled(jnp.asarray(step)), flat(wanted)[0], 1e-8)

    def test_transformed(self, network):
        layer, _, _ = network
        many = jnp.asarray(drawn(4, 3, 6))
        temperatures = jnp.asarray([1.0, 0.7, 0.3, 0.1])
        compiled = jax.jit(lambda x, temperature: flat(layer(x, temperature))[0])
        each = [compiled(*one) for one in zip(many, temperatures, strict=True)]
        close(jax.jit(jax.vmap(compiled))(many, temperatures), jnp.stack(each))

    def test_parameters_are_those_of_the_settings(self, network):
        layer, _, _ = network
        shapes = {name: x.shape for name, x in layer.parameters.items()}
        assert shapes == hopcore.layers.parameter_shapes(layer.settings)
        assert len(jax.tree.leaves(eqx.filter(layer, eqx.is_inexact_array))) == len(shapes)

    def test_copies_are_equal_and_apart(self, network):
        layer, _, _ = network
        x = jnp.asarray(drawn(3, 6))
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            close(flat(twin(x, 0.3))[0], flat(layer(x, 0.3))[0], 0.0)
        file = io.BytesIO()
        eqx.tree_serialise_leaves(file, layer)
        file.seek(0)
        empty = type(layer).of(layer.settings, key=jax.random.key(1))
        twin = eqx.tree_deserialise_leaves(file, empty)
        close(flat(twin(x, 0.3))[0], flat(layer(x, 0.3))[0], 0.0)

    def test_dtypes(self, network):
        layer, _, _ = network
        x = jnp.asarray(drawn(3, 6))
        wanted = flat(eqx.filter_jit(layer)(x, 0.5))[0]
        for dtype, tol in ((jnp.float32, 1e-5), (jnp.bfloat16, 0.2)):
            twin = type(layer).of(layer.settings, parameters=layer.parameters, dtype=dtype)
            found = flat(eqx.filter_jit(twin)(x.astype(dtype), jnp.asarray(0.5)))[0]
            assert found.dtype == dtype
            close(found.astype(wanted.dtype), wanted, tol)
            with pytest.raises(TypeError, match=r"float32|bfloat16"):
                twin(x)

    def test_noise_is_drawn_by_a_key_alone(self, network):
        layer, _, _ = network
        x = jnp.asarray(drawn(30, 6))

        def once(seed):
            key = None if seed is None else jax.random.key(seed)
            return flat(eqx.filter_jit(layer)(x, 0.5, noise_key=key))[0]

        close(once(1), once(1), 0.0)
        close(once(None), once(None), 0.0)
        assert not jnp.array_equal(once(1), once(2))
        assert not jnp.array_equal(once(1), once(None))

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
    def test_bad_temperatures(self, network, temperature):
        for given in (temperature, jnp.asarray(temperature)):
            with pytest.raises(ValueError, match="temperature must be positive"):
                network[0](jnp.asarray(drawn(3, 6)), given)

    def test_bad_arguments(self, network):
        layer, _, _ = network
        with pytest.raises(TypeError, match="no argument heads"):
            type(layer)(input_size=6, heads=2, key=KEY)
        with pytest.raises(TypeError, match="give key="):
            type(layer).of(layer.settings)
        with pytest.raises(TypeError, match="settings must be"):
            type(layer).of(hopcore.HopfieldSettings(input_size=6), key=KEY)
        with pytest.raises(ValueError, match="6"):
            layer(jnp.asarray(drawn(3, 5)))

    def test_one_file_for_torch_and_jax(self, network, tmp_path):
        layer, _, _ = network
        path = tmp_path / "layer.safetensors"
        hopcore_jax.save_layer(path, layer)
        twin = hopcore_jax.load_layer(path)
        assert type(twin) is type(layer)
        x = drawn(3, 6)
        wanted = flat(layer(jnp.asarray(x), 0.1))[0]
        close(flat(twin(jnp.asarray(x), 0.1))[0], wanted, 0.0)
        there = hopcore_torch.load_layer(path)
        close(flat(there(torch.from_numpy(x), 0.1))[0].detach().numpy(), wanted)
        hopcore_torch.save_layer(path, there)
        close(flat(hopcore_jax.load_layer(path)(jnp.asarray(x), 0.1))[0], wanted, 0.0)


def test_layers_of_a_model_are_layers(x64):
    model = hopcore_jax.HNM(input_size=6, output_size=3, widths=(5, 4), key=KEY)
    x = y = jnp.asarray(drawn(3, 6))
    for layer in model.layers:
        y = layer(y, 0.3)
    close(model(x, 0.3), y)
    scale, patterns = hopcore.layers.effective_memory(
        model.layers[0].settings, model.layers[0].arrays()
    )
    assert scale > 0.0
    assert patterns == 64


def test_dropout_in_training_alone():
    model = hopcore_jax.HNM(
        input_size=6, output_size=6, widths=(6,), quantity=32, dropout=0.5, key=KEY
    )
    x = jnp.ones((20, 6))
    with pytest.raises(ValueError, match="call with key="):
        model(x, 1.0)
    first, second = (model(x, 1.0, key=jax.random.key(seed)) for seed in (1, 2))
    assert not jnp.array_equal(first, second)
    close(model(x, 1.0, key=jax.random.key(1)), first, 0.0)
    still = eqx.nn.inference_mode(model)
    close(still(x, 1.0), model(x, 1.0, inference=True), 0.0)
    # Each layer drops with a key of its own: of equal layers the second drops other weights.
    one = model.layers[0]
    same = {f"layers.{place}.{name}": x for place in (0, 1) for name, x in one.parameters.items()}
    model = hopcore_jax.HNM.of(model.settings, parameters=same)
    twice = one(one(x, 1.0, key=KEY), 1.0, key=KEY)
    assert not jnp.allclose(model(x, 1.0, key=KEY), twice)


# Temperatures that are learned.

LEARNED = LearnableTemperature(factor=(2.0, 0.5), shared=True)
MAKERS = {
    "Hopfield": {"input_size": 8, "num_heads": 2},
    "DiffusedHopfield": {"input_size": 8, "num_heads": 2, "k_neighbors": 2},
    "HopfieldPooling": {"input_size": 8, "num_heads": 2, "quantity": 3},
    "HopfieldLayer": {"input_size": 8, "num_heads": 2, "quantity": 5},
    "HopfieldEncoderLayer": {"d_model": 8, "nhead": 2, "dim_feedforward": 16},
}


@pytest.fixture(params=MAKERS)
def learned(request, x64):
    layer = getattr(hopcore_jax, request.param)(
        **MAKERS[request.param], scaling=LEARNED, key=KEY, inference=True
    )
    moved = {
        name: x + 0.4 * drawn(*x.shape, seed=i) if "association_core" in name else x
        for i, (name, x) in enumerate(layer.parameters.items())
    }
    return type(layer).of(layer.settings, parameters=moved, inference=True)


def torch_of(layer):
    kind = getattr(hopcore_torch, type(layer).__name__)
    twin = kind.of(layer.settings, dtype=torch.float64).eval()
    twin.load_state_dict(
        {name: torch.from_numpy(np.array(x)) for name, x in layer.parameters.items()}
    )
    return twin


class TestLearnedTemperatures:
    def test_start_exactly(self, learned):
        close(learned.temperature, np.asarray([4.0, 1.0]), 1e-15)
        if not isinstance(learned, hopcore_jax.HopfieldEncoderLayer):
            close(learned.scaling, np.asarray([0.25, 1.0]), 1e-15)

    def test_values_and_gradients_are_those_of_torch(self, learned):
        twin, x = torch_of(learned), drawn(3, 5, 8)
        given = x
        if type(learned).__name__ == "HopfieldEncoderLayer" and not twin.batch_first:
            given = x.swapaxes(0, 1)
        found = twin(torch.from_numpy(given))
        weight = drawn(*found.shape, seed=1)
        (found * torch.from_numpy(weight)).sum().backward()
        if given is not x:
            found, weight = found.swapaxes(0, 1), weight.swapaxes(0, 1)
        close(eqx.filter_jit(learned)(jnp.asarray(x)), found.detach().numpy())
        gradient = eqx.filter_jit(
            eqx.filter_grad(lambda layer: (layer(jnp.asarray(x)) * weight).sum())
        )(learned)
        for name, value in twin.named_parameters():
            close(gradient.parameters[name], value.grad.numpy(), 1e-8)
        at = [
            name
            for name in gradient.parameters
            if name.split(".")[-1] in ("temperature", "shared_temperature")
        ]
        assert len(at) == 2
        assert all(np.all(np.asarray(gradient.parameters[name])) for name in at)
        close(learned.temperature, twin.temperature.detach().numpy())

    def test_saved_and_loaded(self, learned, tmp_path):
        path = tmp_path / "layer.safetensors"
        hopcore_jax.save_layer(path, learned)
        twin = hopcore_jax.load_layer(path)
        assert twin.settings == learned.settings
        close(twin.temperature, learned.temperature, 0.0)
        close(hopcore_torch.load_layer(path).temperature.detach().numpy(), learned.temperature)

    def test_copies_are_equal(self, learned):
        x = jnp.asarray(drawn(3, 5, 8))
        for twin in (copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
            close(twin(x), learned(x), 0.0)
            close(twin.temperature, learned.temperature, 0.0)


@pytest.mark.parametrize("factor", [1e-6, 0.01, 1.0, 50.0, 1e6])
def test_start_to_rounding(factor):
    layer = hopcore_jax.Hopfield(
        16, num_heads=4, scaling=LearnableTemperature(factor=factor), key=KEY
    )
    theta = float(layer.parameters["temperature"])
    tolerance = 4.0 * float(jnp.finfo(layer.parameters["temperature"].dtype).eps)
    wanted = pytest.approx(2.0 * factor, rel=tolerance * max(1.0, abs(theta)))
    assert float(layer.temperature) == wanted


@pytest.mark.parametrize(
    "settings",
    [{}, {"scaling": 0.5}, {"scaling": (0.5, 2.0)}, {"scaling": 0.5, "learnable_scaling": True}],
)
def test_the_temperature_of_other_layers(settings):
    layer = hopcore_jax.Hopfield(16, num_heads=2, **settings, key=KEY)
    wanted = 1.0 / np.asarray(settings.get("scaling", 8.0**-0.5))
    np.testing.assert_allclose(np.asarray(layer.temperature), wanted, rtol=1e-6)


class TestAttention:
    def test_is_that_of_torch(self, x64):
        layer = hopcore_jax.LearnableTemperatureAttention(
            8, 2, 3.0, per_head=True, shared=True, separation="sparsemax", key=KEY
        )
        twin = torch_of(layer)
        query, key, value = drawn(3, 5, 8), drawn(3, 7, 8, seed=1), drawn(3, 7, 8, seed=2)
        hidden = np.arange(7) >= np.asarray([[7], [4], [2]])
        later = np.triu(np.ones((5, 7), bool), 2)
        for given in ((query,), (query, key), (query, key, value)):
            masks = () if len(given) == 1 else (hidden, later)
            more = dict(zip(("key_padding_mask", "attn_mask"), masks, strict=False))
            theirs = {name: torch.from_numpy(mask) for name, mask in more.items()}
            tensors = [torch.from_numpy(one) for one in given]
            close(layer(*given, **more), twin(*tensors, **theirs).detach().numpy())
            wanted = twin.get_association_matrix(*tensors, **theirs).numpy()
            close(layer.association_weights(*given, **more), wanted)
            close(layer.get_association_matrix(*given, **more), wanted)

    def test_a_mask_says_where_to_attend(self, x64):
        layer = hopcore_jax.LearnableTemperatureAttention(8, 2, key=KEY)
        given = drawn(3, 5, 8), drawn(3, 7, 8, seed=1), drawn(3, 7, 8, seed=2)
        for mask in (np.tril(np.ones((5, 7), bool), 2), np.ones((3, 1, 5, 7), int)):
            close(layer(*given, mask=mask), layer(*given, attn_mask=mask == 0), 0.0)
            wanted = layer.association_weights(*given, attn_mask=mask == 0)
            close(layer.association_weights(*given, mask=mask), wanted, 0.0)
        with pytest.raises(ValueError, match="got both"):
            layer(*given, mask=mask, attn_mask=mask == 0)
        with pytest.raises(TypeError, match="mask must hold booleans or integers, got float"):
            layer(*given, mask=1.0 * mask)

    def test_dropout(self):
        layer = hopcore_jax.LearnableTemperatureAttention(8, 2, dropout=0.5, key=KEY)
        x = jnp.asarray(drawn(3, 5, 8), jnp.float32)
        with pytest.raises(ValueError, match="call with key="):
            layer(x)
        assert layer(x, key=KEY).shape == layer(x, inference=True).shape

    def test_bad_arguments(self):
        with pytest.raises(TypeError, match="no argument scaling: did you mean init_temp_factor"):
            hopcore_jax.LearnableTemperatureAttention(8, 2, scaling=1.0, key=KEY)
        with pytest.raises(ValueError, match="factor must be positive"):
            hopcore_jax.LearnableTemperatureAttention(8, 2, 0.0, key=KEY)


class TestSharedRoom:
    def made(self):
        keys = jax.random.split(KEY, 3)
        return [
            hopcore_jax.LearnableTemperatureAttention(8, 2, shared=True, key=keys[0]),
            hopcore_jax.HopfieldEncoderLayer(
                8, 2, 16, scaling=LEARNED, key=keys[1], inference=True
            ),
            hopcore_jax.HopfieldLayer(
                8, quantity=5, scaling=LearnableTemperature(shared=True), key=keys[2]
            ),
        ]

    def test_one_step_moves_all_alike(self, x64):
        layers, x = self.made(), jnp.asarray(drawn(3, 5, 8))
        shared = layers[0].parameters["shared_temperature"]

        def loss(trained):
            layers, shared = trained
            return sum(
                (layer(x) ** 2).sum() for layer in hopcore_jax.share_temperature(layers, shared)
            )

        def apart(layers):
            return sum((layer(x) ** 2).sum() for layer in layers)

        each = [
            value
            for layer in eqx.filter_grad(apart)(layers)
            for name, value in layer.parameters.items()
            if name.split(".")[-1] == "shared_temperature"
        ]
        gradient = eqx.filter_grad(loss)((layers, shared))
        assert len(each) == 3
        close(gradient[1], sum(each))
        optimizer = optax.sgd(0.1)
        state = optimizer.init(eqx.filter((layers, shared), eqx.is_inexact_array))
        change, _ = optimizer.update(eqx.filter(gradient, eqx.is_inexact_array), state)
        layers, after = eqx.apply_updates((layers, shared), change)
        assert float(shared - after) == pytest.approx(0.1 * float(sum(each)))
        for layer in hopcore_jax.share_temperature(layers, after):
            close(
                next(x for n, x in layer.parameters.items() if n.endswith("shared_temperature")),
                after,
                0.0,
            )
        # Without one of its own the first layer's gets it all.
        first = eqx.filter_grad(lambda layers: apart(hopcore_jax.share_temperature(layers)))(
            self.made()
        )
        close(first[0].parameters["shared_temperature"], sum(each))
        assert float(first[2].parameters["hopfield.shared_temperature"]) == 0.0

    def test_structure_and_arguments(self):
        layers = self.made()
        layer = hopcore_jax.share_temperature({"a": layers[0], "b": (layers[1], None)}, 0.25)
        assert float(layer["b"][0].parameters["hopfield_association.shared_temperature"]) == 0.25
        with pytest.raises(ValueError, match="Hopfield has no shared temperature"):
            hopcore_jax.share_temperature([layers[0], hopcore_jax.Hopfield(8, key=KEY)])
        with pytest.raises(ValueError, match="theta must be one number"):
            hopcore_jax.share_temperature(layers, jnp.ones(2))
        with pytest.raises(ValueError, match="got none"):
            hopcore_jax.share_temperature([])
