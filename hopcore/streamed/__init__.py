"""Memories that are larger than the machine: files, HDF5, Zarr and Dask arrays.

A :class:`Streamed` memory is passed in place of stored patterns and is read one piece at a time.
"""

from hopcore.streamed._backend import Streamed

__all__ = [
    "Streamed",
]
