"""``hopcore train``: a classifier of images, trained at a temperature that is annealed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hopcore.experiments import training_picture as run_report
from hopcore.experiments.data import datasets
from hopcore.experiments.data.datasets import split_images
from hopcore.experiments.models.image_classifiers import CLASSIFIERS
from hopcore.experiments.options import (
    AsJson,
    Batch,
    Data,
    Dataset,
    Device,
    Epochs,
    Rate,
    TrainingBackend,
    show_json,
)
from hopcore.experiments.parsing import integers, one_of
from hopcore.files._files import check_places
from hopcore.training._classifier import Classifier
from hopcore.training._config import PATHS, SCHEDULES, TrainConfig
from hopcore.training._run import Moment, Run, Watch
from hopcore.training._run_files import BEST, HISTORY, LAST, Epoch, read_run

TEMPERATURES = {"vq": (1.0, 0.1)}
"""Default first and last temperatures of models other than 0.1 and 0.001."""

INTERRUPTED = 130
"""The exit status of a program that was interrupted."""

RESUME_OPTIONS = {"resume", "data", "device", "plot", "as_json"}
"""Options that may be given to a resumed run."""


def train(
    context: typer.Context,
    dataset: Dataset = "digits",
    data: Data = None,
    model: Annotated[str, typer.Option(help=", ".join(CLASSIFIERS))] = "hnm",
    backend: TrainingBackend = "torch",
    device: Device = None,
    epochs: Epochs = 40,
    batch_size: Batch = 32,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of AdamW.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of AdamW.")] = 1e-2,
    rate: Rate = "cosine",
    clip_norm: Annotated[
        float, typer.Option(help="Largest norm of the gradients; 0: no clipping.")
    ] = 1.0,
    schedule: Annotated[
        str, typer.Option(help=f"Schedule of the temperature: {', '.join(SCHEDULES)}.")
    ] = "cosine",
    temp_start: Annotated[
        float | None, typer.Option(help="Default: 0.1 (1.0 for vq).", show_default=False)
    ] = None,
    temp_end: Annotated[
        float | None, typer.Option(help="Default: 0.001 (0.1 for vq).", show_default=False)
    ] = None,
    temp_anneal_steps: Annotated[
        int | None, typer.Option(help="Steps from start to end; default: all.")
    ] = None,
    factor: Annotated[float, typer.Option(help="Factor per epoch, if geometric.")] = 0.97,
    floor: Annotated[float, typer.Option(help="Lower bound of the temperature.")] = 0.0,
    warmup: Annotated[int, typer.Option(help="Epochs before annealing starts.")] = 0,
    freeze_after: Annotated[
        int | None, typer.Option(help="Epochs after which the temperature is constant.")
    ] = None,
    path: Annotated[
        str, typer.Option(help=f"The path that trains: {' or '.join(PATHS)} (straight-through).")
    ] = "soft",
    gumbel: Annotated[bool, typer.Option("--gumbel", help="Add Gumbel noise.")] = False,
    select: Annotated[
        str, typer.Option(help="The path whose accuracy makes an epoch the best.")
    ] = "hard",
    widths: Annotated[
        str | None, typer.Option(help="Widths between the layers of hnm or mlp; 0: no such layers.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of all draws.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; default: MODEL-DATASET-BACKEND-SEED."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue the run in this folder, with its settings."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="A picture of the run, PNG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a classifier of images at an annealed temperature.

    After every epoch its folder holds last.safetensors, from which an interrupted run continues,
    best.safetensors, and history.csv.
    """
    folder = resume or out or Path(f"{model}-{dataset}-{backend}-{seed}")
    files = {f"the run ({name})": folder / name for name in (LAST, BEST, HISTORY)}
    check_places({"--plot": plot}, {**files, **datasets.files_in(data)})
    if resume is not None:
        run = resumed(context, resume, data, device)
    else:
        start, end = TEMPERATURES.get(model, (0.1, 1e-3))
        config = TrainConfig(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, rate=rate, clip_norm=clip_norm or None, schedule=schedule,
            temp_start=start if temp_start is None else temp_start,
            temp_end=end if temp_end is None else temp_end,
            temp_anneal_steps=temp_anneal_steps, factor=factor, floor=floor, warmup=warmup,
            freeze_after=freeze_after, path=path, gumbel=gumbel, select=select, seed=seed,
        )  # fmt: skip
        images = datasets.load(dataset, data)
        run = Run(
            classifier(model, images.shape, widths), config, *split_images(images, seed),
            backend=backend, device=device, about={"dataset": dataset},
            folder=folder,
        )  # fmt: skip
    assert run.folder is not None
    history = list(run.history)
    try:
        console = Console(stderr=True)
        with progress_bar(run.config.epochs, console) as watch:
            for epoch in run.epochs(watch):
                history.append(epoch)
                console.print(line_of(epoch, run), highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        kept = f"{len(history)} epochs are kept: hopcore train --resume {run.folder}"
        typer.echo(f"interrupted in epoch {len(history) + 1}; {kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if plot is not None:
        run_report.draw(history, f"{run.model.KIND}, {run.about['dataset']}, {run.backend}", plot)
    if as_json:
        show_json(facts_of(run))
    else:
        typer.echo(summary(run))


def resumed(context: typer.Context, folder: Path, data: Path | None, device: Any) -> Run:
    """Return the run of a folder, which keeps its own settings."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in RESUME_OPTIONS and "COMMANDLINE" in str(context.get_parameter_source(name))
    ]
    if given:
        raise ValueError(f"a run that is resumed keeps its settings: leave out {', '.join(given)}")
    saved = read_run(folder / LAST)
    images = datasets.load(saved.about.get("dataset", ""), data)
    samples = split_images(images, saved.config.seed)
    return Run.resumed(folder, *samples, models=CLASSIFIERS, device=device)


def classifier(model: str, shape: tuple[int, int], widths: str | None) -> Classifier:
    """Return a classifier by its name, for images of a shape."""
    one_of(model, CLASSIFIERS, "model")
    if model == "cnn":
        given: dict[str, Any] = {"shape": shape}
    else:
        given = {"size": shape[0] * shape[1]}
    if widths is not None:
        if model not in ("hnm", "mlp"):
            raise ValueError(f"widths are of hnm and mlp, got them for {model}")
        given["widths"] = () if widths == "0" else tuple(integers(widths, "widths"))
    return CLASSIFIERS[model](**given)


@contextmanager
def progress_bar(epochs: int, console: Console) -> Iterator[Watch | None]:
    """Show a progress bar for every epoch on a terminal, and none elsewhere."""
    if not console.is_terminal:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    notes = TextColumn("{task.fields[notes]}")
    with Progress(*columns, TimeElapsedColumn(), notes, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, notes="")

        def watch(now: Moment) -> None:
            notes = f"loss: {now.loss:.4f}, acc: {now.accuracy:.4f}{temperatures(now)}"
            bar.update(
                task, description=f"Epoch {now.epoch}/{epochs}", total=now.steps,
                completed=now.step, notes=notes,
            )  # fmt: skip

        yield watch


def temperatures(of: Moment | Epoch) -> str:
    """Return the temperatures as text for a progress bar."""
    found = of.temperatures
    if len(set(found.values())) == 1:
        return f", temp: {next(iter(found.values())):.2e}"
    return "".join(f", {name}: {value:.2e}" for name, value in found.items())


def line_of(epoch: Epoch, run: Run) -> str:
    """Return the results of an epoch in one line."""
    best = "  best" if run.best is epoch else ""
    return (
        f"Epoch {epoch.epoch}/{run.config.epochs}  loss: {epoch.loss:.4f}, "
        f"acc: {epoch.accuracy:.4f}{temperatures(epoch)}  test: soft {epoch.soft:.4f}, "
        f"hard {epoch.hard:.4f}, gap {epoch.gap:+.4f}{best}"
    )


def summary(run: Run) -> str:
    """Return the results of the best and the last epoch, and where their files are."""
    best, folder = run.best, run.folder
    assert best is not None
    assert folder is not None
    last, path = run.history[-1], run.config.select
    return "\n".join(
        (
            f"Training finished: {run.model.KIND} on {run.about['dataset']}, {run.backend}",
            f"  Best test accuracy:  {getattr(best, path):.4f} {path} (epoch {best.epoch}"
            f"{temperatures(best)})",
            f"  Final test accuracy: {getattr(last, path):.4f} {path} (epoch {last.epoch}"
            f"{temperatures(last)}), soft - hard {last.gap:+.4f}",
            f"  Best checkpoint: {folder / BEST}",
            f"  Last checkpoint: {folder / LAST}",
        )
    )


def facts_of(run: Run) -> dict[str, Any]:
    """Return a run for JSON."""
    assert run.best is not None
    return {
        "model": {"kind": run.model.KIND, "settings": run.model.to_dict()},
        "config": run.config.to_dict(),
        "backend": run.backend,
        **run.about,
        "folder": str(run.folder),
        "best": run.best._asdict(),
        "history": [epoch._asdict() for epoch in run.history],
    }
