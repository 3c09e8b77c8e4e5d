"""Bags of features from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hopcore.experiments.data.bags import padded
from hopcore.experiments.models.bag_classifier import Bags
from hopcore.files._arrays import read_archive


def read_bags(path: Path) -> Bags:
    """Bags from an ``.npz`` file; nothing is unpickled.

    Parameters
    ----------
    path : Path
        Holds ``features`` (n, d), and ``bag`` and ``label`` (n,): the number of an instance's bag,
        and the bag's label, 0 or 1.

    Returns
    -------
    Bags
        In the order of their numbers.

    Raises
    ------
    ValueError
        Not such a file; values that are not finite; a bag with two labels.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from hopcore.experiments.data import bag_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.npz"
    ...     np.savez(path, features=np.ones((3, 4)), bag=[7, 7, 8], label=[1, 1, 0])
    ...     bag_files.read_bags(path).padding.tolist()
    [[False, False], [False, True]]
    """
    features, bag, label = arrays_of(path, ("features", "bag", "label"))
    count = len(features) if features.ndim == 2 else 0
    if count == 0 or bag.shape != (count,) or label.shape != (count,):
        raise ValueError(
            f"{path} must hold features (n, d), bag (n,) and label (n,), "
            f"got {features.shape}, {bag.shape} and {label.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"the features of {path} must be finite")
    if not np.isin(label, (0, 1)).all():
        raise ValueError(f"the labels of {path} must be 0 or 1, got {np.unique(label)[:5]}")
    numbers, first, inverse = np.unique(bag, return_index=True, return_inverse=True)
    target = label[first]
    if (target[inverse] != label).any():
        which = bag[target[inverse] != label][0]
        raise ValueError(f"bag {which} of {path} has two labels")
    return padded([features[bag == number] for number in numbers], target)


def arrays_of(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of numbers by their names in an ``.npz`` file."""
    archive = read_archive(path, names)
    found = [archive[name] for name in names]
    for name, array in zip(names, found, strict=True):
        if array.dtype.kind not in "iufb":
            raise ValueError(f"{name} of {path} must be numbers, got {array.dtype}")
    return found
