"""bf16: the upper half of an f32, rounded to nearest with ties to even; NaN stays NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_QUIET_NAN = np.uint32(0x7FC00000)


def to_bf16(value: Array) -> Array:
    """The nearest bf16 of each f32: its bits as uint16."""
    value = np.ascontiguousarray(value, np.float32)
    bits = value.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    result: Array = (np.where(np.isnan(value), _QUIET_NAN, rounded) >> 16).astype(np.uint16)
    return result


def from_bf16(bits: Array) -> Array:
    """The f32 of each bf16, exactly.

    Args:
        bits: uint16.
    """
    result: Array = (bits.astype(np.uint32) << 16).view(np.float32)
    return result
