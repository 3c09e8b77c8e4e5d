"""Settings of the documentation. A build needs no network: no link into other projects' pages."""

import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from docutils import nodes
from matplotlib.sphinxext.plot_directive import PlotDirective
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# Extensions of these pages, and the benchmarks, whose records some pages show.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

project = "hopcore"
release = metadata.version("hopcore")
author = "The hopcore founders"
copyright = f"2026, {author}"

extensions = [
    "mathml",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "notebooks",
    "package_names",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "summaries",
    "traceability",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"hopcore {release}"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["hopcore.css"]
html_js_files = ["copy.js", "pictures.js"]

# The tables that begin a page of the API link to the entries below, on the same page.
autosummary_generate = False
suppress_warnings = ["autosummary.import_cycle"]

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Pictures are drawn by the code that is shown, with whatever lies outside of the figure.
plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 110)]
plot_rcparams = {"figure.constrained_layout.use": True, "savefig.bbox": "tight"}
plot_apply_rcparams = True

# Types are in the docstrings, with shapes; in signatures they would all be "Any".
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# Attributes' types are words, not classes.
nitpick_ignore_regex = [
    (
        "py:class",
        r"((boolean|integer|float32|float64) )?(NumPy )?array|[BEKLNSdnv]|n \+ 1|\.\.\.|optional"
        r"|\{?\"\w+\"\}?|height \* width|mapping|str to \w+|Dropout|Noise|groups|quantity"
        r"|input_size|n_(classes|samples|clusters|features)|S'|jax\.Array|jax\.sharding\.Mesh|collections\.abc\.Callable",
    )
]

# Examples begin with their imports and data: a reader can paste a page from its top.
trim_doctest_flags = True


def setup(app: Sphinx) -> None:
    """Let the examples write their files into a folder of their own, and draw no pictures."""
    app.connect("builder-inited", draw_no_pictures)
    app.connect("env-updated", leave_for_a_folder)


def draw_no_pictures(app: Sphinx) -> None:
    """Draw no pictures, if the examples are going to be run: the pages draw them."""
    if app.builder.name == "doctest":
        app.add_directive("plot", NoPicture, override=True)


class NoPicture(PlotDirective):
    """The code of a picture that is not drawn."""

    def run(self) -> list[nodes.Node]:
        """Return the code as an example, which is run with the others of its page."""
        code = "\n".join(self.content)
        return [nodes.doctest_block(code, code)] if ">>>" in code else []


def leave_for_a_folder(app: Sphinx, env: BuildEnvironment) -> None:
    """Leave the checkout, if the examples are going to be run."""
    if app.builder.name == "doctest":
        os.chdir(tempfile.mkdtemp())
