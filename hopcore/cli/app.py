"""The command line: ``hopcore demo``, ``hopcore retrieve``, ``hopcore experiment ...``.

Results go to the standard output, as a table or, with ``--json``, as one JSON object; progress goes
to the standard error. Bad input is raised; :mod:`hopcore.__main__` makes one line of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hopcore.cli.phase import phase
from hopcore.cli.retrieve import retrieve
from hopcore.cli.train import train
from hopcore.experiments.demo import demo_table, draw_demo, run_demo
from hopcore.experiments.options import AsJson, Backend, Seed, show_json
from hopcore.experiments.registry import COMMANDS
from hopcore.files._files import check_places

app = typer.Typer(
    help="Modern Hopfield networks: store patterns, retrieve them from corrupted queries.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
experiment = typer.Typer(help="Measured experiments on real data.", no_args_is_help=True)
app.add_typer(experiment, name="experiment")
for name, study in COMMANDS.items():
    experiment.command(name)(study)
app.command()(retrieve)
app.command()(train)
app.command()(phase)


@app.command()
def demo(
    seed: Seed = 0,
    stored: Annotated[int, typer.Option(help="How many digits are stored, up to 1,797.")] = 256,
    out: Annotated[Path, typer.Option(help="The picture, a PNG file.")] = Path("hopcore-demo.png"),
    backend: Backend = "numpy",
    as_json: AsJson = False,
) -> None:
    """Store handwritten digits, corrupt them, retrieve them, and draw the result."""
    check_places({"--out": out})
    result = run_demo(seed=seed, stored=stored, backend=backend)
    draw_demo(result, out)
    if as_json:
        facts = {"backend": backend, "stored": stored, "seed": seed, "picture": str(out)}
        show_json(facts | {"rows": [row._asdict() for row in result.rows]})
    else:
        Console().print(demo_table(result))
        typer.echo(f"The picture: {out}")
