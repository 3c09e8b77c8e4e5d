"""The association weights of transformer layers: those of the forward pass, masks included."""

from __future__ import annotations

from collections.abc import Callable

from hopcore.arrays._backend import Array
from hopcore.layers._branches import Branches
from hopcore.layers._composed_settings import DecoderSettings, EncoderSettings
from hopcore.layers._hopfield import hopfield_weights
from hopcore.layers._parameters import Parameters


def encoder_weights(
    settings: EncoderSettings,
    parameters: Parameters,
    src: Array,
    *,
    src_mask: Array | None = None,
    src_key_padding_mask: Array | None = None,
    weigh: Callable[[Array], Array] | None = None,
) -> Array:
    r"""Return the association weights of an encoder layer, :math:`(..., H, L, S')`.

    They are those with which :func:`hopcore.layers.encoder_layer` associates its sequence, without
    dropout: of :math:`N(x)` with ``norm_first``, otherwise of x.

    Parameters
    ----------
    settings, parameters, src, src_mask, src_key_padding_mask
        As in :func:`hopcore.layers.encoder_layer`.
    weigh : callable, optional
        The weights of the Hopfield layer, for those who hold its parameters elsewhere.

    Returns
    -------
    array (..., H, L, S')
        S' counts the patterns that the Hopfield layer adds.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.EncoderSettings(hopfield=hopcore.HopfieldSettings(input_size=4))
    >>> parameters = hopcore.initial_parameters(settings)
    >>> sequence = np.ones((3, 5, 4), np.float32)
    >>> hopcore.layers.encoder_weights(settings, parameters, sequence).shape
    (3, 1, 5, 5)
    """
    branch = Branches(settings, parameters, src, None)
    masks = src_key_padding_mask, src_mask
    work = weigh or branch.association("hopfield_association", masks, compute=hopfield_weights)
    return work(branch.entering(src, "norm_residual"))


def decoder_weights_self(
    settings: DecoderSettings,
    parameters: Parameters,
    tgt: Array,
    *,
    tgt_mask: Array | None = None,
    tgt_key_padding_mask: Array | None = None,
    weigh: Callable[[Array], Array] | None = None,
) -> Array:
    """Return the weights with which a decoder layer associates its target with itself.

    Parameters
    ----------
    settings, parameters, tgt, tgt_mask, tgt_key_padding_mask
        As in :func:`hopcore.layers.decoder_layer`.
    weigh : callable, optional
        As in :func:`hopcore.layers.encoder_weights`.

    Returns
    -------
    array (..., H, L, L')
        L' counts the patterns that the Hopfield layer adds.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.DecoderSettings(hopfield=hopcore.HopfieldSettings(input_size=4))
    >>> parameters = hopcore.initial_parameters(settings)
    >>> target = np.ones((3, 5, 4), np.float32)
    >>> hopcore.layers.decoder_weights_self(settings, parameters, target).shape
    (3, 1, 5, 5)
    """
    branch = Branches(settings, parameters, tgt, None)
    masks = tgt_key_padding_mask, tgt_mask
    name = "hopfield_association_self"
    work = weigh or branch.association(name, masks, compute=hopfield_weights)
    return work(branch.entering(tgt, "norm_residual_self"))


def decoder_weights_cross(
    settings: DecoderSettings,
    parameters: Parameters,
    tgt: Array,
    memory: Array,
    *,
    tgt_mask: Array | None = None,
    memory_mask: Array | None = None,
    tgt_key_padding_mask: Array | None = None,
    memory_key_padding_mask: Array | None = None,
    associate: Callable[[Array], Array] | None = None,
    weigh: Callable[[Array], Array] | None = None,
) -> Array:
    """Return the weights with which a decoder layer associates its target with the memory.

    The queries are the target after its association with itself, normalised with ``norm_first``.

    Parameters
    ----------
    settings, parameters, tgt, memory
        As in :func:`hopcore.layers.decoder_layer`.
    tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, associate
        As in :func:`hopcore.layers.decoder_layer`.
    weigh : callable, optional
        The weights of the second Hopfield layer for these queries.

    Returns
    -------
    array (..., H, L, S')
        S' counts the patterns that the Hopfield layer adds.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.DecoderSettings(hopfield=hopcore.HopfieldSettings(input_size=4))
    >>> parameters = hopcore.initial_parameters(settings)
    >>> target, memory = np.ones((3, 5, 4), np.float32), np.ones((3, 7, 4), np.float32)
    >>> hopcore.layers.decoder_weights_cross(settings, parameters, target, memory).shape
    (3, 1, 5, 7)
    """
    branch = Branches(settings, parameters, tgt, None)
    masks = tgt_key_padding_mask, tgt_mask
    tgt = branch.associate("hopfield_association_self", tgt, masks, instead=associate)
    name, masks = "hopfield_association_cross", (memory_key_padding_mask, memory_mask)
    work = weigh or branch.association(name, masks, memory, hopfield_weights)
    return work(branch.entering(tgt, "norm_residual_cross"))
