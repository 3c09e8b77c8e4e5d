"""Read and write arrays and tables as files.

:func:`write_whole` writes a file completely or leaves the old one as it was; the other writers use
it. :func:`read_array` reads a ``.npy`` file without trusting it: nothing is unpickled, and values
must be finite. :func:`read_tensors` and :func:`write_tensors` do the same for safetensors, and
:func:`to_csv` and :func:`from_csv` convert named tuples to comma-separated values and back.
"""

from hopcore.files._arrays import read_array
from hopcore.files._csv import from_csv, to_csv
from hopcore.files._files import write_whole
from hopcore.files._safetensors import read_tensors, write_tensors

__all__ = [
    "from_csv",
    "read_array",
    "read_tensors",
    "to_csv",
    "write_tensors",
    "write_whole",
]
