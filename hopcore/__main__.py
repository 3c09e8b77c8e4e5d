"""The command ``hopcore``; also ``python -m hopcore``.

Bad input ends with one line on the standard error and exit code 2, without a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        from hopcore.cli.app import app  # noqa: PLC0415  an extra, imported on use

        code = app(args, prog_name="hopcore", standalone_mode=False)
    except ModuleNotFoundError as missing:
        name = str(missing.name).partition(".")[0]
        if name in {"typer", "rich"}:
            complain(f"the command line needs {name}; install it: pip install 'hopcore[demo]'")
        complain(str(missing))
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (ValueError, TypeError) as error:
        complain(str(error))
    except Exception as error:
        # Usage errors; their class has moved between click and typer's own copy of it.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        alike = getattr(error, "possibilities", None) or []
        if alike:  # in the order of their likeness, where click sorts them by name
            complain(f"{getattr(error, 'message', '')}. Did you mean {' or '.join(alike)}?")
        complain(describe())
    sys.exit(code if isinstance(code, int) else 0)


def complain(line: str) -> NoReturn:
    """Say in one line what was wrong, and exit."""
    if line:  # without a command the help was shown, and that is all
        sys.stderr.write(f"hopcore: {' '.join(line.split())}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
