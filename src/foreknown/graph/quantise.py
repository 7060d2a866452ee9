"""Low-bit numbers: how weights and activations are rounded to codes and scales, to the bit.

A row of k elements falls into groups of consecutive elements. Each group has one scale, and the
value of an element is its code times that scale:

    weights      codes of 4 bits in [-8, 7] or 8 bits in [-127, 127], scale in f16, either sign
    activations  codes of 8 bits in [-127, 127], scale in f32

Weights are rounded once, so their scale is searched for: of many candidates the one with the
least squared error wins. All arithmetic is in f32, one operation at a time, and sums run in 16
lanes and one fixed tree, so that the compiled version gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LANES = 16
RANGES = {4: (-8, 7), 8: (-127, 127)}
"""The least and the greatest code of so many bits."""

_NEAR = (7, 8, 6, 6.25, *(6.5 + i / 8 for i in range(4)), *(7 + i / 8 for i in range(1, 8)))
_FAR = (*(8 + i / 8 for i in range(1, 9)), 9.25, 9.5, 10, 10.5, 11, 12, 13, 14.5, 16)
_UNSIGNED = (127, *(116.625 + i / 4 for i in range(1, 48)), *range(136, 264, 8))
EXTREMES = {
    4: np.array([*_NEAR, *_FAR, *(-t for t in (*_NEAR, *_FAR))], np.float32),
    8: np.array(_UNSIGNED, np.float32),
}
"""What the search tries to scale the largest absolute value of a group to, in units of the scale.

First what plain rounding takes. Beyond the range of codes the largest value is cut off, which pays
when it stands alone or matters little. With 4 bits both signs are tried, since -8 has no
counterpart; with 8 bits the many steps serve chance: some scale near the plain one happens to put
most elements of the group close to whole codes.
"""

REFINEMENTS = 2
"""How often the best scale gives way to the least-squares scale of its own codes."""

LEAST_SCALE = np.float32(2.0**-24)
"""The smallest f16 above zero."""

LARGEST_SCALE = np.float32(65504)
"""The largest finite f16."""

LEAST_AMAX = np.float32(2.0**-119)
"""Activations of a group with nothing as large as this become zeros: their scale would be smaller
than the least normal f32, and its reciprocal soon infinite. The error is below 1.6e-36."""

_AT_ONCE = 1 << 13
"""Groups that are searched together, to bound the memory of it."""


def quantise_weights(
    w: Array, bits: int, group: int, importance: Array | None = None
) -> tuple[Array, Array]:
    """Codes and scales of least squared error: the sum of importance * (w - code * scale)^2.

    A group of zeros, or of values too small for any f16 scale, gets scale 0 and codes 0. A group
    whose plain scale, amax / 7 or amax / 127, is beyond f16 gets an infinite scale and codes 0: the
    caller must refuse it.

    Args:
        w: f32[..., k], finite.
        bits: 4 or 8.
        group: a multiple of 16 that divides k.
        importance: f32[k], weight of each column's errors, between 0 and 1e20; None is all ones.

    Returns:
        int8[..., k] and f16[..., k // group].
    """
    *rows, k = w.shape
    assert group % LANES == 0, group
    assert k % group == 0, (k, group)
    grouped = np.ascontiguousarray(w, np.float32).reshape(-1, group)
    weight = None if importance is None else importance.astype(np.float32).reshape(-1, group)
    codes = np.empty(grouped.shape, np.int8)
    scales = np.empty(len(grouped), np.float16)
    for first in range(0, len(grouped), _AT_ONCE):
        piece = slice(first, first + _AT_ONCE)
        own = grouped[piece]
        columns = np.arange(first, first + len(own)) % (k // group)
        with np.errstate(all="ignore"):
            codes[piece], scales[piece] = _searched(
                own, bits, None if weight is None else weight[columns]
            )
    return codes.reshape(*rows, k), scales.reshape(*rows, k // group)


def dequantise(q: Array, scale: Array, group: int) -> Array:
    """Values in f32[..., k] of codes int8[..., k] and scales f16 or f32[..., k // group]."""
    factor = np.repeat(scale.astype(np.float32), group, axis=-1)
    with np.errstate(invalid="ignore"):  # an infinite scale has codes 0
        values: Array = q.astype(np.float32) * factor
    return values


def quantise_rows(x: Array, group: int) -> tuple[Array, Array]:
    """Activations to codes in [-127, 127]: scale = amax / 127, code = rint(x * (127 / amax)).

    amax is the largest absolute value of the group. Where it is below 2^-119, scale and codes are
    0. Where it is infinite or NaN, the scale is NaN and the codes are 0, so damage stays visible.

    Args:
        x: f32[..., k].
        group: divides k.

    Returns:
        int8[..., k] and f32[..., k // group].
    """
    *rows, k = x.shape
    grouped = np.asarray(x, np.float32).reshape(*rows, k // group, group)
    with np.errstate(all="ignore"):
        amax = np.abs(grouped).max(axis=-1)
        good = np.isfinite(amax) & (amax >= LEAST_AMAX)
        scale = np.where(good, amax / np.float32(127), np.float32(0))
        scale = np.where(np.isfinite(amax), scale, np.float32(np.nan))
        inverse = np.where(good, np.float32(127) / amax, np.float32(0))
        kept = np.where(good[..., None], grouped, np.float32(0))
        codes = np.rint(kept * inverse[..., None]).astype(np.int8)
    return codes.reshape(*rows, k), scale


def _searched(w: Array, bits: int, weight: Array | None) -> tuple[Array, Array]:
    """Codes and scales of groups f32[n, group]; ties go to the candidate that came first."""
    amax = np.abs(w).max(axis=1)
    factors = np.float32(1) / EXTREMES[bits]
    candidates = _as_scale(amax[:, None] * factors)
    errors = np.stack([_sums(w, bits, weight, d)[0] for d in candidates.T], axis=1)
    errors[~np.isfinite(candidates)] = np.inf
    errors[~np.isfinite(candidates[:, 0])] = np.inf  # not even plain rounding has a scale
    best, error = _least(candidates, errors)

    now = best
    for _ in range(REFINEMENTS + 1):
        own_error, product, square = _sums(w, bits, weight, now)
        better = own_error < error
        best, error = np.where(better, now, best), np.where(better, own_error, error)
        fitted = product / square
        now = np.where(np.abs(fitted) <= LARGEST_SCALE, _as_scale(fitted), now)

    codes = _codes(w, bits, best)
    best = np.where((codes == 0).all(axis=1) & (np.abs(best) <= LARGEST_SCALE), 0, best)
    return codes.astype(np.int8), best.astype(np.float16)


def _least(candidates: Array, errors: Array) -> tuple[Array, Array]:
    """Of each row the candidate of least error, and that error: first the best of each lane, then
    lanes against those half a vector away; a later one must be strictly better."""
    groups = np.arange(len(errors))[:, None]
    of_lanes = errors.reshape(len(errors), -1, LANES)
    choice = of_lanes.argmin(axis=1) * LANES + np.arange(LANES)
    best, error = candidates[groups, choice], errors[groups, choice]
    while error.shape[1] > 1:
        half = error.shape[1] // 2
        better = error[:, half:] < error[:, :half]
        best = np.where(better, best[:, half:], best[:, :half])
        error = np.where(better, error[:, half:], error[:, :half])
    return best[:, 0], error[:, 0]


def _codes(w: Array, bits: int, scale: Array) -> Array:
    low, high = RANGES[bits]
    inverse = np.float32(1) / scale
    codes: Array = np.rint(np.clip(w * inverse[:, None], np.float32(low), np.float32(high)))
    return codes


def _sums(w: Array, bits: int, weight: Array | None, scale: Array) -> tuple[Array, Array, Array]:
    """For each group with this scale: its error, and what the least-squares scale is made of."""
    codes = _codes(w, bits, scale)
    rest = w - scale[:, None] * codes
    weighted = codes if weight is None else weight * codes
    square = rest * rest if weight is None else weight * (rest * rest)
    return _lane_sum(square), _lane_sum(weighted * w), _lane_sum(weighted * codes)


def _lane_sum(x: Array) -> Array:
    """Sums of f32[n, group]: each of 16 lanes in order, then the lanes halved four times."""
    lanes = x.reshape(len(x), -1, LANES)
    total = lanes[:, 0]
    for i in range(1, lanes.shape[1]):
        total = total + lanes[:, i]
    while total.shape[1] > 1:
        half = total.shape[1] // 2
        total = total[:, :half] + total[:, half:]
    return total[:, 0]


def _as_scale(x: Array) -> Array:
    """The nearest f16, as f32; not zero but the smallest above it, with the sign of x."""
    rounded = x.astype(np.float16).astype(np.float32)
    scales: Array = np.copysign(np.maximum(np.abs(rounded), LEAST_SCALE), x)
    return scales
