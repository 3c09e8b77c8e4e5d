"""Which tests run in the full matrix only (``nox -s full``); all others run in ``nox``, too."""

from __future__ import annotations

import os
from fnmatch import fnmatch

import pytest

# Triton reads this when a test, or torch's compiler, imports it first: its kernels are interpreted.
os.environ.setdefault("TRITON_INTERPRET", "1")

FULL = {
    "tests/*/test_*_distributed.py::*": "memories over workers: processes that wait for each other",
    "tests/*/test_*_mutations.py::*": "planted faults: the whole suite, once for each",
    "tests/arrays/test_threads_and_forks.py::*first_use*torch*": "a process that imports torch",
    "tests/cli/test_cli.py::test_retrieve_on_workers*": "workers, a process each",
    "tests/cli/test_cli_phase.py::test_another_backend*": "JAX compiles a sweep",
    "tests/cli/test_cli_phase.py::test_the_picture[[][ilnt]*": "five pictures more",
    "tests/cli/test_cli_trained.py::*other_libraries*jax*": "JAX compiles a network",
    "tests/docs/test_tutorial_annealing.py::*": "four trainings",
    "tests/docs/test_tutorial_backend.py::*": "runs of the suite, a process each",
    "tests/docs/test_tutorial_scale.py::*": "workers, a process each",
    "tests/experiments/*": "studies: minutes of training",
    "tests/files/test_writing.py::*thousand*": "a thousand kills",
    "tests/graphs/test_given_neighbors.py::test_arrays_of_other*jax*": "JAX compiles both kinds",
    "tests/graphs/test_graph.py::test_nndescent_leaves_out*": "pynndescent compiles",
    "tests/graphs/test_graph.py::test_nndescent_recalls*": "pynndescent compiles for half a minute",
    "tests/graphs/test_graph_kernels.py::test_graphs_go_through_jit*": "JAX compiles",
    "tests/graphs/test_graph_kernels.py::test_jax_transforms*": "JAX compiles every derivative",
    "tests/graphs/test_graph_kernels.py::test_torch_compiles*": "torch compiles",
    "tests/hopcore_conformance/test_conformance_cli.py::*printed_shows*again*": "processes",
    "tests/hopcore_conformance/test_conformance_cli.py::test_a_kernel_that_writes*": "processes",
    "tests/hopcore_conformance/test_conformance_cli.py::test_a_seed_draws*": "processes",
    "tests/hopcore_conformance/test_conformance_cli.py::test_arrays_may_have_strides*": "processes",
    "tests/hopcore_conformance/test_conformance_cli.py::test_other_errors*": "processes",
    "tests/hopcore_conformance/test_conformance_cli.py::test_pytests_own*": "processes",
    "tests/hopcore_conformance/test_conformance_report.py::*as_it_is_described*": "processes",
    "tests/hopcore_conformance/test_conformance_report.py::*begins_with*": "processes",
    "tests/hopcore_conformance/test_conformance_report.py::*declared*": "processes",
    "tests/hopcore_conformance/test_conformance_report.py::*errors[[]several*": "processes",
    "tests/hopcore_conformance/test_conformance_report.py::*is_no_number*": "processes",
    "tests/hopcore_jax/test_jax.py::test_arrays_stay_on*": "JAX compiles for two devices",
    "tests/hopcore_jax/test_jax.py::test_blocks_of_every_size*": "JAX compiles every block",
    "tests/hopcore_jax/test_jax.py::test_both_gradients*": "JAX compiles every derivative",
    "tests/hopcore_jax/test_jax.py::test_derivatives_of_both*": "JAX compiles every derivative",
    "tests/hopcore_jax/test_jax.py::test_memory_of_a_gradient*": "JAX compiles many steps",
    "tests/hopcore_jax/test_jax_debug.py::test_a_caller*x64*": "JAX compiles retrievals again",
    "tests/hopcore_jax/test_jax_debug.py::test_masked_results*": "JAX compiles nothing",
    "tests/hopcore_jax/test_jax_debug.py::test_masks_do_not*": "JAX runs every operation by itself",
    "tests/hopcore_jax/test_jax_exports.py::*": "JAX exports every layer",
    "tests/hopcore_jax/test_jax_layers.py::*are_the_functions[[]*float64*": "float32 stays",
    "tests/hopcore_jax/test_jax_layers.py::*has_its_own_dropout": "JAX compiles every place",
    "tests/hopcore_jax/test_jax_layers.py::*is_the_function*float64*": "float32 stays",
    "tests/hopcore_jax/test_jax_layers.py::*parameters_start_as*": "JAX compiles every layer",
    "tests/hopcore_jax/test_jax_layers.py::test_core_is_the_function": "JAX compiles many settings",
    "tests/hopcore_jax/test_jax_layers.py::test_every_layer_maps*": "JAX compiles each",
    "tests/hopcore_jax/test_jax_layers.py::test_layers_on_top*": "JAX compiles several layers",
    "tests/hopcore_jax/test_jax_layers.py::test_masks_are_those*": "JAX compiles every mask",
    "tests/hopcore_jax/test_jax_layers.py::test_pooling_learns*": "two trainings",
    "tests/hopcore_jax/test_jax_networks.py::*are_the_functions[[]*0.*": "JAX compiles a network",
    "tests/hopcore_jax/test_jax_networks.py::*copies_are_equal[[]D*": "JAX compiles a layer",
    "tests/hopcore_jax/test_jax_networks.py::*copies_are_equal[[]HopfieldP*": "a layer",
    "tests/hopcore_jax/test_jax_networks.py::*drawn_by_a_key_alone[[]h*": "JAX compiles a network",
    "tests/hopcore_jax/test_jax_networks.py::*of_torch[[]h*True[]]": "JAX compiles derivatives",
    "tests/hopcore_jax/test_jax_networks.py::*test_dtypes*": "JAX compiles every dtype",
    "tests/hopcore_jax/test_jax_networks.py::*test_one_step_moves*": "JAX compiles a training step",
    "tests/hopcore_jax/test_jax_networks.py::test_dropout_in_training*": "JAX compiles a model",
    "tests/hopcore_jax/test_jax_networks.py::test_layers_of_a_model*": "JAX compiles a model",
    "tests/hopcore_jax/test_jax_replace_attention.py::*their_place[[]options0*": "JAX compiles",
    "tests/hopcore_jax/test_jax_replace_attention.py::test_gradients*": "JAX compiles derivatives",
    "tests/hopcore_torch/test_torch.py::test_every_road*4000*Entmax*": "memories of 4,000 patterns",
    "tests/hopcore_torch/test_torch.py::test_no_array_of_all_scores*": "memories of 100 MB",
    "tests/hopcore_torch/test_torch_exports.py::test_an_export*": "exports every layer",
    "tests/hopcore_torch/test_torch_exports.py::test_compiles*": "torch compiles",
    "tests/hopcore_torch/test_torch_layers.py::test_runs_in_onnx*": "exports to ONNX",
    "tests/memory/test_mutations.py::*": "planted faults: the whole suite, once for each",
    "tests/memory/test_statistics.py::test_blocks_and_second*jax": "JAX compiles derivatives",
    "tests/phase/test_phase.py::test_a_pattern_is_retrieved*": "sweeps over temperatures",
    "tests/phase/test_phase.py::test_critical_betas_scale*": "sweeps over temperatures",
    "tests/project/test_soak.py::*": "hostile calls and killed writers",
    "tests/streamed/test_streamed.py::test_no_split_changes*": "files in every split",
    "tests/streamed/test_streamed_dask.py::test_workers*": "workers, a process each",
    "tests/training/test_*.py::test_every_model_learns*": "trainings of every model",
    "tests/training/test_attention_records.py::*transformer_layers_of_jax": "JAX compiles each",
    "tests/training/test_hostile_runs.py::test_two_commands*": "two processes that import torch",
    "tests/training/test_runs.py::*goes_on*True*": "trainings, one in each library",
    "tests/training/test_runs.py::*goes_on*jax*": "trainings in JAX",
    "tests/training/test_runs.py::*stopped_loses*9*": "a process that trains",
    "tests/training/test_runs.py::*stopped_loses*[[]2[]]": "a process that trains",
}
"""Patterns of the names of tests, each with what makes it slow."""

MARKED = ("tests/experiments/test_completion.py",)
"""Files to which these patterns do not apply, because they mark their slow tests themselves."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests as ``full``; a pattern that names no test is refused."""
    unused = set(FULL)
    for item in items:
        name = item.nodeid.replace("\\", "/")
        for pattern in FULL:
            if fnmatch(name, pattern):
                unused.discard(pattern)
                if not name.startswith(MARKED):
                    item.add_marker(pytest.mark.full)
    whole = [str(argument).rstrip("/") for argument in config.args] == ["tests"]
    if unused and whole and not config.option.keyword:
        raise pytest.UsageError(f"tests/conftest.py: no test is called {sorted(unused)[0]}")
