"""Every Python block of difflayers' README, run as written with ``hopcore_torch`` in its place.

The page is read from the installed package's metadata, and the names it leaves open, such as
``batch`` or ``mask``, get a value. A block sees what the blocks before it have made.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from typing import Any

import difflayers
import pytest
import torch
from torch import nn

import hopcore
import hopcore_torch

PAGE = importlib.metadata.metadata("difflayers")["Description"] or str(
    importlib.metadata.metadata("difflayers").get_payload()
)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
STATIC = next(block for block in BLOCKS if block.startswith("model ="))


def open_names() -> dict[str, Any]:
    """What the page uses without making it."""
    torch.manual_seed(0)
    stored, queries, values = (torch.randn(4, count, 128) for count in (12, 10, 12))
    mask = torch.zeros(4, 12, dtype=torch.bool)
    mask[:, 9:] = True
    patterns, queries_2d = torch.randn(100, 64), torch.randn(5, 64)
    return {
        "batch": 4, "seq_len": 10, "mask": mask, "stored_patterns": stored,
        "state_patterns": queries, "pattern_projections": values, "patterns": patterns,
        "Q": queries_2d, "K": patterns, "V": patterns,
    }  # fmt: skip


@pytest.fixture
def in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """``import difflayers``, and of any module below it, gives ``hopcore_torch``."""
    for name in set(re.findall(r"^from (difflayers[\w.]*) import", PAGE, flags=re.MULTILINE)):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:count]), hopcore_torch)


def run(count: int) -> dict[str, Any]:
    """What the page has made after its first blocks."""
    names = open_names()
    for block in BLOCKS[:count]:
        exec(compile(block, "README", "exec"), names)
    return names


def after(text: str) -> dict[str, Any]:
    """What the page has made after the first block with a text."""
    return run(1 + next(index for index, block in enumerate(BLOCKS) if text in block))


def shapes(names: dict[str, Any], *which: str) -> list[tuple[int, ...]]:
    return [tuple(names[name].shape) for name in which]


def test_the_page_has_its_blocks() -> None:
    assert len(BLOCKS) == PAGE.count("```python") == 14
    assert "difflayers" in {name.split(".")[0] for name in re.findall(r"from ([\w.]+)", PAGE)}


@pytest.mark.usefixtures("in_its_place")
@pytest.mark.parametrize("index", range(len(BLOCKS)))
def test_block(index: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(index + 1)
    made = [x for x in names.values() if isinstance(x, nn.Module)]
    assert all(type(x).__module__.startswith(("hopcore_torch", "torch.nn")) for x in made)
    if "print(tracker.energies)" in BLOCKS[index]:
        printed = eval(capsys.readouterr().out)
        assert printed == names["tracker"].energies
        assert len(printed) == names["cfg"].steps + 1


@pytest.mark.usefixtures("in_its_place")
def test_shapes_of_the_quick_start() -> None:
    names = run(1)
    assert shapes(names, "output", "result") == [(8, 10, 64), (8, 10, 64)]
    # The page says (8, 1, 64); the peer returns what it always has, and so does hopcore.
    theirs = difflayers.HopfieldPooling(input_size=64, num_heads=1)(names["sequence"])
    assert shapes(names, "pooled") == [(8, 64)] == [tuple(theirs.shape)]


@pytest.mark.usefixtures("in_its_place")
def test_shapes_of_the_layers() -> None:
    pooled = after("pooled   = pooling(sequence)   # (batch, 1, 128)")
    assert shapes(pooled, "pooled") == [(4, 128)]
    found = after("result = lookup(query)   # (batch, seq_len, 128)")
    assert shapes(found, "result") == [(4, 10, 128)]


@pytest.mark.usefixtures("in_its_place")
def test_padding_of_a_diffused_layer() -> None:
    """What is masked makes no difference, though the memory is diffused."""
    names = after("stored_pattern_padding_mask=mask")
    assert shapes(names, "output") == [(4, 10, 128)]
    stored, state, values, mask = (
        names[name] for name in ("stored_patterns", "state_patterns", "pattern_projections", "mask")
    )
    noise = mask[..., None] * torch.randn(stored.shape)
    given = stored + noise, state, values + noise
    torch.testing.assert_close(
        names["dh"](given, stored_pattern_padding_mask=mask), names["output"]
    )


@pytest.mark.usefixtures("in_its_place")
def test_the_graph_pipeline() -> None:
    """The graph made by hand is that of the builder."""
    names = after("GraphBuilder(X)")
    assert shapes(names, "S", "A", "L") == [(100, 100)] * 3
    graph = names["graph"]
    assert graph.deg.shape == (100,)
    torch.testing.assert_close(graph.W.to_dense(), names["A"])
    torch.testing.assert_close(graph.L.to_dense(), names["L"])
    torch.testing.assert_close(graph.deg, names["A"].sum(-1))


@pytest.mark.usefixtures("in_its_place")
def test_static_retrieval_scores_like_a_plain_layer() -> None:
    model = after(STATIC)["model"]
    assert isinstance(model, hopcore_torch.DiffusedHopfield)
    assert (model.eta, model.k_neighbors, model.diffusion_mode) == (0.15, 10, "iterative")
    diffusion = {"eta", "k_neighbors", "diffusion_mode", "diffusion_steps", "diffuse_key"}
    given = arguments()
    plain = hopcore_torch.Hopfield(**{name: given[name] for name in given.keys() - diffusion})
    theirs = difflayers.DiffusedHopfield(**given)
    generator = torch.Generator().manual_seed(0)
    for length in (1.0, 3.0):
        stored = nn.functional.normalize(torch.randn(50, 64, generator=generator), dim=-1)
        for noise in (0.0, 0.05, 0.1):
            queries = length * (stored + noise * torch.randn(50, 64, generator=generator))
            assert retrieved(plain, queries, length * stored) == 1.0
            assert retrieved(model, queries, length * stored) >= 0.98
            if length == 1.0:
                # Its steps replace the query by the mean of all patterns.
                assert retrieved(theirs, queries, stored) < 0.1


def arguments() -> dict[str, Any]:
    """The arguments of the block of static retrieval, as written."""
    found: dict[str, Any] = {}
    exec(STATIC.replace("DiffusedHopfield(", "dict("), found)
    return found["model"]


def retrieved(layer: nn.Module, queries: torch.Tensor, stored: torch.Tensor) -> float:
    """The fraction of queries whose answer is nearest to the pattern they are a noisy copy of."""
    answers = layer((stored[None], queries[None], stored[None]))[0]
    nearest = torch.cdist(answers, stored).argmin(-1)
    return float((nearest == torch.arange(len(stored))).float().mean())


@pytest.mark.usefixtures("in_its_place")
def test_the_transformers_run() -> None:
    names = run(len(BLOCKS))
    encoder, decoder = names["encoder"], names["decoder"]
    assert len(encoder.layers) == len(decoder.layers) == 6
    source, target = torch.randn(2, 7, 512), torch.randn(2, 5, 512)
    for training in (True, False):
        memory = encoder.train(training)(source)
        assert memory.shape == (2, 7, 512)
        assert decoder.train(training)(target, memory).shape == (2, 5, 512)


def test_the_names_of_the_page() -> None:
    table = PAGE[PAGE.index("## API Reference") : PAGE.index("## Complexity Guide")]
    names = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert len(names) == 18
    assert set(names) <= set(hopcore_torch.__all__)
    assert all(hasattr(hopcore_torch, name) for name in names)


def test_the_fields_of_the_configuration() -> None:
    start = PAGE.index("## DiffusionConfig Reference")
    table = PAGE[start : PAGE.index("## Graph Pipeline")]
    rows = re.findall(r"^\| `(\w+)` \| `[^`]*` \| `([^`]*)` \|", table, flags=re.MULTILINE)
    assert len(rows) == 15
    defaults = hopcore.DiffusionConfig().to_dict()
    for name, default in rows:
        assert defaults[name] == eval(default), name
