"""The clients of hopfield-layers that are trained with both libraries, and what differs.

``python tests/peers/clients.py CLONES [MNIST]`` prints a row for each, as on the page. ``CLONES``
is a folder with clones of the repositories, ``MNIST`` one with the images of MNIST.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import client_models as models
from client_notebooks import EPOCHS, train
from client_shims import DIFFERENCES, Difference, difference

LIBRARY = "hopfield-layers"
CLIENTS = {
    "hopular": models.hopular,
    "cloob": models.cloob,
    "DeepRC": models.deeprc,
    "mhn-react": models.mhnreact,
}
"""By the names of their repositories."""

IMPORTING = "hopular", "cloob"
"""Those that import hopfield-layers; the others contain an association of their own."""


def of_notebook(
    clones: Path, name: str, without: Collection[str], mnist: Path | None = None
) -> dict[str, Difference]:
    """The difference of each network of a notebook, by the name of the picture of its losses."""
    run = partial(train, clones / LIBRARY, name, without=without, folder=mnist)
    theirs, ours = run(hopcore=False), run(hopcore=True)
    assert theirs.keys() == ours.keys()
    return {key: difference(one, ours[key]) for key, one in theirs.items()}


def of_client(clones: Path, name: str) -> Difference:
    """The difference of a client; none has to be removed from those that import the library."""
    run = partial(CLIENTS[name], clones / name)
    if name in IMPORTING:
        run = partial(CLIENTS[name], clones / LIBRARY, clones / name)
    return difference(run(hopcore=False), run(hopcore=True))


def rows(clones: Path, mnist: Path | None) -> Iterator[str]:
    for name in EPOCHS:
        for without in ((), DIFFERENCES[:1], DIFFERENCES):
            for key, found in of_notebook(clones, name, without, mnist).items():
                yield f"{name} {key}, without {', '.join(without) or 'nothing'}: {found}"
    for name in CLIENTS:
        yield f"{name}: {of_client(clones, name)}"


if __name__ == "__main__":
    folders = [Path(x).resolve() for x in sys.argv[1:]]
    for row in rows(folders[0], folders[1] if len(folders) > 1 else None):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
