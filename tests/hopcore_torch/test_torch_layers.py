"""Torch's modules in torch's world: state, devices, autocast, traces, transforms, copies."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import hopcore
from hopcore_torch import (
    DiffusedHopfield,
    Hopfield,
    HopfieldCore,
    HopfieldDecoderLayer,
    HopfieldEncoderLayer,
    HopfieldLayer,
    HopfieldPooling,
)

MAKERS = {
    "hopfield": lambda: Hopfield(8, num_heads=2),
    "iterated": lambda: Hopfield(8, num_heads=2, update_steps_max=3),
    "learnable": lambda: Hopfield(8, num_heads=2, scaling=torch.nn.Parameter(torch.ones(2))),
    "pooling": lambda: HopfieldPooling(8, num_heads=2, quantity=3),
    "lookup": lambda: HopfieldLayer(8, num_heads=2, quantity=5),
    "encoder": lambda: HopfieldEncoderLayer(8, 2, 16, batch_first=True),
    "diffused": lambda: DiffusedHopfield(8, num_heads=2, k_neighbors=2),
}


@pytest.fixture(params=MAKERS)
def layer(request):
    torch.manual_seed(0)
    found = MAKERS[request.param]().eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return found


@pytest.fixture
def patterns():
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_copies_are_equal_and_apart(layer, patterns):
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        close(twin(patterns), layer(patterns), 0.0)
        with torch.no_grad():
            next(twin.parameters()).add_(1.0)
        assert not torch.equal(next(twin.parameters()), next(layer.parameters()))


def test_dtypes(layer, patterns):
    reference = layer(patterns)
    double = copy.deepcopy(layer).double()(patterns.double())
    assert double.dtype == torch.float64
    close(double.float(), reference)
    half = copy.deepcopy(layer).bfloat16()(patterns.bfloat16())
    assert half.dtype == torch.bfloat16
    close(half.float(), reference, 0.2)
    with pytest.raises(TypeError, match=r"float32.*float64|float64.*float32"):
        layer(patterns.double())


def test_autocast(layer, patterns):
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(patterns)
    found.float().sum().backward()
    close(found.float(), layer(patterns), 0.2)


@pytest.mark.parametrize("backward", [False, True])
def test_compiles_whole(layer, patterns, backward):
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    if not backward:
        with torch.no_grad():
            return close(compiled(patterns), layer(patterns))
    layer(patterns).square().sum().backward()
    wanted = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    compiled(patterns).square().sum().backward()
    found = [p.grad for p in layer.parameters() if p.grad is not None]
    close(found, wanted, 1e-4)
    return None


@pytest.mark.parametrize(
    "code",
    [
        # Compiled before any tensor was met.
        "from hopcore_torch import Hopfield; layer = Hopfield(8);"
        "torch.compile(layer, fullgraph=True, backend='eager')(torch.ones(2, 3, 8))",
        # One backend, whether a tensor or the package asks for it first.
        "import hopcore; graph = hopcore.knn_graph(torch.ones(3, 2), 1); import hopcore_torch;"
        "assert graph.backend is hopcore.backend('torch')",
    ],
)
def test_in_a_new_process(code):
    command = [sys.executable, "-W", "error", "-c", f"import torch; {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_exports(layer, patterns):
    with torch.no_grad():
        program = torch.export.export(layer, (patterns,))
        close(program.module()(patterns), layer(patterns))


def test_a_diffused_layer_exports_with_fewer_patterns_than_neighbours():
    torch.manual_seed(0)
    layer = DiffusedHopfield(8, num_heads=2, k_neighbors=4, eta=0.4).eval()
    patterns, padding = torch.randn(2, 7, 8), torch.tensor([2 * [False] + 5 * [True]] * 2)
    with torch.no_grad():
        program = torch.export.export(layer, (patterns, padding))
        close(program.module()(patterns, padding), layer(patterns, padding))


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about its own parts
def test_runs_in_onnx(layer, patterns):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime has no wheel here")
    with torch.no_grad():
        program = torch.onnx.export(layer, (patterns,), dynamo=True, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: patterns.numpy()})
    np.testing.assert_allclose(found, layer(patterns).detach().numpy(), atol=1e-4)


def test_functions_transformed(layer, patterns):
    parameters = dict(layer.named_parameters())

    def loss(parameters):
        return torch.func.functional_call(layer, parameters, (patterns,)).square().sum()

    found = torch.func.grad(loss)(parameters)
    layer(patterns).square().sum().backward()
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None:
            close(found[name], parameter.grad, 1e-4)
    many = torch.stack([patterns, 2.0 * patterns])
    close(torch.vmap(layer)(many), torch.stack([layer(x) for x in many]))


@pytest.mark.parametrize("kind", [Hopfield, HopfieldPooling, HopfieldLayer])
def test_a_fixed_point_has_zero_derivatives_where_it_has_none(kind):
    # DistributedDataParallel waits for every parameter that is trained.
    layer = kind(8, num_heads=2, update_steps_max=None)
    layer(torch.randn(2, 5, 8)).square().sum().backward()
    assert [name for name, x in layer.named_parameters() if x.grad is None] == []
    name = "pooling_weights" if kind is HopfieldPooling else "norm_state_pattern.weight"
    found = next(x for key, x in layer.named_parameters() if key.endswith(name))
    assert not found.grad.any()


def test_a_fixed_point_is_not_transformed(patterns):
    layer = Hopfield(8, update_steps_max=None)
    with pytest.raises(NotImplementedError, match="update_steps_max"):
        torch.func.grad(lambda x: layer(x).sum())(patterns)


def test_replicas_use_their_own_parameters(patterns):
    # As torch.nn.DataParallel makes them: attributes instead of entries of _parameters.
    layer = Hopfield(8)
    replica = copy.copy(layer)
    replica.__dict__ = {**layer.__dict__, "_modules": dict(layer._modules)}
    core = layer.association_core._replicate_for_data_parallel()
    core.settings = layer.association_core.settings
    for name, parameter in layer.association_core.named_parameters(recurse=False):
        setattr(core, name, parameter.detach() * 2.0)
    core.out_proj = layer.association_core.out_proj
    replica._modules["association_core"] = core
    twice = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in twice.association_core.parameters(recurse=False):
            parameter.mul_(2.0)
    close(replica(patterns), twice(patterns))


def test_parametrisations_and_functional_calls_are_seen(patterns):
    layer = Hopfield(8)
    torch.nn.utils.parametrizations.weight_norm(layer.association_core, "in_proj_weight")
    layer(patterns).sum().backward()
    weight = layer.association_core.parametrizations.in_proj_weight
    assert all(p.grad is not None for p in weight.parameters())


class TestScaling:
    @pytest.mark.parametrize("scaling", [2, 2.0, torch.tensor(2.0), (2.0, 2.0), torch.ones(2) * 2])
    def test_kinds(self, scaling, patterns):
        torch.manual_seed(0)
        plain = Hopfield(8, num_heads=2, scaling=2.0)
        other = Hopfield(8, num_heads=2, scaling=scaling)
        other.load_state_dict(plain.state_dict(), strict=True)
        close(other(patterns), plain(patterns))

    @pytest.mark.parametrize("start", [torch.tensor(0.7), torch.tensor([0.7, 1.3])])
    def test_a_parameter_is_trained(self, start, patterns):
        scaling = torch.nn.Parameter(start.double())
        layer = Hopfield(8, num_heads=2, scaling=scaling, dtype=torch.float64)
        assert layer.scaling is scaling
        assert "scaling" in layer.state_dict()
        stored = 5.0 * patterns.double()

        def output(beta):
            return torch.func.functional_call(layer, {"scaling": beta}, (stored,))

        assert torch.autograd.gradcheck(output, (scaling,))

    def test_refused(self):
        with pytest.raises(ValueError, match="2 heads, got 3"):
            Hopfield(8, num_heads=2, scaling=torch.ones(3))
        with pytest.raises(ValueError, match="must be positive"):
            Hopfield(8, scaling=0.0)
        with pytest.raises(TypeError, match="Parameter"):
            Hopfield(8, scaling=torch.ones((), requires_grad=True))
        with pytest.raises(ValueError, match="one number, or one for each head"):
            Hopfield(8, scaling=torch.nn.Parameter(torch.ones(2, 2)))


@pytest.mark.parametrize("separation", ["sparsemax", 1.5])
class TestSparse:
    def test_weights_are_sparse_and_the_function_is_numpys(self, separation):
        torch.manual_seed(0)
        layer = Hopfield(
            8, num_heads=2, scaling=(1.0, 8.0), separation=separation, dtype=torch.float64
        )
        with torch.no_grad():
            layer.association_core.in_proj_weight.mul_(10.0)
        patterns = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
        weights = layer.association_weights(patterns)
        assert (weights == 0).any()
        close(weights.sum(-1), torch.ones(3, 2, 5, dtype=torch.float64), 1e-12)
        parameters = {name: x.numpy() for name, x in layer.state_dict().items()}
        wanted = hopcore.hopfield(layer.settings, parameters, patterns.detach().numpy())
        close(layer(patterns).detach(), torch.from_numpy(wanted), 1e-12)
        assert torch.autograd.gradcheck(layer, (patterns,))

    def test_adds_a_mask_of_numbers(self, separation, patterns):
        layer = Hopfield(8, scaling=20.0, separation=separation).eval()
        bias = torch.zeros(5, 5)
        bias[:, 2] = 1e4
        with torch.no_grad():
            close(
                layer.association_weights(patterns, association_mask=bias)[..., 2],
                torch.ones(3, 1, 5),
            )
            only = torch.arange(5) != 2
            masked = layer(patterns, stored_pattern_padding_mask=only.expand(3, 5))
            close(layer(patterns, association_mask=bias), masked)

    def test_goes_with_diffusion_of_the_keys_alone(self, separation, patterns):
        DiffusedHopfield(8, k_neighbors=2, separation=separation)(patterns)
        with pytest.raises(ValueError, match="need the softmax"):
            DiffusedHopfield(8, use_logit_diffusion=True, separation=separation)


class TestDropout:
    def test_only_in_training_and_by_the_generator_of_torch(self, patterns):
        layer = Hopfield(8, dropout=0.5)
        close(layer.eval()(patterns), layer(patterns), 0.0)
        layer.train()
        torch.manual_seed(3)
        first = layer(patterns)
        torch.manual_seed(3)
        close(layer(patterns), first, 0.0)
        assert not torch.equal(layer(patterns), first)

    def test_keeps_the_mean(self):
        torch.manual_seed(0)
        layer = Hopfield(8, dropout=0.3).double()
        patterns = torch.randn(1, 40, 8, dtype=torch.float64)
        with torch.no_grad():
            mean = torch.stack([layer(patterns) for _ in range(2000)]).mean(0)
            exact = layer.eval()(patterns)
        assert (mean - exact).abs().max().item() < 0.2 * exact.std().item()


class TestDiffused:
    def test_the_graph_is_kept_and_never_stale(self, patterns):
        layer = DiffusedHopfield(8, k_neighbors=2).eval()
        with torch.no_grad():
            first = layer(patterns)
            again = layer(patterns)
            assert layer.cache.hits == 1
            close(again, first, 0.0)
            swapped = patterns[:, torch.randperm(5, generator=torch.Generator().manual_seed(0))]
            fresh = DiffusedHopfield(8, k_neighbors=2, cache_graph=False).eval()
            fresh.load_state_dict(layer.state_dict())
            close(layer(swapped), fresh(swapped))

    def test_gradients_pass_through_the_graph(self):
        layer = DiffusedHopfield(4, k_neighbors=2, eta=0.3, dtype=torch.float64)
        with torch.no_grad():
            layer.association_core.in_proj_weight.normal_()
        patterns = torch.randn(1, 5, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (patterns,))

    def test_configuration(self):
        config = hopcore.DiffusionConfig(eta=0.2, steps=4)
        layer = DiffusedHopfield(8, config=config)
        assert layer.config == config
        assert layer.eta == 0.2
        assert layer.get_config()["steps"] == 4
        assert DiffusedHopfield(8, eta=0.2, diffusion_steps=4).config == config
        with pytest.raises(ValueError, match=r"config or its fields.*eta"):
            DiffusedHopfield(8, config=config, eta=0.1)
        with pytest.raises(AttributeError):
            layer.nothing  # noqa: B018


class TestCore:
    def test_is_multihead_attention(self, patterns):
        reference = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        core = HopfieldCore(8, 2, batch_first=True)
        core.load_state_dict(reference.state_dict(), strict=True)
        padding = torch.zeros(3, 5, dtype=torch.bool)
        padding[:, 3:] = True
        masks = {"key_padding_mask": padding}
        output, weights, raw, values = core(
            *3 * [patterns],
            **masks,
            scaling=0.5,
            return_raw_associations=True,
            return_pattern_projections=True,
        )
        close(output, reference(*3 * [patterns], **masks)[0])
        close(weights, reference(*3 * [patterns], **masks)[1])
        assert raw.shape == (3, 2, 5, 5)
        assert values.shape == (3, 2, 5, 4)


def pair(kind, **options):
    torch.manual_seed(0)
    reference = kind(8, 2, 16, **options).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    module = {
        torch.nn.TransformerEncoderLayer: HopfieldEncoderLayer,
        torch.nn.TransformerDecoderLayer: HopfieldDecoderLayer,
    }[kind]
    return reference, module.from_transformer(reference)


OPTIONS = [
    {"batch_first": True},
    {"batch_first": True, "norm_first": True, "activation": "gelu"},
    {"batch_first": True, "bias": False},
    {},
]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # torch says when it does not apply
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # and that it will change
class TestTransformers:
    @pytest.mark.parametrize("options", OPTIONS)
    @pytest.mark.parametrize("train", [False, True])
    def test_an_encoder_is_that_of_torch(self, options, train):
        reference, layer = pair(torch.nn.TransformerEncoderLayer, dropout=0.0, **options)
        theirs = torch.nn.TransformerEncoder(reference, 2).train(train)
        ours = torch.nn.TransformerEncoder(layer, 2).train(train)
        batch_first = options.get("batch_first", False)
        source = torch.randn(3, 5, 8) if batch_first else torch.randn(5, 3, 8)
        padding = torch.zeros(3, 5, dtype=torch.bool)
        padding[1, 3:] = True
        causal = torch.nn.Transformer.generate_square_subsequent_mask(5)
        # Where all of a sequence is padded there is nothing to compare: theirs is nan.
        for arguments in (
            {},
            {"src_key_padding_mask": padding},
            {"mask": causal, "is_causal": True},
            {"mask": causal.isinf(), "src_key_padding_mask": padding},
        ):
            close(ours(source, **arguments), theirs(source, **arguments))

    def test_nested_tensors_are_taken_in_evaluation(self):
        reference, layer = pair(torch.nn.TransformerEncoderLayer, batch_first=True)
        ours = torch.nn.TransformerEncoder(layer, 2).eval()
        theirs = torch.nn.TransformerEncoder(reference, 2).eval()
        assert ours.use_nested_tensor
        source, padding = torch.randn(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool)
        padding[0, 2:] = True
        seen = []
        ours.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        with torch.no_grad():
            found = ours(source, src_key_padding_mask=padding)
            close(found, theirs(source, src_key_padding_mask=padding))
        assert seen[0].is_nested

    @pytest.mark.parametrize("options", OPTIONS)
    def test_a_decoder_is_that_of_torch(self, options):
        reference, layer = pair(torch.nn.TransformerDecoderLayer, **options)
        theirs = torch.nn.TransformerDecoder(reference, 2).eval()
        ours = torch.nn.TransformerDecoder(layer, 2).eval()
        batch_first = options.get("batch_first", False)
        shapes = ((3, 5, 8), (3, 7, 8)) if batch_first else ((5, 3, 8), (7, 3, 8))
        target, memory = map(torch.randn, shapes)
        causal = torch.nn.Transformer.generate_square_subsequent_mask(5)
        padding = torch.zeros(3, 7, dtype=torch.bool)
        padding[1, 3:] = True
        for arguments in (
            {},
            {"tgt_mask": causal, "tgt_is_causal": True},
            {"memory_key_padding_mask": padding},
        ):
            close(ours(target, memory, **arguments), theirs(target, memory, **arguments))

    def test_all_padded_is_not_nan(self):
        layer = HopfieldEncoderLayer(8, 2, 16, batch_first=True)
        source = torch.randn(2, 4, 8, requires_grad=True)
        padding = torch.tensor([4 * [False], 4 * [True]])
        found = layer(source, src_key_padding_mask=padding)
        found.sum().backward()
        assert torch.isfinite(found).all()
        assert torch.isfinite(source.grad).all()

    def test_a_stack_of_hopfield_layers(self):
        layer = HopfieldEncoderLayer(Hopfield(8, num_heads=2, update_steps_max=2), 16)
        stack = torch.nn.TransformerEncoder(layer, 2)
        assert stack(torch.randn(3, 5, 8)).shape == (3, 5, 8)

    def test_refused(self):
        with pytest.raises(TypeError, match="d_model and nhead"):
            HopfieldEncoderLayer(8)
        with pytest.raises(TypeError, match="name of one"):
            HopfieldEncoderLayer(8, 2, activation=torch.relu)
        with pytest.raises(TypeError, match="no argument num_heads: did you mean nhead"):
            HopfieldEncoderLayer(Hopfield(8), num_heads=2)
        with pytest.raises(TypeError, match=r"has its settings already, got nhead$"):
            HopfieldEncoderLayer(Hopfield(8), nhead=2)
        with pytest.raises(TypeError, match=r"has its settings already, got update_steps_max$"):
            HopfieldEncoderLayer(Hopfield(8), update_steps_max=2)
        with pytest.raises(TypeError, match="dropout given twice"):
            HopfieldEncoderLayer(Hopfield(8), 16, 0.1, dropout=0.1)
        with pytest.raises(ValueError, match="depth of its input"):
            HopfieldEncoderLayer(Hopfield(8, output_size=4))


class TestOddInputs:
    def test_empty_batches_and_queries(self):
        layer = Hopfield(8, num_heads=2)
        assert layer(torch.ones(0, 5, 8)).shape == (0, 5, 8)
        stored = torch.ones(3, 5, 8)
        assert layer((stored, torch.ones(3, 0, 8), stored)).shape == (3, 0, 8)
        assert HopfieldPooling(8, quantity=2)(torch.ones(0, 5, 8)).shape == (0, 16)

    def test_one_memory_for_a_batch_of_queries(self, patterns):
        layer = Hopfield(8, num_heads=2)
        memory = patterns[0]
        shared = layer((memory, patterns, memory))
        close(shared, layer((memory.expand(3, 5, 8), patterns, memory.expand(3, 5, 8))))
        close(layer(memory), layer(memory[None])[0])

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            (
                (torch.ones(3, 5, 4),),
                ValueError,
                r"state_pattern must be \(\.\.\., 8\).*\(3, 5, 4\)",
            ),
            ((torch.ones(8),), ValueError, r"\(\.\.\., L, d\), got \(8,\)"),
            ((np.ones((3, 5, 8)),), TypeError, "one tensor, or three"),
            ((torch.ones(3, 5, 8).long(),), TypeError, "real floating.*int64"),
            ((torch.ones(3, 5, 8), torch.ones(3, 6)), ValueError, r"\(3, 5\), got \(3, 6\)"),
            ((torch.ones(3, 5, 8), None, torch.ones(3, 5, 5)), ValueError, r"got \(3, 5, 5\)"),
            ((torch.ones(3, 5, 8), None, torch.ones(5, 5) * torch.nan), ValueError, "got nan"),
            ((torch.ones(3, 5, 8), None, torch.ones(5, 5) * 1j), TypeError, "real numbers"),
        ],
    )
    def test_refused_in_a_line(self, arguments, error, words):
        with pytest.raises(error, match=words) as refusal:
            Hopfield(8, num_heads=2)(*arguments)
        assert "\n" not in str(refusal.value)


def test_a_learned_mask_of_numbers_may_start_at_zero() -> None:
    torch.manual_seed(0)
    layer = Hopfield(input_size=8, num_heads=2, dtype=torch.float64)
    patterns = torch.randn(2, 5, 8, dtype=torch.float64)

    def loss(bias: torch.Tensor) -> torch.Tensor:
        return 1e3 * layer(patterns, association_mask=bias).square().sum()

    start = torch.zeros(5, 5, dtype=torch.float64, requires_grad=True)
    loss(start).backward()
    assert start.grad is not None
    change = torch.randn(5, 5, dtype=torch.float64)
    with torch.no_grad():
        slope = (loss(1e-5 * change) - loss(-1e-5 * change)) / 2e-5
    torch.testing.assert_close((start.grad * change).sum(), slope, rtol=1e-6, atol=1e-8)
    assert abs(slope) > 1e-3
