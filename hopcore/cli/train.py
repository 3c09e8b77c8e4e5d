"""``hopcore train``: a classifier of images, trained at a temperature that is annealed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hopcore import datasets
from hopcore.cli.training_lines import facts_of, finished_line, line_of, progress_bar, summary
from hopcore.datasets._images import split_three
from hopcore.datasets._sources import files_in
from hopcore.experiments import training_picture as run_report
from hopcore.experiments.models.image_classifiers import CLASSIFIERS
from hopcore.experiments.options import (
    INPUT,
    METHOD,
    OUTPUT,
    TRAINING,
    AsJson,
    Batch,
    Data,
    Dataset,
    Device,
    Epochs,
    Rate,
    TrainingBackend,
    option,
    show_json,
)
from hopcore.experiments.outputs import check_outputs, say_written
from hopcore.experiments.parsing import integers, one_of
from hopcore.experiments.trained import accuracies, open_run
from hopcore.training._classifier import Classifier
from hopcore.training._config import PATHS, SCHEDULES, TrainConfig
from hopcore.training._epoch_loop import Run
from hopcore.training._run_files import BEST, HISTORY, LAST, read_run

TEMPERATURES = {"vq": (1.0, 0.1)}
"""Default first and last temperatures of models, if they are not 0.1 and 0.001."""

INTERRUPTED = 130
"""The exit status of a program that was interrupted."""

RESUME_OPTIONS = {"resume", "data", "device", "plot", "as_json"}
"""Options that may be given to a resumed run."""

WRITTEN = {
    BEST: "the classifier after its best epoch",
    LAST: "the run after its last epoch",
    HISTORY: "loss, accuracies and temperatures of every epoch",
}
"""The files of a run, and the content of each."""

ANNEALING = "How the temperature falls"
"""The panel of the options of the schedule."""


def train(
    context: typer.Context,
    dataset: Dataset = "digits",
    data: Data = None,
    resume: Annotated[
        Path | None,
        option(INPUT, "Continue the interrupted run in this folder, with its own settings."),
    ] = None,
    model: Annotated[
        str,
        option(
            METHOD, "The classifier: hnm (Hopfield layers), vq (a bottleneck of codes and "
            "symbols), mlp or cnn (networks without a memory, for comparison).",
        ),
    ] = "hnm",
    widths: Annotated[
        str | None,
        option(
            METHOD, "Numbers of features between the layers of hnm or mlp, separated by commas; "
            "0 stands for a single layer.",
        ),
    ] = None,
    path: Annotated[
        str,
        option(
            METHOD, f"The path that is trained: {' or '.join(PATHS)}. Soft averages the stored "
            "patterns; hard chooses one of them, with straight-through gradients.",
        ),
    ] = "soft",
    gumbel: Annotated[
        bool, option(METHOD, "Add Gumbel noise to the scores during training.", "--gumbel")
    ] = False,
    select: Annotated[
        str,
        option(
            METHOD, "The path whose validation accuracy decides which epoch is the best: soft or "
            "hard.",
        ),
    ] = "hard",
    epochs: Epochs = 40,
    batch_size: Batch = 32,
    learning_rate: Annotated[
        float, option(TRAINING, "The learning rate of AdamW at the start.")
    ] = 1e-3,
    rate: Rate = "cosine",
    weight_decay: Annotated[float, option(TRAINING, "The weight decay of AdamW.")] = 1e-2,
    clip_norm: Annotated[
        float,
        option(TRAINING, "Clip gradients to this norm; 0 switches clipping off."),
    ] = 1.0,
    seed: Annotated[
        int,
        option(
            TRAINING, "The seed of the split of the images, the initial parameters, the order of "
            "the batches and the noise.", min=0,
        ),
    ] = 0,
    schedule: Annotated[
        str, option(ANNEALING, f"The schedule: {', '.join(SCHEDULES)}.")
    ] = "cosine",
    temp_start: Annotated[
        float | None,
        option(
            ANNEALING, "The temperature at the start; default: 0.1 (1.0 for vq).",
            show_default=False,
        ),
    ] = None,
    temp_end: Annotated[
        float | None,
        option(
            ANNEALING, "The temperature at the end; default: 0.001 (0.1 for vq).",
            show_default=False,
        ),
    ] = None,
    temp_anneal_steps: Annotated[
        int | None,
        option(ANNEALING, "The number of steps in which it falls; default: all steps."),
    ] = None,
    factor: Annotated[
        float,
        option(ANNEALING, "The factor of the geometric schedule for each epoch."),
    ] = 0.97,
    floor: Annotated[float, option(ANNEALING, "The temperature never falls below this.")] = 0.0,
    warmup: Annotated[
        int, option(ANNEALING, "The number of epochs before the temperature falls.")
    ] = 0,
    freeze_after: Annotated[
        int | None, option(ANNEALING, "The number of epochs after which it stays constant.")
    ] = None,
    backend: TrainingBackend = "torch",
    device: Device = None,
    out: Annotated[
        Path | None,
        option(OUTPUT, "The folder of the run; default: MODEL-DATASET-BACKEND-SEED."),
    ] = None,
    plot: Annotated[
        Path | None,
        option(
            OUTPUT, "A picture of loss, accuracy and temperature over the epochs: .png, .pdf or "
            ".svg.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Train a classifier of images while the temperature of its memory falls.

    Seven tenths of the images are used for training. A tenth are validation images, which decide
    after each epoch whether it is the best so far. A fifth are test images, which are used once, at
    the end.

    After every epoch the folder of the run contains last.safetensors, from which --resume
    continues, best.safetensors, which hopcore predict and hopcore evaluate use, and history.csv.
    """
    folder = resume or out or Path(f"{model}-{dataset}-{backend}-{seed}")
    files = {f"the run ({name})": folder / name for name in (LAST, BEST, HISTORY)}
    check_outputs({"--plot": plot}, {**files, **files_in(data)})
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
        training, validation, test = split_three(images, seed)
        run = Run(
            classifier(model, images.shape, widths), config, training, test, validation=validation,
            backend=backend, device=device, about={"dataset": dataset}, folder=folder,
        )  # fmt: skip
    assert run.folder is not None
    history = list(run.history)
    try:
        console = Console(stderr=True)
        say = finished_line if console.is_terminal else line_of
        with progress_bar(run.config.epochs, console) as watch:
            for epoch in run.epochs(watch):
                history.append(epoch)
                console.print(say(epoch, run, console.width), highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        kept = f"{len(history)} epochs are kept: hopcore train --resume {run.folder}"
        typer.echo(f"interrupted in epoch {len(history) + 1}; {kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    tested = accuracies(open_run(run.folder), run.test)
    if plot is not None:
        run_report.draw(history, f"{run.model.KIND}, {run.about['dataset']}, {run.backend}", plot)
    if as_json:
        show_json(facts_of(run, tested))
    else:
        typer.echo(summary(run, tested))
        for name, what in WRITTEN.items():
            say_written(run.folder / name, what)
        if plot is not None:
            say_written(plot, "a picture of the run")


def resumed(context: typer.Context, folder: Path, data: Path | None, device: Any) -> Run:
    """Return the run of a folder, which keeps its own settings."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in RESUME_OPTIONS and "COMMANDLINE" in str(context.get_parameter_source(name))
    ]
    if given:
        raise ValueError(f"a resumed run keeps its settings: leave out {', '.join(given)}")
    saved = read_run(folder / LAST)
    images = datasets.load(saved.about.get("dataset", ""), data)
    training, validation, test = split_three(images, saved.config.seed)
    return Run.resumed(
        folder, training, test, validation=validation, models=CLASSIFIERS, device=device
    )


def classifier(model: str, shape: tuple[int, int], widths: str | None) -> Classifier:
    """Return a classifier by its name, for images of a shape."""
    one_of(model, CLASSIFIERS, "model")
    if model == "cnn":
        given: dict[str, Any] = {"shape": shape}
    else:
        given = {"size": shape[0] * shape[1]}
    if widths is not None:
        if model not in ("hnm", "mlp"):
            raise ValueError(f"--widths is an option of the models hnm and mlp, got it for {model}")
        given["widths"] = () if widths == "0" else tuple(integers(widths, "widths"))
    return CLASSIFIERS[model](**given)
