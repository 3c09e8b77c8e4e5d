"""Tensors that are sparse, nested, quantised, on meta or negated: refused by name, or right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hopcore

torch = pytest.importorskip("torch")
modules = pytest.importorskip("hopcore_torch")

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
S = X[:3] + 0.1
GRAPH = hopcore.knn_graph(X, 1)
CONFIG = hopcore.DiffusionConfig(k_neighbors=1)
LAYERS: dict[str, Any] = {
    "Hopfield": modules.Hopfield(4),
    "HopfieldPooling": modules.HopfieldPooling(4),
    "HopfieldLayer": modules.HopfieldLayer(4, quantity=3),
    "DiffusedHopfield": modules.DiffusedHopfield(4),
    "HNL": modules.HNL(input_size=4, hidden_size=4),
    "VectorQuantizer": modules.VectorQuantizer(input_size=4, quantity=3),
}

CALLS: dict[str, Callable[[Any], Any]] = {
    "state": lambda v: hopcore.association(v, X, beta=1.0),
    "stored": lambda v: hopcore.association(S, v, beta=1.0),
    "projection": lambda v: hopcore.association(S, X, v, beta=1.0),
    "sparsemax": lambda v: hopcore.association(S, v, beta=1.0, separation="sparsemax"),
    "energy": lambda v: hopcore.energy(S, v, 1.0),
    "retrieve": lambda v: hopcore.retrieve(S, v, 1.0).state,
    "weights": lambda v: hopcore.association_weights(S, v, 1.0),
    "separate": hopcore.separate,
    "lse": lambda v: hopcore.lse(1.0, v),
    "merge": lambda v: hopcore.merge_associations([(v, v), (v, v)]),
    "knn_graph": lambda v: hopcore.knn_graph(v, 1).weights,
    "similarity": hopcore.build_similarity_matrix,
    "from_dense": hopcore.Graph.from_dense,
    "diffusion": lambda v: hopcore.apply_diffusion(v, GRAPH, 0.1),
    "spectral": lambda v: hopcore.apply_diffusion(v, GRAPH, 0.1, "spectral"),
    "dirichlet": lambda v: hopcore.dirichlet_energy(v, GRAPH),
    "diffused": lambda v: hopcore.diffused_retrieve(S, v, 1.0, config=CONFIG).state,
    "minima": lambda v: hopcore.phase.minima(v, 1.0).state,
    "suggest_beta": lambda v: hopcore.suggest_beta(v).beta,
    **{name: layer.eval() for name, layer in LAYERS.items()},
}

KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse": (X.to_sparse, "must be a dense tensor, got a sparse_coo one; use .to_dense()"),
    "csr": (X.to_sparse_csr, "must be a dense tensor, got a sparse_csr one; use .to_dense()"),
    "mkldnn": (X.to_mkldnn, "must be a dense tensor, got a mkldnn one; use .to_dense()"),
    "nested": (lambda: torch.nested.nested_tensor([X, X]), "a nested"),
    "jagged": (
        lambda: torch.nested.nested_tensor([X, X[:3]], layout=torch.jagged),
        "a nested",
    ),
    "complex": (lambda: torch.view_as_complex(torch.ones(5, 4, 2)).conj(), "real floating"),
}


@pytest.mark.filterwarnings("ignore:.*[Ss]parse.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*nested tensors.*:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_kernels_cannot_read_is_refused_by_name(kind: str) -> None:
    make, message = KINDS[kind]
    tensor = make()
    for name, call in CALLS.items():
        with pytest.raises(TypeError) as caught:
            call(tensor)
        assert message in str(caught.value), name
        assert "\n" not in str(caught.value), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantised_tensors_are_refused_by_their_dtype() -> None:
    quantised = torch.quantize_per_tensor(X, 0.1, 0, torch.quint8)
    for name in ("stored", "energy", "separate", "knn_graph", "diffusion", "Hopfield"):
        with pytest.raises(TypeError, match=r"must be real floating .*, got torch\.quint8"):
            CALLS[name](quantised)


@pytest.mark.filterwarnings("ignore::hopcore.phase.HypothesisWarning")
def test_a_negative_bit_changes_no_value() -> None:
    negated = torch.view_as_complex(torch.stack([X, -X], -1)).conj().imag
    assert negated.is_neg()
    for name, call in CALLS.items():
        if name not in ("from_dense", "merge", "VectorQuantizer"):
            torch.testing.assert_close(call(negated), call(X), msg=name)
    retrieved = hopcore.retrieve(negated, X, 1.0, max_steps=0).state
    assert not retrieved.is_neg()


def test_values_of_meta_tensors_are_asked_for_in_one_line() -> None:
    meta = X.to("meta")
    for name in ("minima", "suggest_beta"):
        with pytest.raises(TypeError, match=r"values that can be read, .* the device meta hide"):
            CALLS[name](meta)
    with pytest.raises(ValueError, match="must be on one device, got cpu and meta"):
        CALLS["stored"](meta)
    # Shapes are found without values.
    assert hopcore.association(meta, meta, beta=1.0).shape == (5, 4)
    assert modules.Hopfield(4, device="meta")(meta[None]).shape == (1, 5, 4)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_integers_in_masks_are_never_added(dtype: Any) -> None:
    mask = torch.zeros(3, 5, dtype=dtype)
    mask[0, 1] = 1
    with pytest.raises(TypeError, match=r"mask must be boolean .* use mask != 0"):
        hopcore.association(S, X, beta=1.0, mask=mask)
    layer = LAYERS["Hopfield"]
    inputs = X[None], S[None], X[None]
    found = layer(inputs, association_mask=mask)
    torch.testing.assert_close(found, layer(inputs, association_mask=mask.bool()))
    mask[0, 1] = 7
    for name, given in (("association_mask", mask), ("stored_pattern_padding_mask", mask[:1])):
        with pytest.raises(ValueError, match=f"{name} of integers must hold 0, or 1"):
            layer(inputs, **{name: given})


@pytest.mark.parametrize(
    "wrong", [None, "patterns", b"x", np.ones((2, 3, 8)), object()], ids=lambda x: type(x).__name__
)
def test_an_encoder_layer_refuses_what_is_no_tensor(wrong: Any) -> None:
    layer = modules.HopfieldEncoderLayer(modules.Hopfield(input_size=8))
    with pytest.raises((TypeError, ValueError)) as caught:
        layer(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("padding", [b"x", "mask", 3], ids=repr)
def test_a_padding_mask_of_a_lookup_is_an_array(padding: Any) -> None:
    inner = hopcore.layers.LookupSettings(hopfield=hopcore.HopfieldSettings(input_size=8))
    settings = hopcore.layers.EncoderSettings(hopfield=inner)
    parameters = hopcore.initial_parameters(settings, dtype="float64")
    with pytest.raises((TypeError, ValueError), match="src_key_padding_mask"):
        hopcore.layers.encoder_layer(
            settings, parameters, np.ones((2, 3, 8)), src_key_padding_mask=padding
        )


def test_an_encoder_layer_refuses_complex_sequences() -> None:
    settings = hopcore.layers.EncoderSettings(
        hopfield=hopcore.layers.LookupSettings(hopfield=hopcore.HopfieldSettings(input_size=8)),
        norm_first=True,
    )
    parameters = hopcore.initial_parameters(settings, dtype="float64")
    with pytest.raises(TypeError, match="complex128"):
        hopcore.layers.encoder_layer(settings, parameters, np.ones((2, 3, 8), complex))
