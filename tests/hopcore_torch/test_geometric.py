"""The transform for graphs of PyTorch Geometric, on stand-ins and on its own graphs."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from hopcore_torch.geometric import HeatKernelDiffusion, to_graph

KINDS = ("none", "symmetric", "random_walk")


def graph(seed: int, nodes: int = 12, joined: int = 9, dtype=torch.float64, **more):
    """A graph with loops, repeated edges, weights and isolated nodes."""
    draw = torch.Generator().manual_seed(seed)
    ends = torch.randint(joined, (2, 20), generator=draw)
    weights = torch.rand(20, generator=draw, dtype=dtype)
    x = torch.randn(nodes, 3, generator=draw, dtype=dtype)
    both = torch.cat([ends, ends.flip(0)], dim=1)
    order = torch.randperm(40, generator=draw)
    return SimpleNamespace(
        x=x,
        edge_index=both[:, order],
        edge_weight=torch.cat([weights, weights])[order],
        num_nodes=nodes,
        **more,
    )


def dense(data, symmetrize=None) -> np.ndarray:
    """The adjacency by definition: repeated edges add up, loops are left out."""
    matrix = np.zeros((data.num_nodes, data.num_nodes))
    for (a, b), weight in zip(data.edge_index.T.tolist(), data.edge_weight.tolist(), strict=True):
        matrix[a, b] += weight * (a != b)
    if symmetrize is not None:
        matrix = np.maximum(matrix, matrix.T) if symmetrize == "max" else (matrix + matrix.T) / 2
    return matrix


def laplacian(matrix: np.ndarray, kind: str) -> np.ndarray:
    degrees = matrix.sum(axis=1)
    found = np.diag(degrees) - matrix
    safe = np.where(degrees > 0, degrees, 1.0)
    if kind == "symmetric":
        return found / np.sqrt(np.outer(safe, safe))
    return found / safe[:, None] if kind == "random_walk" else found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.sampled_from(KINDS), st.sampled_from([0.0, 0.3, 1.0, 30.0]))
def test_features_are_those_of_the_exact_heat_kernel(seed, kind, eta):
    data = graph(seed)
    found = HeatKernelDiffusion(eta, normalization=kind, tol=1e-10)(data).x
    expected = expm(-eta * laplacian(dense(data), kind)) @ data.x.numpy()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(found[9:], data.x[9:], atol=1e-8)  # isolated nodes


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.sampled_from(["mean", "max"]))
def test_directed_edges_are_made_symmetric_by_the_rule_or_refused(seed, rule):
    data = graph(seed)
    data.edge_index, data.edge_weight = data.edge_index[:, :25], data.edge_weight[:25]
    assert not np.allclose(dense(data), dense(data).T)
    np.testing.assert_allclose(
        to_graph(data, symmetrize=rule).to_dense().numpy(), dense(data, rule), atol=1e-12
    )
    with pytest.raises(ValueError, match=r"edge \d+-\d+ has weight .* symmetrize='mean' or 'max'"):
        to_graph(data)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_edges_go_in_and_out(seed):
    first = to_graph(graph(seed))
    again = to_graph(
        SimpleNamespace(
            edge_index=first.edge_index, edge_weight=first.edge_weight, num_nodes=first.nodes
        )
    )
    assert torch.equal(again.to_dense(), first.to_dense())
    assert torch.equal(again.edge_index, first.edge_index)


def test_the_data_are_not_changed_and_the_transform_can_be_pickled():
    data = graph(0)
    before = copy.deepcopy(vars(data))
    transform = pickle.loads(pickle.dumps(HeatKernelDiffusion(2.0)))
    assert repr(transform) == "HeatKernelDiffusion(eta=2.0, normalization='symmetric')"
    assert not torch.equal(transform(data).x, data.x)
    assert all(torch.equal(before[name], getattr(data, name)) for name in ("x", "edge_index"))


def test_a_loop_changes_nothing():
    data, looped = graph(0), graph(0)
    looped.edge_index = torch.cat([data.edge_index, torch.arange(12).repeat(2, 1)], dim=1)
    looped.edge_weight = torch.cat([data.edge_weight, torch.ones(12, dtype=torch.float64)])
    for kind in KINDS:
        transform = HeatKernelDiffusion(normalization=kind)
        torch.testing.assert_close(transform(looped).x, transform(data).x, rtol=0, atol=1e-12)


def test_weights_are_ones_where_there_are_none_and_attributes_are_not_guessed():
    data = graph(0, edge_attr=torch.arange(40) % 3)
    del data.edge_weight
    data.edge_index = torch.unique(data.edge_index, dim=1)
    assert set(to_graph(data).edge_weight.tolist()) == {1.0}
    data.edge_attr = torch.full((data.edge_index.shape[1], 1), 2.5)
    assert set(to_graph(data, edge_weight="edge_attr").edge_weight.tolist()) == {2.5}
    with pytest.raises(ValueError, match="data have no edge_weight; leave edge_weight out"):
        to_graph(data, edge_weight="edge_weight")


def test_many_columns_and_several_attributes_are_diffused():
    data = graph(0, dtype=torch.float32)
    data.pos, data.x = torch.randn(12, 2, dtype=torch.float64), torch.randn(12, 37)
    found = HeatKernelDiffusion(attrs=("x", "pos"))(data)
    kernel = expm(-laplacian(dense(data), "symmetric"))
    np.testing.assert_allclose(found.x.numpy(), kernel @ data.x.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.pos.numpy(), kernel @ data.pos.numpy(), atol=1e-5)
    assert (found.x.dtype, found.pos.dtype) == (torch.float32, torch.float64)


def test_features_have_a_gradient():
    data = graph(0)
    data.x.requires_grad_()
    HeatKernelDiffusion(1.0, normalization="random_walk")(data).x.sum().backward()
    kernel = expm(-laplacian(dense(data), "random_walk"))
    expected = np.repeat(kernel.sum(axis=0)[:, None], 3, axis=1)
    np.testing.assert_allclose(data.x.grad.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"edge_index": None}, TypeError, "data must have edge_index, a tensor, and num_nodes"),
        ({"edge_types": []}, TypeError, "several types of nodes; use data.to_homogeneous"),
        ({"edge_index": torch.zeros(2, 40)}, ValueError, r"integers \(2, E\), got \(2, 40\) of"),
        ({"edge_index": torch.zeros(40, 2).long()}, ValueError, r"\(2, E\), got \(40, 2\)"),
        ({"num_nodes": 4, "x": torch.ones(4, 1)}, ValueError, "must join nodes 0 to 3, got 0 to 8"),
        ({"edge_weight": torch.ones(3)}, ValueError, r"edge_weight must be \(40,\).*got \(3,\)"),
        ({"edge_weight": -torch.ones(40)}, ValueError, "finite and >= 0, got -1.0"),
        ({"edge_weight": torch.full((40,), torch.nan)}, ValueError, "finite and >= 0, got nan"),
        ({"x": None}, TypeError, r"data.x must be a tensor \(N, d\), got NoneType"),
        ({"x": torch.ones(12, 3).long()}, TypeError, r"got torch.int64; use data.x.float\(\)"),
        ({"x": torch.ones(12)}, ValueError, r"data.x must be \(12, d\), got \(12,\)"),
    ],
)
def test_bad_data_are_refused(change, error, words):
    data = graph(0)
    vars(data).update(change)
    with pytest.raises(error, match=words) as refused:
        HeatKernelDiffusion()(data)
    assert "\n" not in str(refused.value)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="normalization must be one of none, symmetric"):
        HeatKernelDiffusion(normalization="sym")
    with pytest.raises(TypeError, match=r"attrs must be names of attributes.*got 'x'"):
        HeatKernelDiffusion(attrs="x")
    with pytest.raises(ValueError, match="symmetrize must be 'mean', 'max' or None, got 'sum'"):
        HeatKernelDiffusion(symmetrize="sum")
    with pytest.raises(ValueError, match="eta must be"):
        HeatKernelDiffusion(-1.0)


class TestPyTorchGeometric:
    """With the library itself."""

    @pytest.fixture(autouse=True)
    def _library(self):
        pytest.importorskip("torch_geometric")

    def data(self, seed=0):
        from torch_geometric.data import Data

        drawn = graph(seed, dtype=torch.float32)
        return Data(x=drawn.x, edge_index=drawn.edge_index, edge_weight=drawn.edge_weight)

    def test_it_is_the_diffusion_of_gdc(self):
        from torch_geometric.transforms import GDC

        data = self.data()
        pairs = to_graph(data)  # GDC wants neither loops nor repeated edges
        gdc = GDC(self_loop_weight=0, normalization_in="sym", normalization_out=None, exact=True)
        ends, weights = gdc.transition_matrix(pairs.edge_index.long(), pairs.edge_weight, 12, "sym")
        kernel = gdc.diffusion_matrix_exact(ends, weights, 12, method="heat", t=0.7)
        found = HeatKernelDiffusion(0.7)(data).x
        joined = to_graph(data).deg > 0  # GDC lets the features of isolated nodes decay
        torch.testing.assert_close(found[joined], (kernel @ data.x)[joined], rtol=0, atol=1e-5)

    def test_compose_and_batches(self):
        from torch_geometric.data import Batch
        from torch_geometric.transforms import Compose, ToUndirected

        transform = Compose([ToUndirected(), HeatKernelDiffusion()])
        each = [transform(self.data(seed)) for seed in range(3)]
        batch = transform(Batch.from_data_list([self.data(seed) for seed in range(3)]))
        torch.testing.assert_close(batch.x, torch.cat([one.x for one in each]))
        assert type(batch).__name__ == "DataBatch"

    @pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
    def test_several_types_of_nodes_and_sparse_tensors_are_refused(self):
        from torch_geometric.data import HeteroData
        from torch_geometric.transforms import ToSparseTensor

        data = HeteroData()
        data["paper"].x = torch.ones(3, 1)
        data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1], [1, 0]])
        with pytest.raises(TypeError, match="HeteroData has several types of nodes"):
            to_graph(data)
        with pytest.raises(TypeError, match="adj_t comes before ToSparseTensor"):
            to_graph(ToSparseTensor(layout=torch.sparse_csr)(self.data()))

    def test_an_edge_index_of_its_own_type(self):
        from torch_geometric import EdgeIndex

        data = self.data()
        expected = to_graph(data).to_dense()
        data.edge_index = EdgeIndex(data.edge_index, sparse_size=(12, 12))
        assert torch.equal(to_graph(data).to_dense(), expected)
