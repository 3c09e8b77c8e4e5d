"""The conformance suite can fail: each fault planted in layers is caught."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from planting import (
    MUTANTS,
    Mutant,
    after,
    change_settings,
    core,
    everywhere,
    in_torch,
    mutant,
)

import hopcore
from hopcore.arrays import Backend
from hopcore.memory._scores import PLAIN

KNOWN = len(MUTANTS)


# Wrong kernels.


@mutant("linear maps without their bias", "L1 L5 L8 L10 L11 L12")
class Unbiased(Backend):
    def linear(self, features, weight, bias):
        return super().linear(features, weight, None)


@mutant("normalised over the unbiased variance", "L1 L11")
class Unbiased_Variance(Backend):
    def layer_norm(self, features, weight, bias, eps):
        size = features.shape[-1]
        wide = features - np.mean(features, axis=-1, keepdims=True)
        wide = wide / np.sqrt(np.sum(wide * wide, axis=-1, keepdims=True) / (size - 1) + eps)
        return super().layer_norm(wide, weight, bias, 0.0) * np.std(wide, axis=-1, keepdims=True)


@mutant("one eps for all normalisations", "L1 L11")
class OneEps(Backend):
    def layer_norm(self, features, weight, bias, eps):
        return super().layer_norm(features, weight, bias, 1e-5)


@mutant("gelu by the hyperbolic tangent", "L1 L11")
class Approximate(Backend):
    def erf(self, values):
        x = values * np.sqrt(2.0)
        return np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))


# Wrong formulas in the core.


@mutant("padding is projected", "A.masked")
def padding_projected(monkeypatch):
    wrong = lambda backend, patterns, mask, *, queries=False: patterns  # noqa: E731
    monkeypatch.setattr(core("layers._hopfield"), "hide_unattended", wrong)


@mutant("padded positions of a sequence stay what they are", "A.masked")
def padded_queries(monkeypatch):
    right = core("layers._hopfield").hide_padding_of

    def wrong(backend, patterns, masks):
        return right(backend, patterns, masks)._replace(state=patterns.state)

    monkeypatch.setattr(core("layers._hopfield"), "hide_padding_of", wrong)


@mutant("a transformer layer keeps its padding in the branch beside", "A.masked")
def padding_beside(monkeypatch):
    wrong = lambda patterns, padding, batch_first: patterns  # noqa: E731
    monkeypatch.setattr(core("layers._transformer"), "hide_padding", wrong)


@mutant("heads interleaved", "L1 L8 L12")
def interleaved(patch):
    def split_heads(right):
        def wrong(backend, features, heads):
            split = np.reshape(features, (*features.shape[:-1], -1, heads))
            return np.moveaxis(split, -1, -3)

        return wrong

    everywhere(patch, "layers._projections", "split_heads", split_heads)


@mutant("connected values go their own way", "L1")
def unconnected(patch):
    def project(right):
        def wrong(settings, parameters, backend, patterns, normalized=None):
            if settings.pattern_projection_as_connected:
                patterns = patterns._replace(projection=0.5 * patterns.projection)
            return right(settings, parameters, backend, patterns, normalized)

        return wrong

    everywhere(patch, "layers._projections", "project", project)


@mutant("the temperature of the first head for all", "L1 L12")
def one_temperature(patch):
    def change(beta, *given):
        return beta if isinstance(beta, float) or beta.ndim == 0 else 0.0 * beta + beta[0]

    after(patch, "layers._projections", "beta_of", change)


@mutant("the zero pattern forgotten", "L1")
def no_zero(patch):
    def change(association, *given):
        mask = np.ones(association.inputs.stored.shape[-2], dtype=bool)
        mask[-1] = False
        some = association.inputs.mask
        mask = mask if some is None else mask & some
        return association._replace(inputs=association.inputs._replace(mask=mask))

    after(patch, "layers._memory", "add_patterns", change)


@mutant("a bias pattern before the memory", "L1 L8")
def bias_first(patch):
    def change(association, *given):
        inputs = association.inputs
        return association._replace(
            inputs=inputs._replace(projection=inputs.projection[..., ::-1, :])
        )

    after(patch, "layers._memory", "add_patterns", change)


@mutant("activations forgotten", "L1")
def inactive(patch):
    for name in core("layers._activations").ACTIVATIONS:
        patch.setitem(core("layers._activations").ACTIVATIONS, name, lambda x, backend: x)


@mutant("the softmax, whatever the separation", "L1 L3")
def always_softmax(patch):
    after(
        patch,
        "layers._hopfield",
        "prepare_checked",
        lambda association, *given: association._replace(separation=hopcore.Softmax()),
    )


@mutant("updates by dot products, whatever the similarity", "L3")
def updates_by_products(patch):
    def wrong(right):
        def update_state(settings, association):
            found = right(settings, association._replace(scores=PLAIN))
            return found._replace(scores=association.scores)

        return update_state

    everywhere(patch, "layers._recall", "update_state", wrong)


@mutant("updates that move a query in reach of nothing to zero", "L3")
def updates_out_of_reach(patch):
    def wrong(right):
        def recalled(association):
            output, found = right(association)
            return output, found | True

        return recalled

    everywhere(patch, "layers._recall", "recalled_in_reach", wrong)


@mutant("values without their bias, where few queries attend", "L1")
def few_without_bias(patch):
    def wrong(right):
        return lambda *given: right(*given)._replace(bias=None)

    everywhere(patch, "layers._few_queries", "map_of", wrong)


@mutant("heads in the wrong order, where few queries attend", "L1")
def few_in_wrong_order(patch):
    def wrong(right):
        return lambda xp, rows, lead, heads: right(xp, xp.flip(rows, axis=-2), lead, heads)

    everywhere(patch, "layers._few_queries", "in_heads", wrong)


@mutant("recalls by dot products, whatever the similarity", "L1 L4 L8 L9 L12")
def recalls_by_products(patch):
    after(
        patch,
        "layers._hopfield",
        "prepare_checked",
        lambda association, *given: association._replace(scores=PLAIN),
    )


@mutant("added patterns whose lengths are left out", "L1")
def added_without_lengths(patch):
    def change(scores, settings, association):
        inputs = association.inputs
        added = np.arange(inputs.stored.shape[-2]) >= inputs.stored.shape[-2] - settings.added
        keys = np.concatenate(
            [scores.keys[..., :-1], np.where(added[:, None], 0.0, scores.keys[..., -1:])], axis=-1
        )
        return replace(scores, keys=keys)

    after(patch, "layers._hopfield", "scores_by_distance", change)


@mutant("numbers in a mask do not change an adapted eta", "L12")
def blind_eta(patch):
    right = core("diffusion._adaptive_eta").association_entropy
    patch.setattr(
        core("diffusion._adaptive_eta"), "association_entropy", lambda inputs, *bias: right(inputs)
    )


# Parameters and settings.


@mutant("a bias where there is none", "L2")
def extra_bias(patch):
    after(
        patch,
        "layers._parameters",
        "_linear",
        lambda found, name, rows, *rest: {
            **found,
            f"{name}.bias": core("layers._parameters").Parameter((rows,), 0.0),
        },
    )


@mutant("weights that are drawn wider", "L2")
def wide(patch):
    everywhere(
        patch,
        "layers._parameters",
        "first_value",
        lambda right: lambda found, draw: right(found, lambda shape: 2.0 * draw(shape)),
    )


@mutant("scales that start at 0", "L2")
def zero_scales(patch):
    after(
        patch,
        "layers._parameters",
        "_norm",
        lambda found, *given: {key: x._replace(start=0.0) for key, x in found.items()},
    )


@mutant("settings that forget a field", "L15")
def forgetful(patch):
    right = hopcore.HopfieldSettings.to_dict

    def wrong(self):
        return {key: x for key, x in right(self).items() if key != "update_steps_eps"}

    patch.setattr(hopcore.HopfieldSettings, "to_dict", wrong)


@mutant("unknown settings are dropped", "L15")
def lenient(patch):
    def wrong(right):
        return lambda kind, values: {
            key: x for key, x in values.items() if key in kind.__dataclass_fields__
        }

    everywhere(patch, "layers._settings", "known_fields", wrong)


# Updates.


@mutant("no updates", "L3")
def no_updates(patch):
    change_settings(patch, "layers._recall", "update_state", update_steps_max=lambda s: 0)


@mutant("an update too many", "L3")
def one_more(patch):
    def more(settings):
        limit = settings.update_steps_max
        return limit if limit is None or isinstance(limit, tuple) else limit + 1

    change_settings(patch, "layers._recall", "update_state", update_steps_max=more)


@mutant("the most updates of all heads", "L3")
def most_updates(patch):
    def most(settings):
        limit = settings.update_steps_max
        return max(limit) if isinstance(limit, tuple) else limit

    change_settings(patch, "layers._recall", "update_state", update_steps_max=most)


@mutant("queries rest together", "L3")
def together(patch):
    def wrong(right):
        def iterate(inputs, update, most, tol, **options):
            steps = int(np.max(right(inputs, update, most, tol, **options)[1], initial=0))
            return right(inputs, update, steps, 0.0 * np.asarray(tol), **options)

        return iterate

    everywhere(patch, "memory._stopping_loop", "iterate_to_fixed_point", wrong)


@mutant("a stop without regard to the lengths of patterns", "L3")
def absolute(patch):
    everywhere(
        patch, "memory._stopping_loop", "length_unit", lambda right: lambda x: 1.0 + 0.0 * right(x)
    )


# Masks, samples, order.


@mutant("True = attended, in a padding mask", "L4 L5")
def inverted(patch):
    def wrong(right):
        def as_core_masks(state, lead, heads, patterns, padding=None, association=None):
            padding = padding if padding is None or padding.dtype != bool else ~padding
            return right(state, lead, heads, patterns, padding, association)

        return as_core_masks

    everywhere(patch, "layers._masks", "as_core_masks", wrong)


@mutant("heads before samples in a mask of both", "L4")
def heads_first(patch):
    def wrong(right):
        def by_heads(backend, mask, lead, heads, *rest):
            if mask.ndim == 3 and lead:
                mask = np.moveaxis(np.reshape(mask, (heads, *lead, *mask.shape[1:])), 0, 1)
            return right(backend, mask, lead, heads, *rest)

        return by_heads

    everywhere(patch, "layers._masks", "_by_heads", wrong)


@mutant("numbers in a mask only hide", "L4")
def only_hidden(patch):
    after(patch, "layers._masks", "as_core_masks", lambda found, *given: found._replace(bias=None))


@mutant("a mask of two is that of one", "L4")
def one_mask(patch):
    everywhere(patch, "layers._masks", "joined_masks", lambda right: lambda parts: parts[-1])


@mutant("masked patterns a little visible", "L4 L5 L14")
def leaking(patch):
    everywhere(
        patch,
        "layers._recall",
        "weights_of",
        lambda right: (
            lambda association: (
                right(association)
                + 1e-4 * (right(association) == 0) * xp.ones_like(right(association))
            )
        ),
    )
    everywhere(
        patch,
        "layers._recall",
        "association_of",
        lambda right: (
            lambda association: (
                right(association)
                + 1e-4 * np.mean(association.inputs.projection, axis=-2, keepdims=True)
            )
        ),
    )


@mutant("the mean, where there is nothing to attend to", "L5 L8")
class MeanOfNothing(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        empty = np.max(scores, axis=-1, keepdims=True) == -np.inf
        return np.where(empty, 1.0 / scores.shape[-1], weights), conjugate


@in_torch("a nan in the gradient of nothing", "L5 L4")
def nan_gradient(patch):
    def wrong(right):
        def association_of(association):
            found = right(association)
            return found + 0.0 * found.square().sum(-1, keepdim=True).sqrt()

        return association_of

    everywhere(patch, "layers._recall", "association_of", wrong)


@mutant("samples share their mean", "L6 L14")
def shared_mean(patch):
    def change(found, *given):
        if found.stored.ndim < 4:
            return found
        mean = np.mean(found.stored, axis=0, keepdims=True)
        return found._replace(stored=0.99 * found.stored + 0.01 * mean)

    after(patch, "layers._projections", "project", change)


@mutant("the batch is always first", "L6 L10 L11")
def batch_first(patch):
    def wrong(right):
        def join_heads(settings, *given):
            found = right(settings, *given)
            return found if settings.batch_first else np.ascontiguousarray(found[::-1])

        return join_heads

    everywhere(patch, "layers._hopfield", "join_heads", wrong)


@mutant("patterns know their place", "L7 L1")
def placed(patch):
    def change(found, *given):
        place = 0.01 * np.arange(found.shape[-2])[:, None]
        return found + place if given[-1] == 1 else found

    after(patch, "layers._projections", "normalize", change)


# Weights and dropout.


@mutant("weights of no mask", "L8")
def unmasked_weights(patch):
    right = hopcore.layers.hopfield_weights

    def wrong(*given, **options):
        options.pop("stored_pattern_padding_mask", None)
        return right(*given, **options)

    patch.setattr(hopcore.layers, "hopfield_weights", wrong)


@mutant("weights before the updates", "L8")
def early_weights(patch):
    right = hopcore.layers.hopfield_weights

    def wrong(settings, *given, **options):
        return right(replace(settings, update_steps_max=0), *given, **options)

    patch.setattr(hopcore.layers, "hopfield_weights", wrong)


@mutant("dropout in every update", "L9")
def often_dropped(patch):
    def wrong(right):
        def recall(settings, association, drop, hard=False):
            if drop is not None:
                drop(np.zeros((1,)))
            return right(settings, association, drop, hard)

        return recall

    everywhere(patch, "layers._recall", "recall", wrong)


@mutant("dropout of the output", "L9")
def late_dropout(patch):
    def wrong(right):
        def recall(settings, association, drop, hard=False):
            weights = right(settings, association, None)
            if drop is not None:
                drop(
                    core("layers._recall").for_all_heads(
                        settings, association, core("layers._recall").weights_of(association)
                    )
                )
            return weights

        return recall

    everywhere(patch, "layers._recall", "recall", wrong)


@mutant("dropped weights are normalised again", "L9")
def renormalised(patch):
    def wrong(right):
        def recall(settings, association, drop, hard=False):
            def again(weights):
                kept = drop(weights)
                return kept / np.maximum(np.sum(kept, axis=-1, keepdims=True), 1e-9)

            return right(settings, association, None if drop is None else again)

        return recall

    everywhere(patch, "layers._recall", "recall", wrong)


# Layers made from layers.


@mutant("learned patterns reversed", "L10")
def reversed_patterns(patch):
    after(
        patch,
        "layers._pooling",
        "learned",
        lambda found, *given: np.concatenate([found[1:], 0.5 * found[:1]]),
    )


@mutant("answers of all queries mixed", "L10")
def mixed_answers(patch):
    after(patch, "layers._pooling", "flattened", lambda found, *given: found[..., ::-1])


@mutant("targets are the stored patterns", "L10")
def no_targets(patch):
    right = hopcore.layers.hopfield_lookup

    def wrong(settings, parameters, *given, **options):
        targets = parameters.get("target_weights")
        if targets is not None:
            parameters = {**parameters, "target_weights": 0.5 * targets}
        return right(settings, parameters, *given, **options)

    from hopcore_conformance.cases import layer_modules

    patch.setitem(layer_modules.FUNCTIONS, hopcore.layers.LookupSettings, wrong)


def change_branch(patch: Any, change: Any) -> None:
    branches = core("layers._branches").Branches
    right = branches.__call__

    def call(self, values, norm, work, dropout):
        return change(lambda *given: right(self, *given), self, values, norm, work, dropout)

    patch.setattr(branches, "__call__", call)


@mutant("always normalised last", "L11")
def always_last(patch):
    def change(right, self, values, norm, work, dropout):
        return self.norm(values + self.drop(dropout, work(values)), norm)

    change_branch(patch, change)


@mutant("a layer without its residual", "L11")
def no_residual(patch):
    change_branch(patch, lambda right, self, values, *rest: right(values, *rest) - 0.01 * values)


@mutant("branches are not dropped", "L9 L11")
def undropped(patch):
    def change(right, self, values, norm, work, dropout):
        self.drop = lambda name, values: values
        return right(values, norm, work, dropout)

    change_branch(patch, change)


# Diffused layers.


@mutant("the graph of the patterns as they are given", "L12")
def raw_graph(patch):
    def wrong(right):
        def diffuse_memory(config, association, normalized, *rest):
            normalized = normalized._replace(stored=normalized.stored + 1.0)
            return right(config, association, normalized, *rest)

        return diffuse_memory

    everywhere(patch, "layers._memory", "diffuse_memory", wrong)


@mutant("values are diffused too", "L12")
def tied_values(patch):
    def change(association, *given):
        inputs = association.inputs
        mean = np.mean(inputs.projection, axis=-2, keepdims=True)
        return association._replace(
            inputs=inputs._replace(projection=0.99 * inputs.projection + 0.01 * mean)
        )

    after(patch, "layers._memory", "diffuse_memory", change)


@mutant("the entropy after diffusion", "L12")
def late_entropy(patch):
    right = core("layers._memory").adapted_eta

    def wrong(inputs, config, bias=None):
        return right(inputs._replace(state=0.9 * inputs.state), config, bias)

    patch.setattr(core("layers._memory"), "adapted_eta", wrong)


@mutant("numbers in a mask do not choose the anchor", "L12")
def blind_anchor(patch):
    right = core("layers._recall").neighbor_mask
    patch.setattr(
        core("layers._recall"),
        "neighbor_mask",
        lambda inputs, graph, _: right(inputs, graph, None),
    )


@mutant("a little diffusion without any", "L13")
def always(patch):
    def wrong(right):
        return lambda laplacian, eta: right(laplacian, eta) + 0.05

    everywhere(patch, "diffusion._eta_checks", "check_eta", wrong)


@mutant("a jump as soon as there is diffusion", "L13")
def jump(patch):
    def change(association, config, *given):
        inputs = association.inputs
        factor = 2.0 if config.eta > 0 else 1.0
        return association._replace(inputs=inputs._replace(projection=factor * inputs.projection))

    after(patch, "layers._memory", "diffuse_memory", change)


@mutant("masked patterns stay in the graph", "L14")
def masked_nodes(patch):
    patch.setattr(core("layers._masks").CoreMasks, "nodes", lambda self, backend: None)


@mutant("a head alone decides what is in the graph", "L14")
def first_head(patch):
    right = core("layers._masks").CoreMasks.nodes

    def nodes(self, backend):
        if self.mask is not None and self.mask.ndim > 2:
            self = self._replace(mask=self.mask[..., :1, :, :])
        return right(self, backend)

    patch.setattr(core("layers._masks").CoreMasks, "nodes", nodes)


@mutant("a cache that returns what it has", "L14")
def stale(patch):
    right = hopcore.GraphCache.get

    def get(self, patterns, **options):
        self.first = getattr(self, "first", {})
        if patterns.shape not in self.first:
            self.first[patterns.shape] = right(self, patterns, **options)
        return self.first[patterns.shape]

    patch.setattr(hopcore.GraphCache, "get", get)


# Modules and derivatives.


@in_torch("modules that forget a parameter", "L16")
def forgotten(patch):
    module = importlib.import_module("hopcore_torch.layers._hopfield").Hopfield
    right = module.arrays

    def arrays(self):
        found = right(self)
        name = "association_core.out_proj.bias"
        return {**found, name: 0.0 * found[name]} if name in found else found

    patch.setattr(module, "arrays", arrays)


@in_torch("modules that forget their mask", "L16")
def unmasked_module(patch):
    module = importlib.import_module("hopcore_torch.layers._hopfield").Hopfield
    right = module.forward

    def forward(self, input, stored_pattern_padding_mask=None, association_mask=None):
        return right(self, input, None, association_mask)

    patch.setattr(module, "forward", forward)


@mutant("a map of the raw input, where the layer normalises it first", "L18")
def raw_map(patch):
    module = core("layers._transformer_weights")

    class Raw(module.Branches):
        def entering(self, values, norm):
            return values

    patch.setattr(module, "Branches", Raw)


@mutant("a map to the memory without the association before it", "L18")
def first_map(patch):
    module = core("layers._transformer_weights")

    class First(module.Branches):
        def __call__(self, values, norm, work, dropout):
            return values

    patch.setattr(module, "Branches", First)


@in_torch("modules whose maps forget their masks", "L18")
def unmasked_map(patch):
    module = importlib.import_module("hopcore_torch.layers._hopfield").Hopfield
    right = module.get_association_matrix

    def weights(self, input, stored_pattern_padding_mask=None, association_mask=None):
        return right(self, input, stored_pattern_padding_mask)

    patch.setattr(module, "get_association_matrix", weights)


@in_torch("the projection of the state without a derivative", "L17")
def detached(patch):
    def change(found, *given):
        return found._replace(state=found.state.detach())

    after(patch, "layers._projections", "project", change)


@in_torch("a temperature without a derivative", "L17")
def constant_temperature(patch):
    def change(beta, *given):
        return beta if isinstance(beta, float) else beta.detach()

    after(patch, "layers._projections", "beta_of", change)


@in_torch("numbers in a mask without a derivative, where states rest", "L17")
def constant_numbers(patch):
    def wrong(right):
        def at_fixed_point(found, inputs, update, others):
            return right(found, inputs, update, tuple(x.detach() for x in others))

        return at_fixed_point

    everywhere(patch, "memory._stopping_loop", "at_fixed_point", wrong)


@in_torch("lengths of keys without a derivative", "L17")
def constant_lengths(patch):
    def change(scores, settings, inputs):
        keys = scores.keys.clone()
        keys[..., -1] = scores.keys[..., -1].detach()
        return replace(scores, keys=keys)

    after(patch, "layers._hopfield", "scores_by_distance", change)


@in_torch("updates without a derivative", "L17")
def constant_updates(patch):
    def change(association, *given):
        inputs = association.inputs
        return association._replace(inputs=inputs._replace(stored=inputs.stored.detach()))

    after(patch, "layers._recall", "update_state", change)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
