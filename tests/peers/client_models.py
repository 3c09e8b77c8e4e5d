"""Small models of Hopular, CLOOB, DeepRC and MHNreact, trained on data drawn at random or iris.

Hopular and CLOOB import hopfield-layers. DeepRC and MHNreact contain an association of their own;
the functions here compute it with hopcore instead.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from client_shims import (
    Trained,
    importable,
    in_double,
    library,
    losses_of_steps,
    module,
    weights_of,
)
from sklearn.datasets import load_iris
from torch import nn

import hopcore
from hopcore_torch import HopfieldPooling

STEPS = 50


def nothing(*_: Any, **__: Any) -> None:
    """In the place of a function that records or draws."""


def trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[int], Any]
) -> Trained:
    """Train for ``STEPS`` steps; ``loss`` computes that of a step."""
    with losses_of_steps() as losses:
        for step in range(STEPS):
            optimizer.zero_grad()
            loss(step).backward()
            optimizer.step()
    return Trained(losses, weights_of(model))


# Hopular.


def iris() -> tuple[torch.Tensor, ...]:
    """Features and target of iris, masked and not, as Hopular's data module hands them over."""
    features, target = load_iris(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    columns = [*features.T[:, :, None], np.eye(3)[target]]
    noise = np.random.default_rng(0).random((len(target), len(columns))) < 0.2
    noise[:, -1] = True
    flags = noise[:, :, None].astype(float)
    pairs = zip(columns, flags.swapaxes(0, 1), strict=True)
    masked = [np.concatenate([x * (1 - f), f], 1) for x, f in pairs]
    whole = [np.concatenate([x, 0 * x[:, :1]], 1) for x in columns]
    arrays = np.concatenate(masked, 1), noise, np.concatenate(columns, 1), np.zeros_like(noise)
    return (
        *map(torch.as_tensor, arrays),
        torch.arange(len(target)),
        torch.as_tensor(np.concatenate(whole, 1)),
    )


def hopular(layers: Path, clone: Path, *, hopcore: bool, without: Collection[str] = ()) -> Trained:
    """Two blocks of Hopular with its own training step and optimizer, on iris."""
    stand_ins = {
        "fairscale": module("fairscale"),
        "fairscale.nn": module("fairscale.nn", checkpoint_wrapper=lambda x: x),
        "hopular.auxiliary.data": module("hopular.auxiliary.data", DataModule=object),
    }
    *batch, memory = iris()
    with (
        in_double(),
        library(layers, hopcore=hopcore, without=without),
        importable(clone, "hopular", stand_ins),
    ):
        blocks = importlib.import_module("hopular.blocks")
        torch.manual_seed(0)
        model = blocks.Hopular(
            [1, 1, 1, 1, 3], [4], [], [4], memory, None, feature_size=8, hidden_size=4,
            num_heads=2, num_blocks=2,
        )  # fmt: skip
        model.reset_parameters()
        model.annealing_factor = 0.5
        model.log_dict = nothing
        model.lr_schedulers = lambda: SimpleNamespace(get_lr=lambda: [0.0])
        optimizer = blocks.Lookahead(blocks.Lamb(model.parameters(), lr=1e-2))

        def loss(step: int) -> torch.Tensor:
            rows = torch.randperm(len(memory))[:32]
            return model.training_step(tuple(x[rows] for x in batch), step)["loss"]

        return trained(model, optimizer, loss)


# CLOOB.


class Towers(nn.Module):
    """Two linear towers and an inverse temperature, as CLOOB's model returns them."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(16, depth), nn.Linear(12, depth)
        self.logit_inv_tau = nn.Parameter(torch.tensor(30.0).log())

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        towers = self.image(images), self.text(texts)
        return *(nn.functional.normalize(x, dim=1) for x in towers), self.logit_inv_tau.exp()


class Pairs(list):
    """Batches of images and texts, with what CLOOB asks of a loader."""

    @property
    def num_batches(self) -> int:
        return len(self)

    @property
    def num_samples(self) -> int:
        return sum(len(images) for images, _ in self)


def cloob(layers: Path, clone: Path, *, hopcore: bool, without: Collection[str] = ()) -> Trained:
    """CLOOB's ``train`` of one epoch, with two linear towers."""
    stand_ins = {
        "wandb": module("wandb"),
        "training.zero_shot": module("training.zero_shot", zero_shot_eval=nothing),
    }
    with (
        in_double(),
        library(layers, hopcore=hopcore, without=without),
        importable(clone / "src", "training", stand_ins),
    ):
        train = importlib.import_module("training.train").train
        torch.manual_seed(0)
        model = Towers(1024)  # the depth of RN50, from which the training takes that of its layer
        pairs = Pairs()
        for _ in range(STEPS):
            images = torch.randn(24, 16)
            pairs.append((images, images[:, :12] + 0.1 * torch.randn(24, 12)))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        arguments = SimpleNamespace(
            distributed=False, dp=False, gpu=None, precision="fp32", method="cloob", model="RN50",
            scale_hopfield=14.3, wandb=False, world_size=1,
        )  # fmt: skip
        data = {"train": SimpleNamespace(dataloader=pairs, sampler=None)}
        with losses_of_steps() as losses:
            train(model, data, 0, optimizer, None, SimpleNamespace(step=nothing), arguments)
        return Trained(losses, weights_of(model))


# DeepRC.


class Pooled(nn.Module):
    """DeepRC, whose bags are pooled by a ``HopfieldPooling``.

    The last map of its attention network, ``a = W u + b``, asks the features u with one query, the
    row W. Its bias has no effect, because the softmax of a bag is the same for every b.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.sequence_embedding, self.output_nn = model.sequence_embedding, model.output_nn
        *features, last = model.attention_nn.attention_nn
        self.features = nn.Sequential(*features)
        static = "stored_pattern", "state_pattern", "pattern_projection"
        self.pooling = HopfieldPooling(
            last.in_features, pattern_projection_size=model.output_nn.output_nn[0].in_features,
            scaling=1.0, disable_out_projection=True,
            **{f"normalize_{name}": False for name in static},
            **{f"{name}_as_static": True for name in static},
        )  # fmt: skip
        self.pooling.load_state_dict({"pooling_weights": last.weight.detach()[None]})
        last.weight.data = self.pooling.pooling_weights.data[0]  # DeepRC drops sequences by it

    def forward(
        self, inputs: torch.Tensor, lengths: torch.Tensor, sizes: torch.Tensor
    ) -> torch.Tensor:
        embedded = self.sequence_embedding(inputs, sequence_lengths=lengths)
        bags = [embedded.split(sizes.tolist()), self.features(embedded).split(sizes.tolist())]
        values, keys = (nn.utils.rnn.pad_sequence(list(x), batch_first=True) for x in bags)
        padding = torch.arange(keys.shape[1]) >= sizes[:, None]
        return self.output_nn(self.pooling((keys, values), stored_pattern_padding_mask=padding))


def deeprc(clone: Path, *, hopcore: bool) -> Trained:
    """DeepRC on repertoires of random sequences, some of which contain a motif."""
    source = (clone / "deeprc" / "architectures.py").read_text(encoding="utf-8")
    source = source.replace("torch.float32", "torch.float64").replace("dtype=np.int)", "dtype=int)")
    networks = module("deeprc_architectures")
    exec(compile(source, "deeprc/architectures.py", "exec"), vars(networks))
    with in_double():
        torch.manual_seed(0)
        model = networks.DeepRC(
            max_seq_len=12,
            sequence_embedding_network=networks.SequenceEmbeddingCNN(23, 5, 16),
            attention_network=networks.AttentionNetwork(16, 2, 8),
            output_network=networks.OutputNetwork(16, 1, 1),
            sequence_embedding_as_16_bit=False, sequence_reduction_fraction=0.5,
            device=torch.device("cpu"),
        )  # fmt: skip
        model.embedding_dtype = torch.float64
        model.position_features = model.position_features.double()
        with torch.random.fork_rng():
            used = Pooled(model) if hopcore else model
        optimizer = torch.optim.Adam(used.parameters(), lr=1e-2, eps=1e-4)

        def loss(_: int) -> torch.Tensor:
            sizes = torch.randint(20, 40, (8,)).tolist()
            sequences = [torch.randint(20, (size, 12)) for size in sizes]
            for sequence in sequences[::2]:
                sequence[:5, 3:6] = torch.tensor([3, 1, 4])
            targets = [torch.tensor([1.0 - index % 2]) for index in range(8)]
            lengths = [torch.full((size,), 12) for size in sizes]
            counts = [torch.ones(size) for size in sizes]
            target, *bags = model.reduce_and_stack_minibatch(targets, sequences, lengths, counts)
            return nn.functional.binary_cross_entropy_with_logits(used(*bags), target)

        found = trained(used, optimizer, loss)
    return found._replace(weights=as_pooled(found.weights))


def as_pooled(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """DeepRC's weights under the names that they have in ``Pooled``, without that bias."""
    names = {x: x.replace("attention_nn.attention_nn.", "features.") for x in weights}
    found = {names[x]: y for x, y in weights.items() if names[x] != "features.4.bias"}
    if "features.4.weight" in found:
        found["pooling.pooling_weights"] = found.pop("features.4.weight")[None]
    return found


# MHNreact.


def with_hopcore(model: Any, molecules: torch.Tensor, templates: Any = None) -> torch.Tensor:
    """What ``MHN.forward`` returns, up to a number for each molecule, which its loss ignores."""
    stored, state = model.template_encoder(model.templates), model.mol_encoder(molecules)
    scores = hopcore.association_weights(state, stored, model.beta).log()
    model.xinew = hopcore.association(state, stored, beta=model.beta)
    if model.W_v is None:
        return scores
    deeper = model.layer.forward(molecules + model.W_v(model.xinew))
    return (1 - model.layer2weight) * scores + model.layer2weight * deeper


def mhnreact(clone: Path, *, hopcore: bool) -> Trained:
    """Two layers of MHNreact on random fingerprints of molecules and templates."""
    stand_ins = {
        "wandb": module("wandb"),
        "mhnreact.utils": module("mhnreact.utils", top_k_accuracy=nothing),
        "mhnreact.plotutils": module(
            "mhnreact.plotutils", plot_loss=nothing, plot_topk=nothing, plot_nte=nothing
        ),
        "mhnreact.molutils": module("mhnreact.molutils", convert_smiles_to_fp=nothing),
    }
    with in_double(), importable(clone, "mhnreact", stand_ins):
        network = importlib.import_module("mhnreact.model")
        torch.manual_seed(0)
        config = network.ModelConfig(
            num_templates=40, fp_size=64, hopf_input_size=64, hopf_asso_dim=32, hopf_n_layers=2,
            mol_encoder_layers=1, temp_encoder_layers=1, encoder_af="ReLU", norm_asso=True,
            device="cpu", lr=1e-2,
        )  # fmt: skip
        model = network.MHN(config, layer2weight=0.3)
        model.templates = (torch.rand(40, 64) < 0.2).double()
        model.set_templates_recursively()
        if hopcore:
            for one in (model, model.layer):
                one.forward = partial(with_hopcore, one)

        def loss(_: int) -> torch.Tensor:
            target = torch.randint(40, (32,))
            noise = (torch.rand(32, 64) < 0.1).double()
            return model.compute_losses(model(model.templates[target] + noise), target)

        return trained(model, model.optimizer, loss)
