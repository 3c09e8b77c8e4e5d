"""The examples at the end of the help of a command."""

from __future__ import annotations


def examples(*commands: str) -> str:
    """Return the end of a help text, with examples of the command."""
    return "\n\n".join(f"Example: hopcore {command}" for command in commands)
