"""Every public object can be pickled and deep-copied, and its copy says and does the same."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import convex, diffusion, graphs, layers, memory, phase, schedules, training
from hopcore.experiments.models.image_classifiers import MLP

PATTERNS = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
ETA = 0.1
HOPFIELD = layers.HopfieldSettings(input_size=8, num_heads=2)
CONFIG = diffusion.DiffusionConfig(steps=2, eta=ETA, k_neighbors=1)
MODEL = MLP(size=2, classes=2, widths=(4,))


def prepared_memory() -> Any:
    return hopcore.Memory(PATTERNS, keys=["a", "b", "c", "d"], beta=2.0, error=1e-6)


def graph() -> Any:
    return hopcore.knn_graph(PATTERNS, 1)


def engine() -> Any:
    return hopcore.DynamicsEngine(
        hopcore.FactoredDiffusion(graph(), graph().deg, ETA), hopcore.AttentionOperator(), CONFIG
    )


def tracker() -> Any:
    found = hopcore.EnergyTracker()
    engine().run(PATTERNS, PATTERNS, PATTERNS, tracker=found)
    return found


def estimator(kind: str) -> Any:
    made = getattr(import_module("hopcore.sklearn"), f"Hopfield{kind}")(beta=2.0)
    if kind == "Imputer":
        made.set_params(missing_values=-1.0)  # NaN, the default, does not equal itself
    return made.fit(PATTERNS, [0, 1, 0, 1])


OBJECTS: dict[str, Callable[[], Any]] = {
    "arrays.Backend": lambda: hopcore.backend("numpy"),
    "arrays.Rows": lambda: graph().entries,
    "datasets.Images": lambda: hopcore.datasets.Images(PATTERNS, (1, PATTERNS.shape[1])),
    "convex.AbsoluteSum": convex.AbsoluteSum,
    "convex.ConvexMemory": lambda: convex.ConvexMemory(convex.Polynomial(3), convex.Norm()),
    "convex.Coupling": lambda: convex.Coupling("a", "b", PATTERNS),
    "convex.Exponential": convex.Exponential,
    "convex.FenchelYoung": lambda: convex.FenchelYoung(2.0, "sparsemax"),
    "convex.LayerNorm": convex.LayerNorm,
    "convex.LayeredMemory": lambda: convex.LayeredMemory(
        {"a": convex.Norm(), "b": convex.Norm()}, [convex.Coupling("a", "b", PATTERNS)]
    ),
    "convex.LogCosh": convex.LogCosh,
    "convex.Norm": convex.Norm,
    "convex.Polynomial": lambda: convex.Polynomial(3),
    "convex.PowerNorm": lambda: convex.PowerNorm(3.0),
    "convex.Quadratic": convex.Quadratic,
    "diffusion.AttentionOperator": lambda: diffusion.AttentionOperator(beta=2.0),
    "diffusion.ChebyshevDiffusion": lambda: diffusion.ChebyshevDiffusion(graph(), ETA),
    "diffusion.DiffusedRetrieval": lambda: diffusion.diffused_retrieve(
        PATTERNS, PATTERNS, 2.0, config=CONFIG
    ),
    "diffusion.DiffusionConfig": lambda: CONFIG,
    "diffusion.DynamicsEngine": engine,
    "diffusion.EnergyTracker": tracker,
    "diffusion.FactoredDiffusion": lambda: diffusion.FactoredDiffusion(graph(), graph().deg, ETA),
    "diffusion.GraphCache": lambda: diffusion.GraphCache(CONFIG),
    "diffusion.ImplicitDiffusion": lambda: diffusion.ImplicitDiffusion(graph(), ETA),
    "diffusion.IterativeDiffusion": lambda: diffusion.IterativeDiffusion(graph(), ETA, 2),
    "diffusion.SimpleDiffusion": lambda: diffusion.SimpleDiffusion(graph(), ETA),
    "diffusion.SpectralDiffusion": lambda: diffusion.SpectralDiffusion(graph(), ETA),
    "graphs.Graph": graph,
    "graphs.GraphBuilder": lambda: graphs.GraphBuilder(PATTERNS).knn(2),
    "graphs.Laplacian": lambda: graphs.compute_laplacian(graph()),
    "graphs.PatternGraph": lambda: graphs.GraphBuilder(PATTERNS).knn(2, sparse=True).build(),
    "layers.DecoderSettings": lambda: layers.DecoderSettings(hopfield=HOPFIELD, cross=HOPFIELD),
    "layers.EnergyTransformerSettings": lambda: layers.EnergyTransformerSettings(input_size=8),
    "layers.EncoderSettings": lambda: layers.EncoderSettings(hopfield=HOPFIELD),
    "layers.HNLSettings": lambda: layers.HNLSettings(input_size=8, hidden_size=4),
    "layers.HNMSettings": lambda: layers.HNMSettings(input_size=8, output_size=2, widths=(4,)),
    "layers.HopfieldSettings": lambda: HOPFIELD,
    "layers.LookupSettings": lambda: layers.LookupSettings(hopfield=HOPFIELD, quantity=3),
    "layers.Parameter": lambda: layers.layer_parameters(HOPFIELD),
    "layers.PoolingSettings": lambda: layers.PoolingSettings(hopfield=HOPFIELD),
    "layers.Quantized": lambda: layers.Quantized(*PATTERNS, PATTERNS[0]),
    "layers.QuantizerSettings": lambda: layers.QuantizerSettings(input_size=4, quantity=3),
    "layers.SavedLayer": lambda: layers.SavedLayer(HOPFIELD, {"a": PATTERNS}),
    "memory.Entmax": lambda: memory.Entmax(1.5),
    "memory.Epanechnikov": lambda: memory.Epanechnikov(2),
    "memory.FusedOrder": lambda: memory.FusedOrder(1.5),
    "memory.FusedTiles": lambda: memory.FusedTiles.of(4, 64, 64),
    "memory.KSubsets": lambda: memory.KSubsets(2),
    "memory.Normmax": lambda: memory.Normmax(2.0),
    "memory.Metric": lambda: memory.Metric(np.eye(2)),
    "memory.LearnableAlpha": lambda: hopcore.LearnableAlpha(start=(1.2, 1.7)),
    "memory.RandomFeatures": lambda: memory.RandomFeatures(PATTERNS.shape[-1], 0.1).add(PATTERNS),
    "memory.Retrieval": lambda: memory.retrieve(PATTERNS, PATTERNS, 2.0),
    "memory.Softmax": memory.Softmax,
    "memory.Statistics": lambda: memory.statistics(PATTERNS, PATTERNS, 2.0),
    "phase.Branch": lambda: phase.sweep(PATTERNS, [1.0, 2.0]).heated,
    "phase.Capacity": lambda: phase.capacity(PATTERNS, 2.0, noise=0.1),
    "phase.CompactMinima": lambda: phase.compact_minima(PATTERNS, 2.0),
    "phase.CriticalBetas": lambda: phase.critical_betas(PATTERNS),
    "phase.HypothesisWarning": lambda: phase.HypothesisWarning("text"),
    "phase.Minima": lambda: phase.minima(PATTERNS, 2.0),
    "phase.ReducedFixedPoint": lambda: phase.reduced_fixed_points(2.0, 4),
    "phase.Suggestion": lambda: phase.suggest_beta(PATTERNS),
    "phase.Sweep": lambda: phase.sweep(PATTERNS, [1.0, 2.0]),
    "phase.Transition": lambda: phase.transition(5),
    "plots.Curve": lambda: import_module("hopcore.plots").Curve([0], [1.0], [0.1]),
    "schedules.Constant": lambda: schedules.Constant(1.0),
    "schedules.Cosine": lambda: schedules.Cosine(1.0, 0.1, 10),
    "schedules.Exponential": lambda: schedules.Exponential(1.0, 0.1, 10),
    "schedules.Geometric": lambda: schedules.Geometric(1.0, 0.9),
    "schedules.Joined": lambda: schedules.Constant(1.0).then(schedules.Constant(0.5), at=3),
    "schedules.LearnableTemperature": schedules.LearnableTemperature,
    "prepared.Calibration": lambda: prepared_memory().calibrate(noise=0.1, seed=0),
    "prepared.Compacted": lambda: prepared_memory().compact(2),
    "prepared.Memory": prepared_memory,
    "prepared.Visits": lambda: prepared_memory().visits(PATTERNS),
    "schedules.Linear": lambda: schedules.Linear(1.0, 0.1, 10),
    "schedules.PhaseAware": lambda: schedules.PhaseAware(1.0, 0.1, 5, hot=0.2, cold=0.1),
    **{
        f"sklearn.Hopfield{kind}": lambda kind=kind: estimator(kind)
        for kind in ("Classifier", "Clusterer", "Imputer", "Regressor", "Retriever")
    },
    "streamed.Streamed": lambda: hopcore.Streamed(PATTERNS, rows=2),
    "training.Conditions": training.Conditions,
    "training.AttentionRecord": lambda: training.AttentionRecord(
        0, "first", 1, 0.7, 2.0, 0.5, 0.9, 0.1, 2.0, 3
    ),
    "training.AttentionRecords": training.AttentionRecords,
    "training.Epoch": lambda: training.Epoch(*range(len(training.Epoch._fields))),
    "training.Images": lambda: training.Images(PATTERNS, np.asarray([0, 1, 0, 1])),
    "training.Moment": lambda: training.Moment(2, 10, 40, 0.7, 0.8, {"memory": 0.05}),
    "training.SavedRun": lambda: training.SavedRun(*range(len(training.SavedRun._fields))),
    "training.TrainConfig": training.TrainConfig,
}

ABSTRACT = {
    "arrays.Array": "any array",
    "arrays.Beta": "a number or an array",
    "arrays.OverWorkers": "made and used inside of one call",
    "arrays.AnyArray": "a protocol",
    "arrays.SeparationFunction": "a protocol",
    "convex.Lagrangian": "a protocol",
    "diffusion.DiffusionOperator": "abstract",
    "phase.RetrievingMemory": "a protocol",
    "schedules.Schedule": "abstract",
    "training.Classifier": "abstract",
    "training.Model": "a protocol",
    "training.Step": "a protocol",
    "training.Trainer": "a protocol",
}
"""Public classes without objects of their own, each with the reason."""

MIXINS = {f"layers.{name}Methods" for name in ("Decoder", "Diffusion", "Encoder", "LearnedPattern")}
MIXINS |= {"layers.AssociationProperties", "layers.CoreProperties"}

COPIES = [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]


def test_every_public_class_is_copied_here() -> None:
    classes = set()
    for package in hopcore.PACKAGES:
        face = import_module(f"hopcore.{package}")
        for name in getattr(face, "__all__", []):
            if inspect.isclass(getattr(face, name)) or name in ("Array", "Beta"):
                classes.add(f"{package}.{name}")
    assert classes == {*OBJECTS, *ABSTRACT, *MIXINS, "training.Run"}


@pytest.mark.filterwarnings("ignore::hopcore.phase.HypothesisWarning")
@pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("name", OBJECTS)
def test_a_copy_is_the_same(name: str, make_copy: Callable[[Any], Any]) -> None:
    made = OBJECTS[name]()
    check_same(made, make_copy(made), name)


def check_same(one: Any, other: Any, place: str) -> None:
    """Compare two objects: backends by identity, arrays by value, the others part by part."""
    assert type(one) is type(other), place
    if isinstance(one, hopcore.Backend):
        assert one is other, place
    elif isinstance(one, hopcore.Memory):  # it keeps what was computed once, a copy need not
        assert repr(one) == repr(other), place
        assert one.keys == other.keys, place
        for name in ("patterns", "values", "bias"):
            check_same(getattr(one, name), getattr(other, name), f"{place}.{name}")
        found, again = (held.association(PATTERNS) for held in (one, other))
        np.testing.assert_array_equal(found, again, err_msg=place)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=place)
    elif hasattr(one, "detach"):
        np.testing.assert_array_equal(one.detach(), other.detach(), err_msg=place)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other), place
        for i, pair in enumerate(zip(one, other, strict=True)):
            check_same(*pair, f"{place}[{i}]")
    elif isinstance(one, dict | MappingProxyType):
        assert list(one) == list(other), place
        for key, value in one.items():
            check_same(value, other[key], f"{place}[{key!r}]")
    elif type(one).__eq__ is not object.__eq__ and not hasattr(one, "__dataclass_fields__"):
        assert one == other, place
    elif not isinstance(one, hopcore.GraphCache) and hasattr(one, "__dict__"):
        check_same(vars(one), vars(other), place)


@pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle"])
def test_a_copied_run_trains_as_the_run_does(make_copy: Callable[[Any], Any]) -> None:
    pytest.importorskip("torch")
    data = training.Images(PATTERNS.astype(np.float32), np.asarray([0, 1, 0, 1]))
    made = training.Run(MODEL, training.TrainConfig(epochs=2), data, data)
    copied = make_copy(made)
    epochs = [[epoch._replace(seconds=0.0) for epoch in run.epochs()] for run in (made, copied)]
    assert epochs[0] == epochs[1]
    assert len(epochs[0]) == 2


def test_a_copied_cache_is_empty_and_works() -> None:
    cache = hopcore.GraphCache(CONFIG, max_entries=3)
    cache.get(PATTERNS)
    for make_copy in COPIES:
        found = make_copy(cache)
        assert (len(found), found.max_entries, found.config) == (0, 3, CONFIG)
        np.testing.assert_array_equal(found.get(PATTERNS).deg, cache.get(PATTERNS).deg)


@pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle"])
def test_a_copied_graph_goes_with_the_arrays_of_its_library(
    make_copy: Callable[[Any], Any],
) -> None:
    copied = make_copy(diffusion.SimpleDiffusion(graph(), ETA))
    wanted = diffusion.SimpleDiffusion(graph(), ETA)(PATTERNS)
    np.testing.assert_array_equal(copied(PATTERNS), wanted)


@pytest.mark.parametrize("library", ["torch", "jax", "dask.array", "array_api_strict"])
def test_backends_are_restored_by_name(library: str) -> None:
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    for make_copy in (copy.copy, *COPIES):
        assert make_copy(backend) is backend
    code = pickle.dumps(backend)
    assert pickle.loads(code) is backend
    assert b"TorchBackend" in code or library != "torch"


@pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle"])
def test_torch_modules_and_graphs(make_copy: Callable[[Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    modules = import_module("hopcore_torch")
    patterns = torch.tensor(PATTERNS)
    copied = make_copy(hopcore.knn_graph(patterns, 1))
    assert torch.equal(copied @ patterns, hopcore.knn_graph(patterns, 1) @ patterns)
    made = [
        modules.Hopfield(8, num_heads=2),
        modules.HopfieldCore(8, 2),
        modules.HopfieldLayer(8, quantity=3),
        modules.HopfieldPooling(8),
        modules.DiffusedHopfield(8, config=CONFIG),
        modules.HopfieldEncoderLayer(modules.Hopfield(8)),
        modules.HopfieldDecoderLayer(modules.Hopfield(8), modules.Hopfield(8)),
        modules.HNL(input_size=8, hidden_size=4),
        modules.HNM(input_size=8, output_size=2, widths=(4,)),
        modules.LearnableTemperatureAttention(8, 2),
        modules.VectorQuantizer(input_size=8, quantity=6),
        modules.EnergyTransformer(input_size=8, quantity=6),
    ]
    for module in made:
        copied = make_copy(module)
        for (name, one), other in zip(
            module.state_dict().items(), copied.state_dict().values(), strict=True
        ):
            assert torch.equal(one, other), f"{type(module).__name__} {name}"
