"""Right and wrong uses of hopcore, for type checkers: a line that ends in "wrong" is an error.

``test_typing.py`` runs the checkers on this file. Nobody runs the file itself.
"""

from __future__ import annotations

from typing import assert_type

import jax
import numpy as np
import torch

import hopcore
import hopcore_jax
import hopcore_torch

x = np.ones((3, 4))
t = torch.ones(3, 4)
j = jax.numpy.ones((3, 4))
streamed = hopcore.Streamed("patterns.npy")

# An array of a library gives an array of this library.
assert_type(hopcore.association(t, t, beta=1.0), torch.Tensor)
assert_type(hopcore.association(j, j, beta=1.0), jax.Array)
assert_type(hopcore.association(t, t, beta=1.0, return_lse=True), tuple[torch.Tensor, torch.Tensor])
assert_type(hopcore.update(t, t, torch.ones(3)), torch.Tensor)
assert_type(hopcore.association_weights(j, j, 2), jax.Array)
assert_type(hopcore.energy(t, t, 1.0), torch.Tensor)
assert_type(hopcore.energy_gradient(j, j, 1.0, separation=hopcore.Entmax(1.5)), jax.Array)
assert_type(hopcore.lse(1.0, t), torch.Tensor)
assert_type(hopcore.separate(t, "sparsemax"), torch.Tensor)
assert_type(hopcore.retrieve(t, t, 1.0), hopcore.Retrieval[torch.Tensor])
assert_type(hopcore.retrieve(j, j, 1.0, gradient="implicit").state, jax.Array)
numbers: np.ndarray = hopcore.association(x, x, beta=1.0)
best = hopcore.retrieve(x, streamed, 8.0).state + 1.0
parts = [hopcore.association(t, t, beta=1.0, return_lse=True)]
assert_type(hopcore.merge_associations(parts), tuple[torch.Tensor, torch.Tensor])
masked = hopcore.update(x, x, np.float32(2.0), mask=np.ones((3, 3), bool)).sum()

hopcore.retrieve("not an array", x, 1.0)  # wrong
hopcore.retrieve(x, "not an array", 1.0)  # wrong
hopcore.retrieve(x, x, "1")  # wrong
assert_type(hopcore.retrieve(t, t, "auto"), hopcore.Retrieval[torch.Tensor])
hopcore.retrieve([[1.0, 0.0]], x, 1.0)  # wrong
hopcore.retrieve(x, x, 1.0, separation="sparsmax")  # wrong
hopcore.retrieve(x, x, 1.0, gradient="exact")  # wrong
hopcore.retrieve(x, x, 1.0, max_step=3)  # wrong
hopcore.energy(x, x)  # wrong
hopcore.separate("softmax")  # wrong
hopcore.association(x, x, beta=None)  # wrong
wrong: torch.Tensor = hopcore.association(j, j, beta=1.0)  # wrong

# Graphs, diffusion and layers as functions.
graph = hopcore.knn_graph(t, 2, method="exact")
assert_type(hopcore.compute_laplacian(graph), hopcore.Laplacian)
assert_type(hopcore.compute_laplacian(t), torch.Tensor)
assert_type(hopcore.build_similarity_matrix(j), jax.Array)
assert_type(hopcore.dirichlet_energy(t, graph), torch.Tensor)
assert_type(hopcore.apply_diffusion(j, j, 0.1, "implicit"), jax.Array)
assert_type(hopcore.diffused_retrieve(t, t, 1.0).output, torch.Tensor)
settings = hopcore.HopfieldSettings(input_size=4)
parameters = hopcore.initial_parameters(settings)
assert_type(hopcore.hopfield(settings, parameters, t), torch.Tensor)
assert_type(hopcore.layers.hopfield_weights(settings, parameters, j, j), jax.Array)

hopcore.knn_graph(x, 2, method="fast")  # wrong
hopcore.knn_graph("patterns.npy", 2)  # wrong
hopcore.apply_diffusion(x, x, 0.1, "exact")  # wrong
hopcore.diffused_retrieve("x", x, 1.0)  # wrong
hopcore.hopfield(settings, parameters, "x")  # wrong
hopcore.hopfield(parameters, settings, t)  # wrong
hopcore.schedules.temperature_profile("cold", 2)  # wrong
hopcore.schedules.compute_annealed_temperature(1, 2, 0.1, 0.01, "sudden")  # wrong
hopcore.suggest_beta(x, "store")  # wrong
hopcore.suggest_beta("patterns.npy")  # wrong

# Settings.
hopcore.HopfieldSettings(input_size=32, separation=1.5, association_activation="gelu")
hopcore.DiffusionConfig(diffusion_mode="spectral", adaptive_eta="query")
hopcore.HopfieldSettings(inptu_size=32)  # wrong
hopcore.HopfieldSettings(input_size=32, separation="sparsmax")  # wrong
hopcore.HopfieldSettings(input_size=32, association_activation="swish")  # wrong
hopcore.DiffusionConfig(diffusion_mode="exact")  # wrong

# Modules of torch.
layer = hopcore_torch.Hopfield(32, 8, num_heads=4, scaling=torch.nn.Parameter(torch.ones(4)))
assert_type(hopcore_torch.Hopfield.of(layer.settings, dtype=torch.float64), hopcore_torch.Hopfield)
hopcore_torch.HopfieldPooling(32, num_heads=4, quantity=2, separation="sparsemax", device="cpu")
hopcore_torch.HopfieldLayer(32, num_pattern_repetitions=5)
hopcore_torch.DiffusedHopfield(32, eta=0.2, diffusion_mode="chebyshev")
hopcore_torch.HopfieldCore(32, 4, 0.1, kdim=16)
hopcore_torch.HopfieldEncoderLayer(32, 4, batch_first=True, update_steps_max=3)
hopcore_torch.HopfieldEncoderLayer(layer, dim_feedforward=64)
hopcore_torch.HopfieldDecoderLayer(layer, layer, 64, 0.1, "gelu")
hopcore_torch.LearnableTemperatureAttention(32, 4, 2.0, dropout=0.1)
hopcore_torch.HNL(input_size=8, output_size=3, separation=1.5)
hopcore_torch.HNM(input_size=8, output_size=3, widths=(16, 16))
hopcore_torch.VectorQuantizer(input_size=8, groups=2, dtype=torch.float64)

hopcore_torch.Hopfield(inptu_size=32)  # wrong
hopcore_torch.Hopfield("32")  # wrong
hopcore_torch.Hopfield(32, n_heads=4)  # wrong
hopcore_torch.Hopfield(32, separation="sparsmax")  # wrong
hopcore_torch.Hopfield(32, dtype="float32")  # wrong
hopcore_torch.Hopfield(32, 8, 32, 8, 4, 1.0, 0, 1e-4, True)  # wrong
hopcore_torch.HopfieldPooling(32, trainabel=False)  # wrong
hopcore_torch.DiffusedHopfield(32, diffusion_mode="exact")  # wrong
hopcore_torch.HopfieldEncoderLayer(32, 4, activation="swish")  # wrong
hopcore_torch.HNL(8, 3)  # wrong
hopcore_torch.HNL(output_size=3)  # wrong
hopcore_torch.VectorQuantizer(input_size=8, codes=3)  # wrong

# Modules of JAX.
key = jax.random.key(0)
hopcore_jax.Hopfield(32, 8, num_heads=4, key=key, dtype=jax.numpy.float32)
hopcore_jax.HopfieldPooling(32, num_heads=4, quantity=2, key=key, inference=True)
hopcore_jax.DiffusedHopfield(32, eta=0.2, key=key)
hopcore_jax.HopfieldEncoderLayer(32, 4, update_steps_max=3, key=key)
hopcore_jax.HNL(input_size=8, output_size=3, key=key)

hopcore_jax.Hopfield(32, key=key)(j, association_mask=j, inference=True)
hopcore_jax.HopfieldEncoderLayer(32, 4, key=key)(j, src_mask=j, key=key)

hopcore_jax.Hopfield(32, key=key)(j, key_padding_mask=j)  # wrong
hopcore_jax.HopfieldEncoderLayer(32, 4, key=key)(j, is_causal=True)  # wrong
hopcore_torch.Hopfield(32).forward(t, key_padding_mask=t)  # wrong
hopcore_torch.Hopfield(32).forward("x")  # wrong
hopcore_jax.Hopfield(inptu_size=32, key=key)  # wrong
hopcore_jax.Hopfield(32, device="cpu")  # wrong
hopcore_jax.HopfieldPooling(32, quantity="2", key=key)  # wrong
hopcore_jax.HopfieldDecoderLayer(32, nheads=4, key=key)  # wrong
hopcore_jax.HNL(8, 3, key=key)  # wrong

# Pictures and images.
ax = hopcore.plots.energy_landscape(x, 4.0, resolution=20)
hopcore.plots.attention_map(t, ax=ax)
hopcore.plots.gallery(hopcore.datasets.digits().pixels.reshape(-1, 8, 8)[:10], ax=ax)
assert_type(hopcore.datasets.choose(hopcore.datasets.digits(), 10), hopcore.datasets.Images)

hopcore.plots.cobweb(ax, 6.0, 10)  # wrong
hopcore.plots.cobweb(6.0, 10, axes=ax)  # wrong
hopcore.datasets.load(3)  # wrong

# A schedule for a memory.
hopcore.PhaseAware.of_patterns(x, 1.0, 0.01, 100, share=0.8)
hopcore.PhaseAware.of_patterns(x, 1.0, 0.01, 100, shrae=0.8)  # wrong
