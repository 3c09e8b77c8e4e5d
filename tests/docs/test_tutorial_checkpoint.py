"""The block of the tutorial on checkpoints that needs more than the documentation's environment."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import hopcore_torch

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "checkpoint.md"


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about its own parts
def test_into_onnx(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime has no wheel here")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    layer = hopcore_torch.HopfieldPooling(
        input_size=8,
        hidden_size=16,
        num_heads=8,
        output_size=10,
        normalize_pattern_projection=False,
    ).eval()
    rows = np.random.default_rng(0).standard_normal((7, 8, 8)).astype(np.float32)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names = {"torch": torch, "layer": layer, "rows": rows}
    with torch.no_grad():
        exec(compile(block, str(PAGE), "exec"), names)
        wanted = layer(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(names["scores"], wanted, atol=1e-4)
