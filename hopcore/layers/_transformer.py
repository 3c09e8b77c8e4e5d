"""Transformer layers whose attention is a Hopfield layer.

With the normalisations of the Hopfield layers switched off they are the layers of Vaswani et al.
(2017), as torch has them.
"""

from __future__ import annotations

from collections.abc import Callable

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._library import AnyArray, SomeArray, unchecked
from hopcore.layers._branches import Branches, Drop
from hopcore.layers._composed_settings import DecoderSettings, EncoderSettings, LookupSettings
from hopcore.layers._masks import hide_padding
from hopcore.layers._parameters import Parameters
from hopcore.memory._causal import Causal


@suggest_names
@unchecked
def encoder_layer(
    settings: EncoderSettings,
    parameters: Parameters,
    src: SomeArray,
    *,
    src_mask: AnyArray | Causal | None = None,
    src_key_padding_mask: AnyArray | None = None,
    associate: Callable[[Array], Array] | None = None,
    drop: Drop | None = None,
) -> SomeArray:
    r"""An encoder layer: association of a sequence with itself, then two linear maps.

    :math:`x_1 = N(x + H(x))`, :math:`y = N(x_1 + W_2 \sigma(W_1 x_1))`; with ``norm_first``
    :math:`x_1 = x + H(N(x))`, :math:`y = x_1 + W_2 \sigma(W_1 N(x_1))`.

    Parameters
    ----------
    settings : EncoderSettings
    parameters : mapping of str to array
    src : array (..., L, d)
        The sequence.
    src_mask, src_key_padding_mask : array, optional
        ``association_mask`` and ``stored_pattern_padding_mask`` of :func:`hopcore.hopfield`:
        True = not attended, or ``src_mask="causal"``. Padded positions may hold anything: those
        that are not moderate, as explained there, count as zeros. With a lookup, whose memory is
        learned, both masks hide its learned patterns: ``(L, quantity)`` and ``(..., quantity)``.
    associate : callable, optional
        The Hopfield layer, for those who hold its parameters elsewhere.
    drop : callable, optional
        Dropout, for those who draw it: ``drop(name, values)``.

    Returns
    -------
    array (..., L, d)

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.EncoderSettings(hopfield=hopcore.HopfieldSettings(input_size=4))
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.layers.encoder_layer(settings, parameters, np.ones((3, 5, 4), np.float32)).shape
    (3, 5, 4)
    """
    masks = src_key_padding_mask, src_mask
    src = hide_sequence(settings, "src_key_padding_mask", src, src_key_padding_mask)
    branch = Branches(settings, parameters, src, drop)
    src = branch.associate("hopfield_association", src, masks, instead=associate)
    return branch(src, "norm_output", branch.feed_forward, "dropout_output")


@suggest_names
@unchecked
def decoder_layer(
    settings: DecoderSettings,
    parameters: Parameters,
    tgt: SomeArray,
    memory: AnyArray,
    *,
    tgt_mask: AnyArray | Causal | None = None,
    memory_mask: AnyArray | Causal | None = None,
    tgt_key_padding_mask: AnyArray | None = None,
    memory_key_padding_mask: AnyArray | None = None,
    associate: Callable[[Array], Array] | None = None,
    cross: Callable[[Array], Array] | None = None,
    drop: Drop | None = None,
) -> SomeArray:
    """A decoder layer: association with itself, with a memory, then two linear maps.

    Parameters
    ----------
    settings : DecoderSettings
    parameters : mapping of str to array
    tgt : array (..., L, d)
        The target sequence.
    memory : array (..., S, d_memory)
        What an encoder made.
    tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask : array, optional
        As in :func:`hopcore.layers.encoder_layer`, of the two associations.
    associate, cross, drop : callable, optional
        As in :func:`hopcore.layers.encoder_layer`.

    Returns
    -------
    array (..., L, d)

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.DecoderSettings(hopfield=hopcore.HopfieldSettings(input_size=4))
    >>> parameters = hopcore.initial_parameters(settings)
    >>> tgt, memory = np.ones((3, 5, 4), np.float32), np.ones((3, 7, 4), np.float32)
    >>> hopcore.layers.decoder_layer(settings, parameters, tgt, memory).shape
    (3, 5, 4)
    """
    masks = tgt_key_padding_mask, tgt_mask
    tgt = hide_sequence(settings, "tgt_key_padding_mask", tgt, tgt_key_padding_mask)
    branch = Branches(settings, parameters, tgt, drop)
    tgt = branch.associate("hopfield_association_self", tgt, masks, instead=associate)
    masks = memory_key_padding_mask, memory_mask
    tgt = branch.associate("hopfield_association_cross", tgt, masks, memory, instead=cross)
    return branch(tgt, "norm_output", branch.feed_forward, "dropout_output")


def hide_sequence(
    settings: EncoderSettings | DecoderSettings, name: str, values: Array, padding: Array | None
) -> Array:
    """Return the sequence without padding that could do harm; check the mask of a lookup.

    Positions that look up learned patterns do not see each other, so that no padding does harm.
    """
    if not isinstance(settings.hopfield, LookupSettings):
        return hide_padding(values, padding, settings.hopfield.batch_first)
    many = settings.hopfield.quantity
    if padding is None:
        return values
    backend_of_input(name, padding)
    if shape(padding)[-1:] != (many,):
        raise ValueError(
            f"{name} of a layer with a HopfieldLayer hides its learned patterns and must be "
            f"(..., {many}), got {shape(padding)}: leave out the padding of a sequence, "
            "whose positions do not see each other"
        )
    return values
