"""The command ``hopcore``; also ``python -m hopcore``.

Bad input ends with one line on the standard error and exit code 2, without a traceback. A signal
that asks the process to end (SIGTERM, and SIGHUP of a closed terminal) is treated as Ctrl-C is:
files that are half written are removed. The exit code is 128 plus the number of the signal.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

ENDING = ("SIGTERM", "SIGHUP")
"""The signals that ask a process to end, of which Windows has the first alone."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    with interrupted_by_signals() as received:
        try:
            code = run(args)
        except KeyboardInterrupt:  # outside of a command, where typer turns it into this code
            code = 128 + signal.SIGINT
    sys.exit(128 + received[0] if received else code)


@contextmanager
def interrupted_by_signals() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at the first signal that ends a process; the second one ends it.

    The list that is yielded has the number of the signal once it has come. A program that handles
    or ignores a signal keeps doing so. Only the main thread can receive signals.
    """
    received: list[int] = []
    found = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        found = []
    found = [one for one in found if signal.getsignal(one) == signal.SIG_DFL]

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    for one in found:
        signal.signal(one, interrupt)
    try:
        yield received
    finally:
        for one in found:
            signal.signal(one, signal.SIG_DFL)


def run(args: Sequence[str] | None) -> int:
    """Run the command line and return its exit code; exit where it complains."""
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
    return code if isinstance(code, int) else 0


def complain(line: str) -> NoReturn:
    """Say in one line what was wrong, and exit."""
    if line:  # without a command the help was shown, and that is all
        sys.stderr.write(f"hopcore: {' '.join(line.split())}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
