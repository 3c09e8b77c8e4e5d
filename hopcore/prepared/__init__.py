"""Memories that are prepared once: they grow and shrink, and certify their answers.

A :class:`Memory` stands wherever stored patterns do. It checks patterns once, keeps what does not
depend on the states, and may leave out patterns that are shown to have next to no weight.
"""

from hopcore.prepared._calibration import Calibration
from hopcore.prepared._calls import Visits
from hopcore.prepared._compaction import Compacted
from hopcore.prepared._memory import Memory

__all__ = [
    "Calibration",
    "Compacted",
    "Memory",
    "Visits",
]
