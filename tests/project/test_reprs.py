"""What public objects show of themselves in a session: one line that says what they are."""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import datasets, layers, phase, sklearn, training

X = np.random.default_rng(0).normal(size=(200, 16))
X /= np.linalg.norm(X, axis=-1, keepdims=True)
GRAPH = hopcore.knn_graph(X, 3)
LAPLACIAN = hopcore.compute_laplacian(GRAPH)
BUILT = hopcore.GraphBuilder(X).build()
CONFIG = hopcore.DiffusionConfig(eta=0.1)
SIMPLE = hopcore.SimpleDiffusion(LAPLACIAN, 0.1)
ATTENTION = hopcore.AttentionOperator(beta=4.0)
HOPFIELD = hopcore.HopfieldSettings(input_size=4)
QUANTIZER = layers.QuantizerSettings(input_size=4)
CODEBOOK = hopcore.initial_parameters(QUANTIZER)
SWEEP = phase.sweep(X[:20], np.geomspace(0.1, 1.0, 50))

PREPARED = hopcore.Memory(X[:20], beta=2.0, error=1e-6)

HEADS = hopcore.statistics(X[None], X[None], 4.0)
RECORDS = training.AttentionRecords()
RECORDS.add(0, "first", HEADS)

INSTANCES: dict[str, Any] = {
    "AttentionOperator": ATTENTION,
    "AttentionRecord": RECORDS.records[0],
    "AttentionRecords": RECORDS,
    "Branch": SWEEP.heated,
    "Capacity": phase.capacity(X[:20], 4.0, noise=0.1),
    "Calibration": PREPARED.calibrate(noise=0.1, seed=0),
    "ChebyshevDiffusion": hopcore.ChebyshevDiffusion(LAPLACIAN, 0.1),
    "CompactMinima": phase.compact_minima(X[:5], 1.0),
    "Compacted": PREPARED.compact(3),
    "Coupling": hopcore.convex.Coupling("a", "b", X),
    "CriticalBetas": hopcore.critical_betas(X[:20]),
    "DiffusedRetrieval": hopcore.diffused_retrieve(X, X, 4.0, config=CONFIG),
    "DynamicsEngine": hopcore.DynamicsEngine(SIMPLE, ATTENTION, CONFIG),
    "EnergyTracker": hopcore.EnergyTracker(),
    "FactoredDiffusion": hopcore.FactoredDiffusion(BUILT.W, BUILT.deg, 0.1),
    "Graph": GRAPH,
    "FusedOrder": hopcore.memory.FusedOrder(1.5),
    "FusedTiles": hopcore.memory.FusedTiles.of(4, 64, 64),
    "GraphBuilder": hopcore.GraphBuilder(X),
    "GraphCache": hopcore.GraphCache(CONFIG),
    "HopfieldClassifier": sklearn.HopfieldClassifier(beta=2.0),
    "HopfieldClusterer": sklearn.HopfieldClusterer(beta=2.0),
    "HopfieldImputer": sklearn.HopfieldImputer(beta=2.0),
    "HopfieldRegressor": sklearn.HopfieldRegressor(beta=2.0),
    "HopfieldRetriever": sklearn.HopfieldRetriever(beta=2.0),
    "Images": training.Images(np.zeros((1000, 64)), np.zeros(1000, int)),
    "ImplicitDiffusion": hopcore.ImplicitDiffusion(LAPLACIAN, 0.1),
    "IterativeDiffusion": hopcore.IterativeDiffusion(LAPLACIAN, 0.1, 3),
    "Laplacian": LAPLACIAN,
    "Memory": PREPARED,
    "Minima": phase.minima(X[:20], 1.0),
    "PatternGraph": BUILT,
    "Quantized": layers.quantize(QUANTIZER, CODEBOOK, np.ones((9, 4), np.float32)),
    "ReducedFixedPoint": phase.reduced_fixed_points(6.0, 10)[0],
    "Retrieval": hopcore.retrieve(X, X, 4.0),
    "SavedLayer": layers.SavedLayer(HOPFIELD, hopcore.initial_parameters(HOPFIELD)),
    "SimpleDiffusion": SIMPLE,
    "SpectralDiffusion": hopcore.SpectralDiffusion(LAPLACIAN, 0.1),
    "Statistics": HEADS,
    "Streamed": hopcore.Streamed(X),
    "Suggestion": hopcore.suggest_beta(X),
    "Sweep": SWEEP,
    "Transition": hopcore.transition(10),
    "Visits": PREPARED.visits(X),
    "1000 images": datasets.Images(np.zeros((1000, 64)), (8, 8)),
}
"""An instance of each class, by a word that is in its representation."""

FACES = [f"hopcore.{name}" for name in hopcore.PACKAGES if name not in ("cli", "experiments")]
OTHERS = {
    "AssociationProperties", "CoreProperties", "DecoderMethods", "DiffusionMethods",
    "EncoderMethods", "LearnedPatternMethods",  # mixed into modules
    "AnyArray", "SeparationFunction", "Lagrangian", "Classifier", "Model", "Trainer",
    "RetrievingMemory",  # protocols
    "Backend", "DiffusionOperator", "OverWorkers", "Rows", "Run", "SavedRun", "Conditions",
    "Epoch", "Moment", "Parameter", "Step", "Curve", "HypothesisWarning",
}  # fmt: skip
"""Classes for authors of modules, backends and trainers."""


def classes() -> set[str]:
    """The public classes but settings, which are dataclasses of numbers and names."""
    found: set[str] = set()
    for face in FACES:
        module = import_module(face)
        for name in module.__all__:
            kind = getattr(module, name)
            settings = dataclasses.is_dataclass(kind) and name not in INSTANCES
            ours = inspect.isclass(kind) and str(kind.__module__).startswith("hopcore")
            if ours and not settings:
                found.add(name)
    return found


def test_every_class_has_an_instance() -> None:
    assert classes() - OTHERS == INSTANCES.keys() - {"1000 images"}


@pytest.mark.parametrize("name", INSTANCES)
def test_one_line_says_what_it_is(name: str) -> None:
    text = repr(INSTANCES[name])
    assert "\n" not in text
    assert " at 0x" not in text
    # Settings show each of their fields.
    assert len(text) < (1500 if "Settings(" in text or "Config(" in text else 480), text
    assert name in text


def test_arrays_of_any_library_are_named_by_dtype_and_shape() -> None:
    torch = pytest.importorskip("torch")
    text = repr(hopcore.retrieve(torch.eye(3), torch.eye(3), 4.0))
    assert text.startswith("Retrieval(state=float32 (3, 3), steps=int")
