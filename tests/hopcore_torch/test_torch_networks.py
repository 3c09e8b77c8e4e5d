"""Torch's modules with a temperature: NumPy's values, torch's ways of using a module."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

import hopcore
import hopcore_torch
from hopcore import LearnableTemperature
from hopcore_torch import (
    HNL,
    HNM,
    DiffusedHopfield,
    Hopfield,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldPooling,
    LearnableTemperatureAttention,
    VectorQuantizer,
    load_layer,
    save_layer,
    share_temperature,
)

NETWORKS = {
    "hnl": (
        HNL,
        hopcore.layers.hnl,
        {"input_size": 6, "output_size": 3, "quantity": 9, "num_heads": 2},
    ),
    "hnm": (
        HNM,
        hopcore.layers.hnm,
        {"input_size": 6, "output_size": 3, "widths": (5,), "quantity": 7},
    ),
    "quantizer": (
        VectorQuantizer,
        hopcore.layers.quantize,
        {"input_size": 6, "groups": 2, "quantity": 5},
    ),
}


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def numpy_of(layer):
    return {name: value.detach().numpy() for name, value in layer.state_dict().items()}


def flat(found):
    return tuple(found) if isinstance(found, tuple) else (found,)


@pytest.fixture(params=NETWORKS)
def network(request):
    kind, function, settings = NETWORKS[request.param]
    torch.manual_seed(0)
    return kind(**settings, dtype=torch.float64), function


class TestNetworks:
    @pytest.mark.parametrize("hard", [False, True])
    @pytest.mark.parametrize("temperature", [None, 0.02, torch.tensor(0.5), np.float32(0.5)])
    def test_are_the_functions(self, network, hard, temperature):
        layer, function = network
        x = drawn(4, 7, 6)
        given = temperature if temperature is None else float(temperature)
        wanted = function(layer.settings, numpy_of(layer), x.numpy(), temperature=given, hard=hard)
        found = layer(x, temperature, hard)
        for mine, theirs in zip(flat(found), flat(wanted), strict=True):
            close(mine.detach(), torch.as_tensor(theirs))

    def test_parameters_are_those_of_the_settings(self, network):
        layer, _ = network
        shapes = {name: tuple(x.shape) for name, x in layer.state_dict().items()}
        assert shapes == hopcore.layers.parameter_shapes(layer.settings)
        assert set(shapes) == {name for name, _ in layer.named_parameters()}
        assert layer.arrays().keys() == shapes.keys()

    def test_every_parameter_is_trained(self, network):
        layer, _ = network
        found = layer(drawn(4, 6), 0.7, hard=True)
        sum(x.square().sum() for x in flat(found) if x.requires_grad).backward()
        still = [name for name, x in layer.named_parameters() if x.grad is None or not x.grad.any()]
        assert still == []

    def test_starts_again_from_a_generator(self, network):
        layer, _ = network
        before = copy.deepcopy(layer.state_dict())
        layer.reset_parameters(torch.Generator().manual_seed(3))
        other = type(layer).of(layer.settings, dtype=torch.float64)
        other.reset_parameters(torch.Generator().manual_seed(3))
        close(other.state_dict(), layer.state_dict(), 0.0)
        assert any(not torch.equal(x, before[name]) for name, x in layer.state_dict().items())

    def test_copies_are_equal_and_apart(self, network):
        layer, _ = network
        x = drawn(3, 6)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            close(flat(twin(x, 0.3)), flat(layer(x, 0.3)), 0.0)
            with torch.no_grad():
                next(twin.parameters()).add_(1.0)
            assert not torch.equal(next(twin.parameters()), next(layer.parameters()))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_dtypes(self, network, dtype):
        layer, _ = network
        x = drawn(3, 6)
        twin = copy.deepcopy(layer).to(dtype)
        temperature = torch.tensor(0.5)  # whatever its own dtype
        found = flat(twin(x.to(dtype), temperature))[0]
        assert found.dtype == dtype
        close(found.double(), flat(layer(x, 0.5))[0], 1e-5 if dtype == torch.float32 else 0.2)
        with pytest.raises(TypeError, match=r"float32|bfloat16"):
            twin(x)

    def test_devices(self, network):
        layer, _ = network
        made = type(layer).of(layer.settings, device="meta")
        assert {x.device.type for x in made.state_dict().values()} == {"meta"}
        x = torch.empty(3, 6, device="meta")
        for temperature in (0.5, torch.tensor(0.5), torch.tensor(0.5, device="meta")):
            found = flat(made(x, temperature, generator=torch.default_generator))[0]
            assert found.device.type == "meta"

    def test_another_temperature_is_no_cause_to_compile_again(self, network):
        layer, _ = network
        x = drawn(3, 6)
        for temperatures in (torch.tensor([1.0, 0.3, 0.02]), (0.9, 0.2, 0.01, 0.005)):
            torch._dynamo.reset()
            counter = CompileCounter()
            compiled = torch.compile(layer, fullgraph=True, backend=counter)
            for temperature in temperatures:
                close(flat(compiled(x, temperature)), flat(layer(x, temperature)), 1e-6)
            # Of numbers the second says to the compiler that they change.
            assert counter.frame_count <= (1 if isinstance(temperatures, torch.Tensor) else 2)

    def test_gradients_compiled(self, network):
        layer, _ = network
        # Not hard in several heads: there torch 2.13's aot_eager, other than inductor, stumbles
        # over the strides that it predicts for its own native_layer_norm_backward.
        hard = isinstance(layer, VectorQuantizer)
        x, temperature = drawn(3, 6), torch.tensor(0.4)
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")

        def gradients(one):
            layer.zero_grad()
            found = flat(one(x, temperature, hard))
            sum(value.square().sum() for value in found if value.requires_grad).backward()
            return {name: value.grad.clone() for name, value in layer.named_parameters()}

        close(gradients(compiled), gradients(layer))

    def test_functions_transformed(self, network):
        layer, _ = network
        x, temperatures = drawn(2, 3, 6), torch.tensor([0.5, 0.05], dtype=torch.float64)
        each = [flat(layer(*one))[0] for one in zip(x, temperatures, strict=True)]
        close(torch.vmap(lambda *one: flat(layer(*one))[0])(x, temperatures), torch.stack(each))
        slope = torch.func.grad(lambda t: flat(layer(x, t))[0].square().sum())(temperatures[0])
        temperature = temperatures[0].clone().requires_grad_()
        flat(layer(x, temperature))[0].square().sum().backward()
        close(slope, temperature.grad)

    def test_noise_is_drawn_by_a_generator_alone(self, network):
        layer, _ = network
        x = drawn(30, 6)

        def once(seed, **more):
            generator = None if seed is None else torch.Generator().manual_seed(seed)
            return flat(layer(x, 0.5, generator=generator, **more))[0]

        close(once(1), once(1), 0.0)
        close(once(None), once(None), 0.0)
        assert not torch.equal(once(1), once(2))
        assert not torch.equal(once(1), once(None))
        torch.manual_seed(0)
        first = flat(layer(x, 0.5, generator=torch.default_generator))[0]
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        torch.manual_seed(0)
        close(flat(compiled(x, 0.5, generator=torch.default_generator))[0], first)

    @pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), torch.tensor(-1.0)])
    def test_bad_temperatures(self, network, temperature):
        with pytest.raises(ValueError, match="temperature must be positive"):
            network[0](drawn(3, 6), temperature)

    @pytest.mark.parametrize("temperature", [torch.ones(2), "warm", True, [0.1]])
    def test_what_is_no_temperature(self, network, temperature):
        with pytest.raises((TypeError, ValueError), match="temperature must be"):
            network[0](drawn(3, 6), temperature)

    def test_under_autocast(self, network):
        layer, x = network[0].float(), drawn(3, 6, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            found = flat(layer(x, 0.5))[0]
        close(found.float(), flat(layer(x, 0.5))[0], 0.2)

    def test_bad_arguments(self, network):
        layer, _ = network
        with pytest.raises(TypeError, match="no argument heads"):
            type(layer)(input_size=6, heads=2)
        with pytest.raises(TypeError, match="settings must be"):
            type(layer).of(hopcore.HopfieldSettings(input_size=6))
        with pytest.raises(ValueError, match="6"):
            layer(drawn(3, 5))

    def test_saved_and_loaded(self, network, tmp_path):
        layer, function = network
        save_layer(tmp_path / "layer.safetensors", layer)
        twin = load_layer(tmp_path / "layer.safetensors")
        assert type(twin) is type(layer)
        assert twin.settings == layer.settings
        close(twin.state_dict(), layer.state_dict(), 0.0)
        x = drawn(3, 6)
        settings, parameters = hopcore.load_layer(tmp_path / "layer.safetensors")
        wanted = flat(function(settings, parameters, x.numpy(), temperature=0.1))[0]
        close(flat(twin(x, 0.1))[0].detach(), torch.as_tensor(wanted))


@pytest.mark.parametrize("kind", [HNL, HNM])
def test_dropout_in_training_alone(kind):
    layer = kind(input_size=6, output_size=3, quantity=32, dropout=0.5)
    x = drawn(20, 6, dtype=torch.float32)
    assert not torch.equal(layer(x, 1.0), layer(x, 1.0))
    layer.eval()
    close(layer(x, 1.0), layer(x, 1.0), 0.0)


def test_hard_noise_chooses_a_pattern_as_often_as_its_soft_weight():
    torch.manual_seed(0)
    layer = VectorQuantizer(input_size=2, quantity=4)
    with torch.no_grad():
        layer.codebook.copy_(drawn(1, 4, 2, dtype=torch.float32))
    x, many = drawn(1, 2, dtype=torch.float32), 20_000
    soft = layer(x, 1.0).weights[0, 0].detach()
    codes = layer(x.expand(many, 2), 1.0, True, torch.Generator().manual_seed(0)).codes[:, 0]
    often = torch.bincount(codes, minlength=4) / many
    # Five standard deviations of a share of so many draws.
    assert ((often - soft).abs() < 5.0 * (soft * (1.0 - soft) / many).sqrt()).all()


def test_hard_layers_recall_one_pattern_for_each_head():
    torch.manual_seed(0)
    layer = HNL(input_size=6, output_size=3, quantity=4, num_heads=1)
    assert len(layer(drawn(500, 6, dtype=torch.float32), 0.1, hard=True).unique(dim=0)) <= 4


def test_the_transition_of_a_memory_that_is_trained():
    layer = HNL(input_size=6, output_size=3, quantity=9)
    scale, patterns = hopcore.layers.effective_memory(layer.settings, layer.arrays())
    numpy = hopcore.layers.effective_memory(layer.settings, numpy_of(layer))
    assert (scale, patterns) == (pytest.approx(numpy[0], rel=1e-5), 9)


# Temperatures that are learned.

LEARNED = LearnableTemperature(factor=(2.0, 0.5), shared=True)
MAKERS = {
    "hopfield": lambda **how: Hopfield(8, num_heads=2, **how),
    "iterated": lambda **how: Hopfield(8, num_heads=2, update_steps_max=3, **how),
    "diffused": lambda **how: DiffusedHopfield(8, num_heads=2, k_neighbors=2, **how),
    "pooling": lambda **how: HopfieldPooling(8, num_heads=2, quantity=3, **how),
    "lookup": lambda **how: HopfieldLayer(8, num_heads=2, quantity=5, **how),
    "encoder": lambda **how: HopfieldEncoderLayer(8, 2, 16, batch_first=True, **how),
}


@pytest.fixture(params=MAKERS)
def learned(request):
    torch.manual_seed(0)
    layer = MAKERS[request.param](scaling=LEARNED, dtype=torch.float64).eval()
    with torch.no_grad():
        for name, x in layer.named_parameters():
            if "association_core" in name:
                x.add_(0.4 * torch.randn_like(x))
    return layer


def owner_of(layer):
    return next(one for one in layer.modules() if isinstance(one, Hopfield))


class TestLearnedTemperatures:
    def test_start_exactly(self, learned):
        with torch.no_grad():
            for value in learned.parameters():
                value.add_(1.0)
        learned.reset_parameters()
        close(learned.temperature.detach(), drawn(2) * 0.0 + torch.tensor([4.0, 1.0]), 1e-15)
        close(owner_of(learned).scaling.detach(), torch.tensor([0.25, 1.0]).double(), 1e-15)

    @pytest.mark.parametrize("factor", [1e-6, 0.01, 1.0, 50.0, 1e6])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_start_to_rounding(self, factor, dtype):
        layer = Hopfield(16, num_heads=4, scaling=LearnableTemperature(factor=factor), dtype=dtype)
        theta = layer.arrays()["temperature"].item()
        tolerance = 4.0 * torch.finfo(dtype).eps * max(1.0, abs(theta))
        assert layer.temperature.item() == pytest.approx(2.0 * factor, rel=tolerance)

    def test_are_parameters_by_the_names_of_the_core(self, learned):
        names = hopcore.layers.parameter_shapes(learned.settings)
        assert set(learned.state_dict()) == set(names)
        assert set(dict(learned.named_parameters())) == set(names)
        assert (
            sum(name.split(".")[-1] in ("temperature", "shared_temperature") for name in names) == 2
        )

    def test_are_trained(self, learned):
        x = drawn(3, 5, 8)
        weight = drawn(*learned(x).shape, seed=1)
        named = {
            name: value
            for name, value in learned.named_parameters()
            if name.split(".")[-1] in ("temperature", "shared_temperature")
        }
        (learned(x) * weight).sum().backward()
        for value in named.values():
            step = 1e-6
            for i in range(value.numel()):
                ends = []
                for sign in (1.0, -1.0):
                    with torch.no_grad():
                        value.view(-1)[i] += sign * step
                        ends.append((learned(x) * weight).sum())
                        value.view(-1)[i] -= sign * step
                slope = (ends[0] - ends[1]) / (2.0 * step)
                close(value.grad.view(-1)[i], slope, 1e-6)
            assert value.grad.abs().min() > 1e-6

    def test_divide_the_scores(self, learned):
        # With the same weights and the temperature as a number.
        x = drawn(3, 5, 8)
        with torch.no_grad():
            owner_of(learned).shared_temperature.fill_(1.3)
            owner_of(learned)._parameters["temperature"].copy_(torch.tensor([-0.4, 2.0]))
        plain = copy.deepcopy(learned)
        owner = owner_of(plain)
        beta = tuple((1.0 / learned.temperature).tolist())
        other = Hopfield.of(
            hopcore.HopfieldSettings.from_dict({**owner.settings.to_dict(), "scaling": beta}),
            dtype=torch.float64,
        ).eval()
        other.load_state_dict(owner.state_dict(), strict=False)
        given = (x, drawn(3, 2, 8, seed=1), x)
        close(owner(given), other(given))
        softplus = nn.functional.softplus
        wanted = softplus(torch.tensor([-0.4, 2.0])) * softplus(torch.tensor(1.3))
        close(learned.temperature.detach(), wanted.double(), 1e-6)

    def test_copies_are_equal_and_apart(self, learned):
        x = drawn(3, 5, 8)
        for twin in (copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
            close(twin(x), learned(x), 0.0)
            with torch.no_grad():
                owner_of(twin)._parameters["temperature"].add_(1.0)
            assert (twin.temperature > learned.temperature).all()

    def test_saved_and_loaded(self, learned, tmp_path):
        with torch.no_grad():
            owner_of(learned)._parameters["temperature"].sub_(0.5)
        path = tmp_path / "layer.safetensors"
        save_layer(path, learned)
        twin = load_layer(path).eval()
        assert twin.settings == learned.settings
        close(twin.temperature, learned.temperature, 0.0)
        close(twin(drawn(3, 5, 8)), learned(drawn(3, 5, 8)), 0.0)

    def test_compile_whole_and_export(self, learned):
        x = drawn(3, 5, 8)
        torch._dynamo.reset()
        compiled = torch.compile(learned, fullgraph=True, backend="aot_eager")
        close(compiled(x), learned(x))
        with torch.no_grad():
            program = torch.export.export(learned, (x,))
            close(program.module()(x), learned(x))

    def test_functional_calls_are_seen(self, learned):
        x, parameters = drawn(3, 5, 8), dict(learned.named_parameters())
        found = torch.func.grad(
            lambda p: torch.func.functional_call(learned, p, (x,)).square().sum()
        )(parameters)
        learned(x).square().sum().backward()
        for name, value in learned.named_parameters():
            close(found[name], value.grad)

    def test_in_half_precision(self, learned):
        half = copy.deepcopy(learned).bfloat16()
        assert half(drawn(3, 5, 8).bfloat16()).dtype == torch.bfloat16
        close(half.temperature.double(), learned.temperature, 0.02)


def test_replicas_use_their_own_temperature():
    # As torch.nn.DataParallel makes them: plain tensors, set as attributes.
    layer = Hopfield(8, num_heads=2, scaling=LEARNED)
    replica = layer._replicate_for_data_parallel()
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(replica, name, parameter.detach() + 1.0)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in twin.parameters(recurse=False):
            parameter.add_(1.0)
    x = drawn(3, 5, 8, dtype=torch.float32)
    close(replica(x), twin(x), 0.0)
    close(replica.temperature, twin.temperature, 0.0)


def test_decoders_learn_two():
    layer = HopfieldDecoderLayer(8, 2, 16, batch_first=True, scaling=LEARNED)
    layer(drawn(3, 5, 8).float(), drawn(3, 4, 8).float()).sum().backward()
    for one in (layer.hopfield_association_self, layer.hopfield_association_cross):
        assert one._parameters["temperature"].grad is not None
        assert one.temperature.shape == (2,)


@pytest.mark.parametrize("scaling", [None, 0.5, (0.5, 2.0), nn.Parameter(torch.tensor([0.5, 2.0]))])
def test_the_temperature_of_other_layers(scaling):
    layer = Hopfield(16, num_heads=2, scaling=scaling)
    usual = 8.0**-0.5
    wanted = 1.0 / torch.as_tensor(usual if scaling is None else scaling)
    close(torch.as_tensor(layer.temperature).double(), wanted.double(), 1e-6)
    with pytest.raises(AttributeError, match="set scaling"):
        layer.temperature = 1.0


class TestAttention:
    def test_starts_as_torch_attention(self):
        torch.manual_seed(0)
        theirs = nn.MultiheadAttention(8, 2, batch_first=True).double()
        ours = LearnableTemperatureAttention(8, 2, dtype=torch.float64)
        names = {f"association_core.{name}": x for name, x in theirs.state_dict().items()}
        ours.load_state_dict(names, strict=False)
        query, key, value = drawn(3, 5, 8), drawn(3, 7, 8, seed=1), drawn(3, 7, 8, seed=2)
        hidden = torch.arange(7) >= torch.tensor([[7], [4], [2]])
        later = torch.ones(5, 7, dtype=torch.bool).triu(2)
        masks = {"key_padding_mask": hidden, "attn_mask": later}
        given = query, key, value
        wanted, weights = theirs(*given, **masks, average_attn_weights=False)
        close(ours(*given, **masks), wanted)
        close(ours.association_weights(*given, **masks), weights)
        close(ours.get_association_matrix(*given, **masks), weights)
        close(ours(query), theirs(query, query, query)[0])
        close(ours(query, key), theirs(query, key, key)[0])

    def test_a_mask_says_where_to_attend(self):
        layer = LearnableTemperatureAttention(8, 2, dtype=torch.float64)
        given = drawn(3, 5, 8), drawn(3, 7, 8, seed=1), drawn(3, 7, 8, seed=2)
        for mask in (
            torch.ones(5, 7, dtype=torch.bool).tril(2),
            torch.ones(5, 7, dtype=torch.int64).tril(2),
            torch.arange(7) < torch.tensor([[7], [4], [2]])[:, None, None],
        ):
            ignored = mask == 0
            close(layer(*given, mask=mask), layer(*given, attn_mask=ignored), 0.0)
            wanted = layer.association_weights(*given, attn_mask=ignored)
            close(layer.association_weights(*given, mask=mask), wanted, 0.0)
            close(layer.get_association_matrix(*given, mask=mask), wanted, 0.0)
            assert not wanted[ignored.broadcast_to(wanted.shape)].any()
        with pytest.raises(ValueError, match="got both"):
            layer(*given, mask=mask, attn_mask=ignored)
        with pytest.raises(TypeError, match="mask must hold booleans or integers, got torch"):
            layer(*given, mask=mask.float())

    def test_arguments(self):
        layer = LearnableTemperatureAttention(
            8, 2, (2.0, 1.0), shared=True, separation="sparsemax", dropout=0.5, bias=False, kdim=6
        )
        assert layer.settings.scaling == LearnableTemperature(factor=(2.0, 1.0), shared=True)
        assert layer.settings.separation == "sparsemax"
        assert layer.settings.dropout == 0.5
        assert "association_core.out_proj.bias" not in layer.state_dict()
        query, key, value = drawn(3, 5, 8), drawn(3, 7, 6), drawn(3, 7, 8)
        assert layer(query.float(), key.float(), value.float()).shape == (3, 5, 8)
        with pytest.raises(TypeError, match="no argument scaling: did you mean init_temp_factor"):
            LearnableTemperatureAttention(8, 2, scaling=1.0)
        with pytest.raises(ValueError, match="factor must be positive"):
            LearnableTemperatureAttention(8, 2, 0.0)

    def test_in_checkpoints_a_hopfield_layer(self, tmp_path):
        layer = LearnableTemperatureAttention(8, 2, 3.0, per_head=True)
        save_layer(tmp_path / "layer.safetensors", layer)
        found = load_layer(tmp_path / "layer.safetensors")
        twin = LearnableTemperatureAttention.of(found.settings)
        twin.load_state_dict(found.state_dict())
        x = drawn(3, 5, 8, dtype=torch.float32)
        close(twin(x), layer(x), 0.0)
        close(found(x), layer(x), 0.0)


class TestSharedRoom:
    def test_one_step_moves_all_alike(self):
        torch.manual_seed(0)
        model = nn.ModuleList(
            [
                LearnableTemperatureAttention(8, 2, shared=True),
                HopfieldEncoderLayer(8, 2, 16, scaling=LEARNED, batch_first=True),
                HopfieldLayer(8, quantity=5, scaling=LearnableTemperature(shared=True)),
            ]
        ).double()
        apart = copy.deepcopy(model)
        assert share_temperature(model) is model
        x = drawn(3, 5, 8)

        def loss(layers):
            return sum(layer.eval()(x).square().sum() for layer in layers)

        loss(apart).backward()
        each = [one.shared_temperature.grad for one in apart.modules() if isinstance(one, Hopfield)]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss(model).backward()
        shared = [one.shared_temperature for one in model.modules() if isinstance(one, Hopfield)]
        assert len(shared) == 3
        assert all(one is shared[0] for one in shared)
        close(shared[0].grad, sum(each))
        before = shared[0].item()
        optimizer.step()
        assert before - shared[0].item() == pytest.approx(0.1 * sum(each).item())
        assert sum(one is x for one in shared[:1] for x in model.parameters()) == 1
        twin = copy.deepcopy(model)
        assert (
            len({id(one.shared_temperature) for one in twin.modules() if isinstance(one, Hopfield)})
            == 1
        )
        twin.load_state_dict(model.state_dict(), strict=True)

    def test_a_shared_temperature_from_outside(self):
        shared_temperature = nn.Parameter(torch.tensor(0.3))
        layers = share_temperature(
            [Hopfield(8, scaling=LEARNED, num_heads=2) for _ in range(2)], shared_temperature
        )
        assert all(layer.shared_temperature is shared_temperature for layer in layers)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="Hopfield has no shared temperature"):
            share_temperature([Hopfield(8, num_heads=2, scaling=LEARNED), Hopfield(8)])
        layer = Hopfield(8, num_heads=2, scaling=LEARNED)
        for shared_temperature in (torch.tensor(1.0), nn.Parameter(torch.ones(2))):
            with pytest.raises(ValueError, match=r"theta must be a torch\.nn\.Parameter"):
                share_temperature(layer, shared_temperature)


@pytest.mark.parametrize("kind", ["HNL", "HNM", "VectorQuantizer"])
def test_settings_by_position_are_refused_by_name(kind):
    with pytest.raises(TypeError, match=f"^{kind} takes its settings by name, .*; got 2 by") as bad:
        getattr(hopcore_torch, kind)(8, 6)
    assert "\n" not in str(bad.value)


def test_lse_takes_a_beta_of_its_library():
    scores = torch.tensor([1.0, 1.0], dtype=torch.float64)
    beta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    found = hopcore.lse(beta, scores)
    close(found, torch.tensor(1.0 + math.log(2.0) / 2.0, dtype=torch.float64), 1e-14)
    found.backward()
    close(beta.grad, torch.tensor(-math.log(2.0) / 4.0, dtype=torch.float64), 1e-14)
    with pytest.raises(ValueError, match="beta must be positive and finite"):
        hopcore.lse(-beta, scores)
    with pytest.raises(TypeError, match="beta must be a number, got tensor"):
        hopcore.lse(torch.ones(2), scores)
