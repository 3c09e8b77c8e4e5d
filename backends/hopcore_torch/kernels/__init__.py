"""torch's kernels, which hopcore finds when it is given tensors."""

from hopcore_torch.kernels._backend import TorchBackend

__all__ = [
    "TorchBackend",
]
