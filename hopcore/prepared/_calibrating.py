"""The threshold of a memory: how it is chosen, kept, and compared with the scores of states."""

from __future__ import annotations

from hopcore.arrays import AnyArray, SomeArray
from hopcore.arrays._arguments import suggest_names
from hopcore.prepared._calibration import Calibration, Score, calibrated
from hopcore.prepared._calls import accepted
from hopcore.prepared._growing import Growing


class Calibrating(Growing):
    """The methods of a memory that decide what it accepts; see :class:`hopcore.Memory`."""

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
