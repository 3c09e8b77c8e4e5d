"""A memory that is checked once, grows and shrinks, and says how far an answer may be off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hopcore.arrays import BY_TYPE, AnyArray
from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._scalar_checks import as_number
from hopcore.memory import Separation, Similarity, get_separation
from hopcore.memory._scores import check_similarity
from hopcore.phase import suggest_beta
from hopcore.prepared._asking import Asking
from hopcore.prepared._backend import PREPARED
from hopcore.prepared._calibrating import Calibrating
from hopcore.prepared._calibration import Calibration
from hopcore.prepared._calls import register
from hopcore.prepared._checks import Key, as_bias, as_keys, as_rows
from hopcore.prepared._compaction import Compacted, compacted
from hopcore.prepared._file import read, write
from hopcore.prepared._file_rows import FileRows
from hopcore.prepared._file_sketch import Numbers, file_rows, file_snapshot, sample_of
from hopcore.prepared._file_snapshot import refuse_streamed
from hopcore.prepared._rows import New, Settings
from hopcore.streamed import Streamed


@suggest_names
class Memory(Asking, Calibrating):
    r"""Stored patterns that are prepared once, and to which patterns can be added and removed.

    A memory stands wherever functions take stored patterns: :func:`hopcore.association`,
    :func:`hopcore.association_weights`, :func:`hopcore.update`, :func:`hopcore.energy`,
    :func:`hopcore.energy_gradient`, :func:`hopcore.statistics`, :func:`hopcore.retrieve` and
    :func:`hopcore.suggest_beta`. These functions use the similarity, the separation function and
    the projections of the memory. The states may be arrays of any library.

    Parameters
    ----------
    stored : array (N, d) or Streamed
        Stored patterns, float32 or float64, which are copied. N may be 0. Those of a
        :class:`hopcore.Streamed` memory stay where they are; see the notes.
    values : array (N, v) or Streamed, optional
        Pattern projections, which :func:`hopcore.association` averages; the patterns if not given.
        They may be streamed where the patterns are.
    keys : sequence of str or int, optional
        A name for each pattern, by which it is removed or replaced; 0, 1, ... if not given.
    similarity : {"distance", "dot"}
        How states are compared with patterns.
    separation : str or separation function
        As in :func:`hopcore.association`.
    beta : float or "auto"
        The inverse temperature where a call gives none; that of :func:`hopcore.suggest_beta` for
        ``"auto"``, or 1 where there is no pattern yet. For streamed patterns, ``"auto"`` is that
        of at most 2,048 evenly spaced ones.
    error : float
        How far an association may be from the exact one because patterns are left out. With 0 no
        pattern is left out. With more, a call on states of NumPy reads only the patterns that may
        matter, and a few numbers of the others; see the notes.
    bias : array (N,), optional
        A number that is added to the score of each pattern, as in :func:`hopcore.association`.

    Raises
    ------
    TypeError, ValueError
        Patterns that are not real floating, not finite, or of half precision; keys that repeat or
        are not strings or integers; bad options; a streamed Dask array. Where patterns are
        streamed, every call raises if their file has changed.

    Notes
    -----
    With ``error=0`` the results are those of the plain patterns; what does not depend on the states
    (checks, the mean, keys, norms, copies on a device) is computed once.

    With ``error > 0`` and the softmax, patterns are left out that have together so little weight
    that the result moves by at most ``error``. This is certain: the patterns are bounded by a few
    principal coordinates, with all roundings (:doc:`/spec/prepared`). The method
    :meth:`association` returns the certificate. With sparse separation functions (entmax), only
    patterns of weight 0 are left out. Where too few patterns can be left out, above all at low
    inverse temperatures, all of them are read.

    Threads may read a memory while one thread changes it. A call uses the patterns that were there
    when it began. A method that raises an error leaves the memory as it was.

    An empty memory associates every state to zeros, and every energy is +inf.

    Of streamed patterns, only a sketch stays in memory, which is made in one pass: with
    ``error > 0`` about 6 % of their bytes, or 11 numbers for each pattern of fewer than 144 values.
    A call with few queries reads the rows of the patterns that may matter; where that would take
    longer than a pass, it reads all patterns in one pass. Patterns can be removed, which leaves the
    file as it is, but not added or replaced, and such a memory is neither saved nor compacted. The
    file must not change.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.Memory(np.eye(3), keys=["x", "y", "z"], beta=20.0)
    >>> hopcore.update([0.9, 0.1, 0.0], memory, 20.0).round(2)
    array([1., 0., 0.])
    >>> memory.remove("x")
    >>> memory.add([[0.9, 0.2, 0.0]], keys=["x2"])
    >>> found = memory.retrieve([0.9, 0.1, 0.0])
    >>> memory.keys[int(found.index)]
    'x2'
    """

    def __init__(
        self,
        stored: AnyArray | Streamed,
        values: AnyArray | Streamed | None = None,
        *,
        keys: Sequence[Key] | None = None,
        similarity: Similarity = "distance",
        separation: Separation = "softmax",
        beta: float | Literal["auto"] = "auto",
        error: float = 0.0,
        bias: AnyArray | None = None,
    ) -> None:
        check_similarity(similarity)
        function = get_separation(separation, similarity)
        error = as_number("error", error, 0.0)
        if isinstance(stored, Streamed):
            rows = file_rows("stored", stored)
            chosen = beta_of(beta, rows, function, similarity)
            self._stream(rows, values, keys, bias, Settings(similarity, function, chosen, error))
            return
        if isinstance(values, Streamed):
            raise TypeError("values may be Streamed only where stored is: give an array")
        patterns = as_rows("stored", stored)
        count = len(patterns)
        own = None if values is None else as_rows("values", values, patterns.dtype, count)
        weights = None if bias is None else as_bias(bias, count)
        names = list(range(count)) if keys is None else as_keys(keys, count)
        chosen = beta_of(beta, patterns, function, similarity)
        settings = Settings(similarity, function, chosen, error)
        self._fill(settings, New(patterns, own, weights, names))

    def _stream(
        self, rows: FileRows, values: Any, keys: Any, bias: Any, settings: Settings
    ) -> None:
        """Take the patterns of a streamed memory."""
        names = range(len(rows)) if keys is None else as_keys(keys, len(rows))
        place = Numbers(len(rows)) if keys is None else {key: i for i, key in enumerate(names)}
        self._hold(settings, file_snapshot(rows, values, bias, names, settings), place)

    @suggest_names
    def compact(
        self,
        m: int | None = None,
        *,
        error: float | None = None,
        queries: AnyArray | None = None,
        seed: int = 0,
    ) -> Compacted:
        r"""Return a smaller memory, in which every cluster of patterns is one pattern.

        It is the mean of the cluster, with the mean of its values, and with the logarithm of its
        size as a bias. This memory stays as it is.

        Parameters
        ----------
        m : int, optional
            The number of clusters, found by k-means.
        error : float, optional
            Instead of m: take the smallest power of two with which no query moves farther.
        queries : array (n, d), optional
            Queries on which the error is measured and certified, at :attr:`beta`.
        seed : int
            Of the choice of the first means.

        Returns
        -------
        Compacted
            ``memory, clusters, error, certificate``. A query near to the queries given moves about
            as far as they do; nothing is known of others.

        Raises
        ------
        TypeError, ValueError
            Neither or both of m and error; an error without queries; an empty or a streamed memory;
            a compact kernel.

        Notes
        -----
        Certificates are for the softmax. They are inf where the scores within a cluster differ by
        more than about 1, which is usual at the temperatures of retrieval: there only nearly equal
        patterns can be merged with a guarantee.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> stored = np.repeat(np.eye(4), 25, axis=0)
        >>> found = hopcore.Memory(stored, beta=4.0).compact(error=1e-6, queries=np.eye(4))
        >>> found.memory.shape
        (4, 4)
        """
        refuse_streamed(self.snapshot(), "prepare a Memory of an array of them to merge them")
        return compacted(self, m, error, queries, seed)

    def save(self, path: str | Path) -> None:
        """Write the memory to a file of safetensors, which is written whole or not at all.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        OSError
            The folder is missing or the disk is full; an old file stays as it was.
        ModuleNotFoundError
            safetensors is not installed (extra ``checkpoint``).
        TypeError
            The separation function is not one of hopcore, or its order is an array; a streamed
            memory.

        Examples
        --------
        >>> import tempfile, numpy as np, hopcore
        >>> path = tempfile.mkdtemp() + "/words.memory"
        >>> hopcore.Memory(np.eye(2), keys=["a", "b"], beta=8.0).save(path)
        >>> hopcore.Memory.load(path).keys
        ['a', 'b']
        """
        refuse_streamed(self.snapshot(), "they are in a file already; pickle the Memory instead")
        write(Path(path), self.snapshot(), self._calibration)

    @classmethod
    def load(cls, path: str | Path) -> Memory:
        """Read a memory from a file that :meth:`save` wrote; nothing is unpickled.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            The file is no memory, it is damaged, or it was written by a newer version.
        OSError
            The file cannot be opened.

        Examples
        --------
        >>> import tempfile, numpy as np, hopcore
        >>> path = tempfile.mkdtemp() + "/unit.memory"
        >>> hopcore.Memory(np.eye(2), beta=8.0).save(path)
        >>> hopcore.Memory.load(path)
        <Memory (2, 2) float64, distance, beta=8, error=0>
        """
        found, new = read(Path(path))
        try:
            memory = cls(
                new.patterns,
                new.values,
                keys=new.keys,
                similarity=found["similarity"],
                separation=found["separation"],
                beta=found["beta"],
                error=found["error"],
                bias=new.bias,
            )
            if found["calibration"] is not None:
                memory._calibration = Calibration(**found["calibration"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a memory of hopcore: {error}") from None
        return memory


def beta_of(beta: Any, patterns: Any, separation: Any, similarity: Similarity) -> float:
    """Return the inverse temperature of a memory; that of a sample where patterns are streamed."""
    if beta != "auto":
        return as_number("beta", beta, positive=True)
    if not len(patterns):
        return 1.0
    known = sample_of(patterns) if isinstance(patterns, FileRows) else patterns
    return suggest_beta(known, separation=separation, similarity=similarity).beta


BY_TYPE[Memory] = PREPARED  # pyright: ignore[reportArgumentType]
register(Memory)
