"""Arrays and tables in files that are written whole or not at all."""

from hopcore.files._csv import from_csv, to_csv
from hopcore.files._files import read_array, write_whole
from hopcore.files._safetensors import read_tensors, write_tensors

__all__ = [
    "from_csv",
    "read_array",
    "read_tensors",
    "to_csv",
    "write_tensors",
    "write_whole",
]
