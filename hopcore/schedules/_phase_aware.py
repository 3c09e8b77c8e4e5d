"""A schedule that slows down at the phase transition of a memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._library import AnyArray
from hopcore.arrays._scalar_checks import check_number, check_positive
from hopcore.phase._effective_scale import effective_scale
from hopcore.phase._theory import transition
from hopcore.schedules._kinds import Between


@suggest_names
@dataclass(frozen=True)
class PhaseAware(Between):
    r"""Exponential annealing that slows down at the phase transition of a memory.

    :math:`\ln T` is piecewise linear in the step. A ``share`` of the steps, or more if the distance
    is longer, is spent between the temperatures ``hot`` and ``cold`` of the transition; the other
    steps are spent outside, in proportion to the distances.

    Attributes
    ----------
    start : float
        A positive temperature.
    end : float
        A positive temperature.
    steps : int
        The number of steps from one to the other.
    hot : float
        Below this temperature the memory has minima at its patterns.
    cold : float
        Above this temperature the memory has a minimum at the centroid.
    share : float
        In (0, 1).

    Examples
    --------
    >>> import hopcore
    >>> schedule = hopcore.PhaseAware(1.0, 0.01, steps=100, hot=0.2, cold=0.1, share=0.8)
    >>> inside = [n for n in range(101) if 0.1 <= schedule(n) <= 0.2]
    >>> len(inside)
    80
    """

    KIND: ClassVar[str] = "phase-aware"
    hot: float
    cold: float
    share: float = 0.5

    def _check(self) -> None:
        super()._check()
        check_positive("cold", self.cold)
        check_number("hot", self.hot, self.cold)
        check_positive("share", self.share)
        if self.share >= 1.0:
            raise ValueError(f"share must be in (0, 1), got {self.share}")

    @classmethod
    def of_patterns(
        cls,
        stored: AnyArray,
        start: float,
        end: float,
        steps: int,
        *,
        share: float = 0.5,
        floor: float = 0.0,
        freeze_after: int | None = None,
        warmup: int = 0,
    ) -> Self:
        r"""Return the schedule for stored patterns, as if they were equidistant.

        At :math:`T = s / b` with half the mean square distance s of the patterns the effective
        inverse temperature is b: ``hot`` is where the pattern minima appear, ``cold`` where the
        centroid loses its own (:func:`hopcore.transition`).

        Parameters
        ----------
        stored : array (N, d)
            N >= 2 patterns, in the space where they are scored, not all the same.
        start, end : float
        steps : int
        share, floor, freeze_after, warmup
            As in the schedule itself.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> schedule = hopcore.PhaseAware.of_patterns(np.eye(10), 1.0, 0.01, 100)
        >>> round(schedule.hot, 4), schedule.cold
        (0.2193, 0.1)
        """
        return cls.of_memory(
            effective_scale(stored),
            stored.shape[-2],
            start,
            end,
            steps,
            share=share,
            floor=floor,
            freeze_after=freeze_after,
            warmup=warmup,
        )

    @classmethod
    def of_memory(
        cls,
        scale: float,
        patterns: int,
        start: float,
        end: float,
        steps: int,
        *,
        share: float = 0.5,
        floor: float = 0.0,
        freeze_after: int | None = None,
        warmup: int = 0,
    ) -> Self:
        """Return the schedule for a memory, given its scale and number of patterns.

        Parameters
        ----------
        scale : float
            The effective inverse temperature at temperature 1.
        patterns : int
            N >= 2.
        start, end, steps, share, floor, freeze_after, warmup
            As in :meth:`of_patterns`.
        """
        betas = transition(patterns)
        if scale <= 0.0:
            raise ValueError("the stored patterns are all the same and have no transition")
        return cls(
            start,
            end,
            steps,
            hot=scale / betas.saddle_node,
            cold=scale / betas.spinodal,
            share=share,
            floor=floor,
            freeze_after=freeze_after,
            warmup=warmup,
        )

    def _interpolate(self, done: Any, xp: Any) -> Any:
        times, logs = self._knots()
        log = xp.full_like(done, logs[0])
        for i in range(3):
            if times[i + 1] > times[i]:
                slope = (logs[i + 1] - logs[i]) / (times[i + 1] - times[i])
                log = xp.where(done < times[i], log, logs[i] + slope * (done - times[i]))
        return xp.exp(log)

    def _knots(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the corners of the piecewise linear ln T: shares of the steps, and logarithms."""
        first, last = math.log(self.start), math.log(self.end)
        low, high = min(first, last), max(first, last)
        hot, cold = (min(max(math.log(x), low), high) for x in (self.hot, self.cold))
        near, far = (hot, cold) if first >= last else (cold, hot)
        before, inside, after = abs(near - first), abs(far - near), abs(last - far)
        total, outside = before + inside + after, before + after
        if total == 0.0:
            return (0.0, 1.0, 1.0, 1.0), (first,) * 4
        share = max(self.share, inside / total) if inside > 0.0 else 0.0
        if outside == 0.0:
            return (0.0, 0.0, 1.0, 1.0), (first, near, far, last)
        begun = (1.0 - share) * before / outside
        return (0.0, begun, begun + share, 1.0), (first, near, far, last)
