"""Pictures. Functions take matplotlib's Axes and return them; matplotlib is imported on use."""

from hopcore.plots.critical import critical_distribution
from hopcore.plots.diagram import phase_diagram
from hopcore.plots.images import attention_map, frame, gallery
from hopcore.plots.landscape import energy_landscape
from hopcore.plots.lines import Curve, curves, over, temperature_history
from hopcore.plots.reduced import cobweb
from hopcore.plots.style import (
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
from hopcore.plots.sweeps import minima_over_beta, sharpness_over_beta

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
    "temperature_history",
]
