"""hopcore for torch: the kernels that ``hopcore`` finds when it is handed tensors."""

from hopcore_torch.kernels import TorchBackend

__all__ = ["TorchBackend"]
