"""``hopcore experiment``: the studies of the documentation, a command for each."""

from __future__ import annotations

import typer

from hopcore.experiments.examples import examples
from hopcore.experiments.registry import COMMANDS, EXAMPLES

experiment = typer.Typer(
    help="Repeat the studies of the documentation. Each uses real data and gives a table and a "
    "picture.",
    epilog=examples("experiment latch", "experiment retrieval --dataset digits --csv trials.csv"),
    no_args_is_help=True,
    add_completion=False,
)
for name, study in COMMANDS.items():
    experiment.command(name, epilog=examples(f"experiment {EXAMPLES[name]}"))(study)
