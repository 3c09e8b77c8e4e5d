"""Arrays and tables in files that are written whole or not at all."""

from hopcore.files._files import write_whole

__all__ = [
    "write_whole",
]
