"""Questions to a memory: associations with certificates, retrievals, and what they read."""

from __future__ import annotations

from typing import Any

from hopcore.arrays import AnyArray, BetaLike, SomeArray
from hopcore.arrays._arguments import suggest_names
from hopcore.memory import Retrieval, retrieve
from hopcore.prepared._calls import Visits, associated, visited
from hopcore.prepared._growing import Growing


class Asking(Growing):
    """The methods of a memory that put states to it; see :class:`hopcore.Memory`."""

    @suggest_names
    def association(
        self, state: AnyArray, *, beta: BetaLike | None = None, return_certificate: bool = False
    ) -> Any:
        r"""Associate states with the memory, and say how far the result may be off.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns; for a certificate, on the CPU, not traced, and without a gradient.
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
        TypeError
            A certificate for states that are traced, on another device, or have a gradient.
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
