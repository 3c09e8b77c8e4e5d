"""One description of a study gives its command, its options, its help and its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from inspect import Parameter, Signature, cleandoc
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_type_hints

import typer
from rich.console import Console, RenderableType

from hopcore import datasets
from hopcore.datasets._sources import files_in
from hopcore.experiments.manifest import command_line, manifest_path, write_manifest
from hopcore.experiments.options import AsJson, Csv, Markdown, Plot, Resume, show_json, tracked
from hopcore.experiments.outputs import check_outputs
from hopcore.files._csv import from_csv, to_csv
from hopcore.files._files import write_whole
from hopcore.files._plain import read_text


class Report(NamedTuple):
    """What a study shows: facts for JSON, something for a terminal, and markdown."""

    facts: dict[str, Any]
    terminal: RenderableType
    markdown: str


@dataclass(kw_only=True)
class Study:
    """A measured experiment: a subclass is one command of the command line.

    Its fields are the options of the command and its docstring is the help. The named tuple ``row``
    gives the columns of its CSV, and ``row_label`` says what one row stands for.
    """

    name: ClassVar[str]
    row: ClassVar[type]
    row_label: ClassVar[str] = "trial"
    example: ClassVar[str] = ""
    """Options that the help of the command shows as an example."""

    csv: Csv = None
    plot: Plot = None
    markdown: Markdown = None
    as_json: AsJson = False

    @property
    def stem(self) -> str:
        """The name of the files of the study, without a suffix."""
        return self.name

    @cached_property
    def csv_path(self) -> Path:
        """Where the CSV is written."""
        return self.csv or Path(f"{self.stem}.csv")

    @cached_property
    def plot_path(self) -> Path:
        """Where the picture is written."""
        return self.plot or Path(f"{self.stem}.png")

    def writes(self) -> dict[str, Path | None]:
        """Return the files that the study writes, by the options that name them."""
        return {
            "--csv": self.csv_path,
            "--csv (manifest)": manifest_path(self.csv_path),
            "--plot": self.plot_path,
            "--markdown": self.markdown,
        }

    def reads(self) -> dict[str, Path | None]:
        """Return the files that the study reads, by the options that name them."""
        return dict(files_in(getattr(self, "data", None)))

    def outcomes(self) -> tuple[Iterable[Any], int]:
        """Check the options; return the rows, which are measured one by one, and their number."""
        raise NotImplementedError

    def measure(self) -> list[Any]:
        """Measure all rows and write the CSV."""
        rows = list(tracked(*self.outcomes()))
        self.write_csv(rows)
        return rows

    def write_csv(self, rows: list[Any]) -> None:
        """Write the CSV."""
        write_text(self.csv_path, to_csv(rows, self.row))

    def report(self, rows: list[Any]) -> Report:
        """Summarise the rows."""
        raise NotImplementedError

    def draw(self, rows: list[Any]) -> None:
        """Draw the picture."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Return lines that say where the results are."""
        written = [f"Wrote {self.csv_path}: every {self.row_label}."]
        if self.markdown is not None:
            written.append(f"Wrote {self.markdown}: the summary.")
        return [
            *written,
            f"Wrote {self.plot_path}: the picture.",
            f"Wrote {manifest_path(self.csv_path)}: how the data were made.",
        ]

    @property
    def command_line(self) -> str:
        """The command line with the options that are not the defaults."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return command_line(self.name, command_of(type(self)), given)

    def run(self) -> None:
        """Measure, write the files and show the summary."""
        check_outputs(self.writes(), self.reads())
        begun = time.perf_counter()
        resumed = getattr(self, "resume", False) and self.csv_path.exists()
        rows = self.measure()
        seconds = time.perf_counter() - begun
        report = self.report(rows)
        write_text(self.markdown, report.markdown)
        self.draw(rows)
        write_manifest(
            self.csv_path, self.command_line, seconds, beside=self.writes(), resumed=resumed
        )
        if self.as_json:
            show_json(report.facts)
        else:
            show = typer.echo if isinstance(report.terminal, str) else Console().print
            show(report.terminal)
            typer.echo("\n".join(self.notes()))


@dataclass(kw_only=True)
class ResumableStudy(Study):
    """A study that writes its CSV after each case, and can continue from that file."""

    case: ClassVar[type]
    """The named tuple of a case; its fields are the first columns of the CSV."""

    resume: Resume = False

    def cases(self) -> list[Any]:
        """Check the options and return all cases that the study measures."""
        raise NotImplementedError

    def rows_of_cases(self, cases: list[Any]) -> Iterator[list[Any]]:
        """Measure the cases one by one, and yield the rows of each."""
        raise NotImplementedError

    def measure(self) -> list[Any]:
        """Measure the cases that are not in the CSV, and return the rows of the CSV."""
        cases = self.cases()
        rows = self.rows_in_file() if self.resume else []
        count = len(get_type_hints(self.case))
        done = {row[:count] for row in rows}
        left = [case for case in cases if tuple(case) not in done]
        for measured in tracked(self.rows_of_cases(left), len(left)):
            rows.extend(measured)
            self.write_csv(rows)
        return self.rows_in_file()  # rounded as in the file, so that the summary agrees with it

    def rows_in_file(self) -> list[Any]:
        """Return the rows of the CSV."""
        return read_rows(self.csv_path, self.row)


def read_rows(path: Path, kind: type) -> list[Any]:
    """Return the rows of a CSV file, or none if there is no such file."""
    if not path.exists():
        return []
    text = read_text(path)
    try:
        return from_csv(text, kind)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_text(path: Path | None, text: str) -> None:
    """Write a whole text file, or nothing if the path is None."""
    if path is not None:
        write_whole(path, lambda file: file.write(text.encode()))


def load_images(study: Any) -> datasets.Images:
    """Return the images that the options ``dataset`` and ``data`` of a study name."""
    return datasets.load(study.dataset, study.data)


def command_of(study: type[Study]) -> Callable[..., None]:
    """Return a function whose parameters are the fields of a study, for typer to make a command.

    The fields of the subclass come before those that all studies share.
    """
    shared = {field.name for field in fields(ResumableStudy)}
    hints = get_type_hints(study, include_extras=True)

    def command(**options: Any) -> None:
        study(**options).run()

    parameters = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in sorted(fields(study), key=lambda field: field.name in shared)
    ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = f"{cleandoc(study.__doc__ or '')}\n\nSeparate the values of a list by commas."
    return command
