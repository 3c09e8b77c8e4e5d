"""Statistics of a layer beside the weights of its forward pass (spec: statistics)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given

import hopcore
from hopcore_conformance.cases.layer_options import WEIGHED
from hopcore_conformance.cases.layers import Case, cases, measured, run
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import layers as plain
from hopcore_conformance.oracle import statistics as dense
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject


@statement("H.layer")
@given(case=cases(WEIGHED, masks=("none", "both", "numbers")))
def test_statistics_of_a_layer_are_those_of_its_weights(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    got = run(subject, hopcore.layers.hopfield_statistics, case)

    def compute(blur: Any) -> Any:
        return plain.layer(case.settings, case.parameters, **case.inputs, blur=blur)[1]

    w, error = measured(subject, compute)
    count, queries = w.shape[-1], w.shape[-2]
    error = np.minimum(np.broadcast_to(error, w.shape), 1.0 / np.e)
    own = (16 + 4 * count) * subject.fine
    # Of numbers below 1/e, -e log e bounds the change of w log w by an error e.
    spread = -np.sum(error * np.log(np.maximum(error, 1e-300)), axis=-1)
    agree("entropy", got.entropy, dense.entropy(w), spread + own * (1.0 + dense.entropy(w)))
    agree("largest weight", got.largest, np.max(w, axis=-1), np.max(error, axis=-1) + own)
    agree("received", got.received, np.sum(w, axis=-2), np.sum(error, axis=-2) + own * queries)
    wide = np.where(got.effective > 0.0, got.effective, 1.0)
    squares = np.where(got.effective > 0.0, 1.0 / wide, 0.0)
    agree("sum of squares", squares, dense.squares(w), 2 * np.sum(error, axis=-1) + own)
