"""Layers in files: read by every framework, whole or refused, never half-written."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import hopcore
import hopcore_jax
import hopcore_torch
from hopcore.layers import layer_parameters

INNER = hopcore.HopfieldSettings(input_size=6, num_heads=2, scaling=(0.5, 1.5), dropout=0.25)
SETTINGS = {
    "hopfield": INNER,
    "static": hopcore.HopfieldSettings(
        stored_pattern_as_static=True,
        state_pattern_as_static=True,
        pattern_projection_as_static=True,
        disable_out_projection=True,
        normalize_stored_pattern=False,
        normalize_state_pattern=False,
        normalize_pattern_projection=False,
    ),
    "learnable": hopcore.HopfieldSettings(input_size=6, learnable_scaling=True),
    "diffused": hopcore.HopfieldSettings(
        input_size=6, diffusion=hopcore.DiffusionConfig(k_neighbors=2)
    ),
    "pooling": hopcore.layers.PoolingSettings(hopfield=INNER, quantity=3),
    "lookup": hopcore.layers.LookupSettings(
        hopfield=INNER, quantity=3, lookup_weights_as_separated=True
    ),
    "encoder": hopcore.layers.EncoderSettings(hopfield=INNER, dim_feedforward=8),
    "decoder": hopcore.layers.DecoderSettings(hopfield=INNER, dim_feedforward=8),
}
FUNCTIONS = {
    hopcore.HopfieldSettings: hopcore.hopfield,
    hopcore.layers.PoolingSettings: hopcore.layers.hopfield_pooling,
    hopcore.layers.LookupSettings: hopcore.layers.hopfield_lookup,
    hopcore.layers.EncoderSettings: hopcore.layers.encoder_layer,
    hopcore.layers.DecoderSettings: hopcore.layers.decoder_layer,
}


def spread_parameters(settings, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(0.5, 1.5, found.shape).astype(np.float32)
        for name, found in layer_parameters(settings).items()
    }


@pytest.fixture(params=SETTINGS)
def saved(request, tmp_path):
    settings = SETTINGS[request.param]
    parameters = spread_parameters(settings)
    path = tmp_path / "layer.safetensors"
    hopcore.save_layer(path, settings, parameters)
    return path, settings, parameters


def test_one_file_for_every_framework(saved):
    path, settings, parameters = saved
    x = np.random.default_rng(1).standard_normal((2, 5, 6)).astype(np.float32)
    function = FUNCTIONS[type(settings)]
    more = (x,) if function is hopcore.layers.decoder_layer else ()
    wanted = function(settings, parameters, x, *more)
    loaded = hopcore.load_layer(path)
    assert loaded.settings == settings
    np.testing.assert_array_equal(function(*loaded, x, *more), wanted)
    # In float64, where frameworks differ by no more than the order of their sums.
    double = {name: value.astype(np.float64) for name, value in parameters.items()}
    inputs = [array.astype(np.float64) for array in (x, *more)]
    wanted = function(settings, double, *inputs)
    module = hopcore_torch.load_layer(path).eval().double()
    found = module(*map(torch.from_numpy, inputs)).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
    inference = {} if settings is SETTINGS["static"] else {"inference": True}
    with jax.enable_x64(True):
        module = jax.tree.map(in_float64, hopcore_jax.load_layer(path))
        found = module(*map(jnp.asarray, inputs), **inference)
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-11, atol=1e-12)


def in_float64(leaf):
    """Return the leaf of a module in float64 if it is an array."""
    return leaf.astype("float64") if isinstance(leaf, jax.Array) else leaf


def test_modules_write_what_modules_read(saved, tmp_path):
    path, settings, parameters = saved
    second, third = tmp_path / "second.safetensors", tmp_path / "third.safetensors"
    hopcore_torch.save_layer(second, hopcore_torch.load_layer(path))
    hopcore_jax.save_layer(third, hopcore_jax.load_layer(second))
    loaded = hopcore.load_layer(third)
    assert loaded.settings == settings
    for name, value in parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], value)


def test_trained_in_torch_and_used_in_jax(tmp_path):
    torch.manual_seed(0)
    layer = hopcore_torch.HopfieldPooling(6, num_heads=2, quantity=2)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
    x = torch.randn(8, 5, 6)
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    hopcore_torch.save_layer(tmp_path / "layer", layer)
    found = hopcore_jax.load_layer(tmp_path / "layer")(jnp.asarray(x.numpy()))
    wanted = layer(x).detach().numpy()
    np.testing.assert_allclose(np.asarray(found), wanted, atol=1e-6)


@pytest.mark.parametrize("beta", [2.6, 5, torch.tensor([0.25, 3.0])])
@pytest.mark.parametrize(
    "make",
    [
        lambda given: hopcore_torch.Hopfield(6, num_heads=2, scaling=given),
        lambda given: hopcore_torch.HopfieldPooling(6, num_heads=2, scaling=given),
        lambda given: hopcore_torch.HopfieldEncoderLayer(
            hopcore_torch.Hopfield(6, num_heads=2, scaling=given), 8
        ),
    ],
)
def test_a_temperature_that_was_changed_is_kept(make, beta, tmp_path):
    layer = make(beta * 1.04).eval()
    within = next(x for x in layer.modules() if isinstance(x, hopcore_torch.Hopfield))
    within.scaling = beta
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    hopcore_torch.save_layer(tmp_path / "layer", layer)
    x = torch.randn(3, 5, 6)
    again = hopcore_torch.load_layer(tmp_path / "layer").eval()
    torch.testing.assert_close(again(x), layer(x))
    kept = next(x for x in again.modules() if isinstance(x, hopcore_torch.Hopfield)).scaling
    torch.testing.assert_close(torch.as_tensor(kept), torch.as_tensor(beta), check_dtype=False)
    within.scaling = -beta
    with pytest.raises(ValueError, match="beta must be positive"):
        layer(x)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(dtype, tmp_path):
    layer = hopcore_torch.Hopfield(6).to(getattr(torch, dtype))
    hopcore_torch.save_layer(tmp_path / "layer", layer)
    again = hopcore_torch.load_layer(tmp_path / "layer", dtype=getattr(torch, dtype))
    for name, value in layer.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    kept = "float32" if dtype == "bfloat16" else dtype
    assert str(hopcore.load_layer(tmp_path / "layer").parameters.popitem()[1].dtype) == kept


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
def test_parameters_are_real_numbers(dtype, tmp_path):
    settings = hopcore.HopfieldSettings(input_size=4)
    good = spread_parameters(settings)
    cut = {name: value.astype(dtype) for name, value in good.items()}
    with pytest.raises(TypeError, match=f"must be real floating, got {dtype}"):
        hopcore.save_layer(tmp_path / "layer", settings, cut)
    assert not list(tmp_path.iterdir())
    hopcore.save_layer(tmp_path / "layer", settings, good)
    for backend, known in {"numpy": "float64 for numpy", "torch": "bfloat16 for torch"}.items():
        with pytest.raises(ValueError, match=rf"{known}, got '{dtype}'"):
            hopcore.load_layer(tmp_path / "layer", backend=backend, dtype=dtype)
    for package, kind in ((hopcore_jax, dtype), (hopcore_torch, getattr(torch, dtype))):
        with pytest.raises(ValueError, match=f"dtype must be one of .*, got '{dtype}'"):
            package.load_layer(tmp_path / "layer", dtype=kind)
    with pytest.raises(ValueError, match="float64 is off in JAX"):
        hopcore_jax.load_layer(tmp_path / "layer", dtype="float64")
    assert (
        hopcore_jax.load_layer(tmp_path / "layer", dtype=jnp.bfloat16)
        .parameters["association_core.in_proj_weight"]
        .dtype
        == "bfloat16"
    )


def test_a_file_of_integers_is_refused(tmp_path):
    from hopcore.files._safetensors import read_tensors, write_tensors

    settings = hopcore.HopfieldSettings(input_size=4)
    hopcore.save_layer(tmp_path / "layer", settings, spread_parameters(settings))
    header, arrays = read_tensors(tmp_path / "layer")
    del header["digest"]
    write_tensors(tmp_path / "layer", header, {k: x.astype(np.int32) for k, x in arrays.items()})
    with pytest.raises(ValueError, match="must be real floating, got int32"):
        hopcore.load_layer(tmp_path / "layer")


def test_bfloat16_of_jax(tmp_path):
    settings = hopcore.HopfieldSettings(input_size=6)
    given = hopcore.initial_parameters(settings, backend="jax", dtype="bfloat16")
    hopcore.save_layer(tmp_path / "layer", settings, given)
    kept = hopcore.load_layer(tmp_path / "layer").parameters
    assert {value.dtype for value in kept.values()} == {np.dtype("float32")}
    again = hopcore.load_layer(tmp_path / "layer", backend="jax", dtype="bfloat16").parameters
    for name, value in given.items():
        assert again[name].dtype == jnp.bfloat16
        np.testing.assert_array_equal(again[name], value)


def test_the_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "layer.safetensors"
    settings = hopcore.HopfieldSettings(input_size=6)
    hopcore.save_layer(path, settings, spread_parameters(settings))
    before = path.read_bytes()
    code = (
        "import hopcore, sys\n"
        "settings = hopcore.HopfieldSettings(input_size=256)\n"
        "parameters = hopcore.initial_parameters(settings)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        f"    hopcore.save_layer({str(path)!r}, settings, parameters)\n"
    )
    sizes = set()
    for wait in (0.0, 0.002, 0.005, 0.01, 0.02):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        sizes.add(hopcore.load_layer(path).settings.input_size)
    assert sizes <= {6, 256}
    assert 256 in sizes or path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "layer.safetensors"
    settings = hopcore.HopfieldSettings(input_size=6)
    hopcore.save_layer(path, settings, spread_parameters(settings))
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        hopcore.save_layer(path, settings, spread_parameters(settings, 1))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


class TestDamaged:
    @pytest.fixture
    def content(self, tmp_path):
        settings = hopcore.HopfieldSettings(input_size=4)
        hopcore.save_layer(tmp_path / "good", settings, spread_parameters(settings))
        return (tmp_path / "good").read_bytes()

    def refused(self, tmp_path, content):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole") as refusal:
            hopcore.load_layer(tmp_path / "bad")
        assert "\n" not in str(refusal.value)

    def test_every_truncation(self, tmp_path, content):
        for length in {0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1}:
            self.refused(tmp_path, content[:length])

    def test_every_kind_of_changed_byte(self, tmp_path, content):
        rng = np.random.default_rng(0)
        for place in {*range(24), *rng.integers(0, len(content), 100).tolist()}:
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            self.refused(tmp_path, bytes(changed))

    def test_more_at_the_end(self, tmp_path, content):
        self.refused(tmp_path, content + b"more")

    @pytest.mark.parametrize(
        "change",
        [
            {"format": "pt"},
            {"version": "99"},
            {"layer": "unheard"},
            {"settings": "[" * 100_000},
            {"settings": "[]"},
            {"settings": '{"input_size": -1}'},
            {"settings": '{"no_such_setting": 1}'},
            {"settings": '{"input_size": 8}'},
            {"digest": "0" * 64},
        ],
    )
    def test_headers_with_a_right_digest_or_not(self, tmp_path, content, change):
        from hopcore.files._safetensors import digest

        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        arrays = hopcore.load_layer(tmp_path / "good").parameters
        meta = {**header["__metadata__"], **change}
        if "digest" not in change:
            meta["digest"] = digest(meta, arrays)
        header["__metadata__"] = meta
        packed = json.dumps(header).encode()
        packed += b" " * (-len(packed) % 8)
        self.refused(tmp_path, struct.pack("<Q", len(packed)) + packed + content[8 + size :])

    def test_a_pickle_is_not_opened(self, tmp_path):
        torch.save({"a": torch.ones(2)}, tmp_path / "pickled")
        self.refused(tmp_path, (tmp_path / "pickled").read_bytes())

    def test_other_safetensors(self, tmp_path):
        from safetensors.numpy import save

        self.refused(tmp_path, save({"a": np.ones(2)}))


def test_refused(tmp_path, monkeypatch):
    settings = hopcore.HopfieldSettings(input_size=4)
    good = spread_parameters(settings)
    with pytest.raises(FileNotFoundError):
        hopcore.load_layer(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="folder"):
        hopcore.save_layer(tmp_path / "no" / "where", settings, good)
    some = {k: v for k, v in good.items() if not k.endswith("in_proj_bias")}
    with pytest.raises(ValueError, match=r"lack association_core\.in_proj_bias"):
        hopcore.save_layer(tmp_path / "x", settings, some)
    with pytest.raises(ValueError, match="hold unheard"):
        hopcore.save_layer(tmp_path / "x", settings, {**good, "unheard": np.ones(1)})
    name = "association_core.in_proj_weight"
    with pytest.raises(ValueError, match=r"must have shape \(12, 4\), got \(4, 12\)"):
        hopcore.save_layer(tmp_path / "x", settings, {**good, name: good[name].T})
    with pytest.raises(TypeError, match="settings must be those of a layer"):
        hopcore.save_layer(tmp_path / "x", {"input_size": 4}, good)
    with pytest.raises(TypeError, match="one of hopcore_torch, got Linear"):
        hopcore_torch.save_layer(tmp_path / "x", torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="one of hopcore_jax, got int"):
        hopcore_jax.save_layer(tmp_path / "x", 3)
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hopcore\[checkpoint\]'"):
        hopcore.save_layer(tmp_path / "x", settings, good)
