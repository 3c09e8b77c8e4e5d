"""A memory that is checked once, grows and shrinks, and says how far an answer may be off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hopcore.arrays import BY_TYPE, AnyArray, BetaLike, SomeArray
from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._scalar_checks import as_number
from hopcore.memory import Retrieval, Separation, Similarity, get_separation, retrieve
from hopcore.memory._scores import check_similarity
from hopcore.phase import suggest_beta
from hopcore.prepared._backend import PREPARED
from hopcore.prepared._calibration import Calibration, Score, calibrated
from hopcore.prepared._calls import Visits, accepted, associated, register, visited
from hopcore.prepared._checks import Key, as_bias, as_keys, as_rows
from hopcore.prepared._compaction import Compacted, compacted
from hopcore.prepared._file import read, write
from hopcore.prepared._growing import Growing
from hopcore.prepared._rows import New, Settings


@suggest_names
class Memory(Growing):
    r"""Stored patterns that are prepared once, and to which patterns can be added and removed.

    A memory stands wherever functions take stored patterns: :func:`hopcore.association`,
    :func:`hopcore.association_weights`, :func:`hopcore.update`, :func:`hopcore.energy`,
    :func:`hopcore.energy_gradient`, :func:`hopcore.statistics`, :func:`hopcore.retrieve` and
    :func:`hopcore.suggest_beta`. These functions use the similarity, the separation function and
    the projections of the memory. The states may be arrays of any library.

    Parameters
    ----------
    stored : array (N, d)
        Stored patterns, float32 or float64, which are copied. N may be 0.
    values : array (N, v), optional
        Pattern projections, which :func:`hopcore.association` averages; the patterns if not given.
    keys : sequence of str or int, optional
        A name for each pattern, by which it is removed or replaced; 0, 1, ... if not given.
    similarity : {"distance", "dot"}
        How states are compared with patterns.
    separation : str or separation function
        As in :func:`hopcore.association`.
    beta : float or "auto"
        The inverse temperature where a call gives none; that of :func:`hopcore.suggest_beta` for
        ``"auto"``, or 1 where there is no pattern yet.
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
        are not strings or integers; bad options.

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
        stored: AnyArray,
        values: AnyArray | None = None,
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
        patterns = as_rows("stored", stored)
        count = len(patterns)
        own = None if values is None else as_rows("values", values, patterns.dtype, count)
        weights = None if bias is None else as_bias(bias, count)
        names = list(range(count)) if keys is None else as_keys(keys, count)
        if beta == "auto":
            chosen = 1.0
            if count:
                found = suggest_beta(patterns, separation=function, similarity=similarity)
                chosen = found.beta
        else:
            chosen = as_number("beta", beta, positive=True)
        settings = Settings(similarity, function, chosen, error)
        self._fill(settings, New(patterns, own, weights, names))

    @suggest_names
    def association(
        self, state: AnyArray, *, beta: BetaLike | None = None, return_certificate: bool = False
    ) -> Any:
        r"""Associate states with the memory, and say how far the result may be off.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns; for a certificate, of NumPy.
        beta : float or array broadcastable to (..., L), optional
            Inverse temperature; that of the memory if not given.
        return_certificate : bool
            Also return the certificate.

        Returns
        -------
        array (..., L, v)
            As :func:`hopcore.association`.
        array (..., L)
            With ``return_certificate``: a number for each query. The returned association is no
            farther than this from the exact one, which has no rounding errors. It contains the
            weight of the patterns that were left out, and all roundings, also that of the result to
            its dtype. Where all patterns are needed, they are read in float64 for a certificate,
            which takes several times as long as an association without one.

        Raises
        ------
        ValueError
            A certificate of a memory with ``error=0``, or of a separation function other than the
            softmax and entmax.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(3), beta=20.0, error=1e-6)
        >>> output, certificate = memory.association([0.9, 0.1, 0.0], return_certificate=True)
        >>> output.round(3), bool(certificate < 1e-6)
        (array([1., 0., 0.]), True)
        """
        return associated(self, state, beta, return_certificate)

    @suggest_names
    def retrieve(
        self,
        state: SomeArray,
        beta: BetaLike | None = None,
        *,
        max_steps: int = 100,
        tol: float = 1e-6,
    ) -> Retrieval[SomeArray]:
        """Retrieve patterns from states; :func:`hopcore.retrieve` has more options.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
        beta : float or array broadcastable to (..., L), optional
            Inverse temperature; that of the memory if not given.
        max_steps, tol
            As in :func:`hopcore.retrieve`.

        Returns
        -------
        Retrieval
            Its ``index`` is a place in :attr:`keys`.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(3), beta=20.0)
        >>> memory.retrieve([0.9, 0.1, 0.0]).state.round(2)
        array([1., 0., 0.])
        """
        cold = self.beta if beta is None else beta
        return retrieve(state, self, cold, max_steps=max_steps, tol=tol)

    @suggest_names
    def visits(self, state: AnyArray, *, beta: BetaLike | None = None) -> Visits:
        """Say how many patterns are needed for each query, and which share of the bytes is read.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
        beta : float or array broadcastable to (..., L), optional
            Inverse temperature; that of the memory if not given.

        Returns
        -------
        Visits
            ``patterns`` and ``share``; all patterns, and 1, where nothing is left out.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> stored = np.random.default_rng(0).standard_normal((12_000, 100))
        >>> memory = hopcore.Memory(stored, beta=8.0, error=1e-6)
        >>> found = memory.visits(stored[:3])
        >>> found.patterns, bool((found.share < 0.2).all())
        (array([1, 1, 1]), True)
        """
        return visited(self, state, beta)

    @suggest_names
    def calibrate(
        self,
        queries: AnyArray | None = None,
        *,
        noise: float | None = None,
        false_alarms: float = 0.05,
        score: Score = "distance",
        seed: int = 0,
    ) -> Calibration:
        r"""Choose up to which score a query is accepted, from queries that the memory should know.

        From then on, results of retrieval have an attribute ``accepted``. Of further queries of the
        same kind, a share of at most ``false_alarms`` is not accepted, on average over calibrations
        and whatever the distribution of the queries is. How well other queries are told apart is
        another question: a threshold on the distance ranks queries as nearest neighbours do, and
        one on the energy hardly differently.

        Parameters
        ----------
        queries : array (n, d), optional
            Queries that should be accepted; none of them may be a stored pattern itself, unless
            later queries are, too.
        noise : float, optional
            Instead of queries: the standard deviation, per value, of normal noise. Queries are then
            1,000 noisy copies of patterns.
        false_alarms : float
            Between 0 and 1; n must be at least ``1 / false_alarms - 1``.
        score : {"distance", "energy"}
            The distance to the nearest pattern, or the energy at :attr:`beta`.
        seed : int
            Of the noise.

        Returns
        -------
        Calibration

        Notes
        -----
        The guarantee is for the patterns at the time of the calibration. Calibrate again after many
        patterns were added or removed.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(3), beta=8.0)
        >>> found = memory.calibrate(noise=0.1, false_alarms=0.1)
        >>> memory.retrieve([[0.9, 0.1, 0.0], [5.0, 5.0, 5.0]]).accepted
        array([ True, False])
        """
        found = calibrated(self.snapshot(), queries, noise, false_alarms, score, seed)
        self._calibration = found
        return found

    @property
    def calibration(self) -> Calibration | None:
        """The result of the last :meth:`calibrate`, or None."""
        return self._calibration

    def accepts(self, state: SomeArray) -> SomeArray:
        """Say for each state whether its score is at most the threshold of the calibration.

        Parameters
        ----------
        state : array (..., L, d) or (d,)

        Returns
        -------
        boolean array (..., L)

        Raises
        ------
        ValueError
            The memory was not calibrated.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(3), beta=8.0)
        >>> found = memory.calibrate(noise=0.1)
        >>> memory.accepts([[0.9, 0.1, 0.0], [5.0, 5.0, 5.0]])
        array([ True, False])
        """
        if self._calibration is None:
            raise ValueError("the memory is not calibrated: write memory.calibrate(noise=...)")
        return accepted(self.snapshot(), state, self._calibration)

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
            Neither or both of m and error; an error without queries; an empty memory; a compact
            kernel.

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
            The separation function is not one of hopcore, or its order is an array.

        Examples
        --------
        >>> import tempfile, numpy as np, hopcore
        >>> path = tempfile.mkdtemp() + "/words.memory"
        >>> hopcore.Memory(np.eye(2), keys=["a", "b"], beta=8.0).save(path)
        >>> hopcore.Memory.load(path).keys
        ['a', 'b']
        """
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


BY_TYPE[Memory] = PREPARED  # pyright: ignore[reportArgumentType]
register(Memory)
