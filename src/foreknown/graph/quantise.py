"""Low-bit numbers: how weights and activations are rounded to codes and scales, to the bit.

A row of k elements falls into groups of consecutive elements. Each group has one scale, and the
value of an element is its code times that scale:

    weights      codes of 4 bits from CODEBOOK or 8 bits in [-127, 127], scale in f16, either sign
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
CODEBOOK = np.array((-32, -25, -19, -15, -11, -8, -5, -2, 1, 4, 7, 10, 13, 17, 21, 27), np.int8)
"""The codes of 4 bits, dense where weights are: of whole numbers from -32 to 31 those that serve
normal numbers best in groups of 64 with the best scale each. One end reaches further than the
other; the sign of the scale turns it to where a group's largest value lies. Whole numbers of six
bits, since then four products with 8-bit codes fit 16 bits, by which processors without an
instruction for products of bytes save a third of them."""

LEAST_CODE = -32
"""No code of 4 bits is below it; stored minus it, all fit six bits."""

MIDPOINTS = (CODEBOOK[1:].astype(np.float32) + CODEBOOK[:-1]) / 2
"""Where the nearest code changes; on a midpoint the lower one is taken."""

_UPPER = (17.5, 20, 21.5, 23.5, 25.5, 26.5, 27.25, 28.25, 29, 30.25, 34.25, 37.25, 41.75)
_LOWER = (
    *(16.25, 20, 24.25, 25.75, 26.75, 27.75, 29.25, 30.25, 31.25),
    *(32.75, 33.75, 34.75, 36.25, 38.5, 41.25, 45.25, 51.25),
)
_UNSIGNED = (127, *(116.625 + i / 4 for i in range(1, 48)), *range(136, 264, 8))
EXTREMES = {
    4: np.array([32, -32, *_UPPER, *(-t for t in _LOWER)], np.float32),
    8: np.array(_UNSIGNED, np.float32),
}
"""What the search tries to scale the largest absolute value of a group to, in units of the scale.

First what plain rounding takes. With 4 bits the element's own sign counts, so that a positive
number means the upper end of the book; beyond either end the largest value is cut off, which pays
when it stands alone. With 8 bits the many steps serve chance: some scale near the plain one
happens to put most elements of the group close to whole codes.
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

    A group that is nearest to zeros, or has nothing above 2^-25, half of the smallest f16, gets
    scale 0. A group whose plain scale, amax / 127 or with 4 bits amax / 32, is beyond f16 gets an
    infinite one: the caller must refuse it. The codes of both are those nearest to 0.

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
    with np.errstate(invalid="ignore"):  # an infinite scale times code 0
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
    low, high = w.min(axis=1), w.max(axis=1)
    amax = np.maximum(-low, high)
    extreme = np.where(-low >= high, low, high) if bits == 4 else amax
    candidates = _as_scale(extreme[:, None] * (np.float32(1) / EXTREMES[bits]))
    errors = np.stack([_sums(w, bits, weight, d)[0] for d in candidates.T], axis=1)
    errors[~np.isfinite(candidates)] = np.inf
    best, error = _least(candidates, errors)

    now = best
    for _ in range(REFINEMENTS + 1):
        own_error, product, square = _sums(w, bits, weight, now)
        better = own_error < error
        best, error = np.where(better, now, best), np.where(better, own_error, error)
        fitted = product / square
        now = np.where(np.abs(fitted) <= LARGEST_SCALE, _as_scale(fitted), now)

    none = np.zeros_like(best)
    best = np.where(_sums(w, bits, weight, none)[0] < error, none, best)
    best = np.where(amax <= LEAST_SCALE / 2, none, best)
    best = np.where(np.isinf(candidates[:, 0]), np.float32(np.inf), best)
    return _codes(w, bits, best).astype(np.int8), best.astype(np.float16)


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
    """The nearest codes, in f32."""
    inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
    y = w * inverse[:, None]
    if bits == 4:
        book: Array = CODEBOOK.astype(np.float32)
        return book[np.searchsorted(MIDPOINTS, y)]
    codes: Array = np.rint(np.clip(y, np.float32(-127), np.float32(127)))
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
