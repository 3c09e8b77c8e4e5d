"""Commands that are imported when they are run: the help lists them without importing anything."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup

from hopcore.experiments.examples import examples


class Listed(NamedTuple):
    """What the help says of a command, and where its function or its group of commands is.

    Attributes
    ----------
    place : str
        ``"module:name"`` of a function, or of a :class:`typer.Typer` with more commands.
    panel : str
        The panel of the help in which it is listed.
    summary : str
        The first lines of its help.
    examples : tuple of str
        Command lines without the word ``hopcore``.
    """

    place: str
    panel: str
    summary: str
    examples: tuple[str, ...]


class Loaded(dict[str, Any]):
    """The commands of a table by their names; each is imported when it is looked up."""

    def __init__(self, table: Mapping[str, Listed]) -> None:
        super().__init__(dict.fromkeys(table))
        self.table = table

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = command_of(name, self.table[name])
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a command, or the default for a name that is not in the table."""
        if name not in self:
            return default
        return self[name]

    def items(self) -> Iterator[tuple[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Import and yield all commands with their names."""
        return ((name, self[name]) for name in self)

    def values(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Import and yield all commands."""
        return (self[name] for name in self)


def command_of(name: str, listed: Listed) -> Any:
    """Import a command, or a group of commands."""
    found = pkgutil.resolve_name(listed.place)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_command(found)
        command.name, command.rich_help_panel = name, listed.panel
        return command
    single = typer.Typer(add_completion=False)
    options: dict[str, Any] = {"rich_help_panel": listed.panel}
    single.command(name, epilog=examples(*listed.examples), **options)(found)
    return typer.main.get_command(single)


class Entry(TyperCommand):
    """A command as the help lists it, which becomes the command itself when it is run."""

    def __init__(self, name: str, listed: Listed, commands: Loaded) -> None:
        super().__init__(name, help=listed.summary, rich_help_panel=listed.panel)
        self.commands_of_group = commands

    def make_context(self, info_name: str | None, *given: Any, **named: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Import the command, and parse its arguments."""
        return self.commands_of_group[cast(str, self.name)].make_context(info_name, *given, **named)


class LazyGroup(TyperGroup):
    """A group whose commands are those of a table."""

    table: ClassVar[Mapping[str, Listed]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Loaded(self.table)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the table, in its order."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return what the help lists; nothing is imported."""
        listed = self.table.get(cmd_name)
        return None if listed is None else Entry(cmd_name, listed, self.commands)
