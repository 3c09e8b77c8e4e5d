"""NumPy."""
import array_api_compat.numpy as xp
from hopcore.backend import Backend
class NumpyBackend(Backend):
    def __init__(self): super().__init__("numpy", xp)
