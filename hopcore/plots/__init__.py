"""Pictures, drawn into matplotlib's Axes or into a new figure.

Functions take the Axes as ``ax=`` and return them; arrays may be lists, or arrays of any library.
matplotlib is imported on use.
"""

from hopcore.plots._critical import critical_distribution
from hopcore.plots._diagram import phase_diagram
from hopcore.plots._images import attention_map, frame, gallery
from hopcore.plots._landscape import energy_landscape
from hopcore.plots._lines import Curve, curves, over, temperature_history
from hopcore.plots._reduced import cobweb
from hopcore.plots._statistics import statistics
from hopcore.plots._style import (
    FAILED,
    HAIRLINE,
    INK,
    LINES,
    QUIET,
    caption,
    heading,
    new_figure,
    quiet,
    save,
)
from hopcore.plots._sweeps import minima_over_beta, sharpness_over_beta

__all__ = [
    "FAILED",
    "HAIRLINE",
    "INK",
    "LINES",
    "QUIET",
    "Curve",
    "attention_map",
    "caption",
    "cobweb",
    "critical_distribution",
    "curves",
    "energy_landscape",
    "frame",
    "gallery",
    "heading",
    "minima_over_beta",
    "new_figure",
    "over",
    "phase_diagram",
    "quiet",
    "save",
    "sharpness_over_beta",
    "statistics",
    "temperature_history",
]
