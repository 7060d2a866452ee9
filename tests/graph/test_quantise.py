"""The meaning of low-bit numbers: which codes and scales there are, and how little they lose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from foreknown.graph.quantise import (
    CODEBOOK,
    EXTREMES,
    LANES,
    LEAST_AMAX,
    LEAST_CODE,
    MIDPOINTS,
    dequantise,
    quantise_rows,
    quantise_weights,
)
from tests.graph.awkward_numbers import awkward_rows, damaged_rows, importances, random_rows

Array = NDArray[Any]
CODES = {4: CODEBOOK, 8: np.arange(-127, 128).astype(np.int8)}
PLAIN = {4: 32, 8: 127}
FORMATS = [(4, 16), (4, 32), (4, 64), (8, 32), (8, 64)]
SLACK = 1 + 1e-5
"""Errors are compared in f64 here and were in f32 when the best was chosen: 2^-24 for each of
a few dozen additions."""


def error(
    w: Array, codes: Array, scales: Array, group: int, importance: Array | None = None
) -> Array:
    """Weighted squared error of each group, in f64."""
    rest = w.astype(np.float64) - dequantise(codes, scales, group).astype(np.float64)
    square = rest * rest * (1.0 if importance is None else importance.astype(np.float64))
    summed: Array = square.reshape(*w.shape[:-1], -1, group).sum(axis=-1)
    return summed


def plain(w: Array, bits: int, group: int) -> tuple[Array, Array]:
    """The scale that takes amax to the plain end of the codes, and the nearest codes."""
    grouped = w.reshape(*w.shape[:-1], -1, group)
    book = CODES[bits].astype(np.float64)
    with np.errstate(all="ignore"):
        scale = (np.abs(grouped).max(axis=-1) / np.float32(PLAIN[bits])).astype(np.float16)
        y = np.nan_to_num(grouped / scale.astype(np.float64)[..., None], posinf=0, neginf=0)
    codes = CODES[bits][np.searchsorted((book[1:] + book[:-1]) / 2, y)]
    return codes.reshape(w.shape), scale


@st.composite
def weights(draw: st.DrawFn) -> tuple[Array, int, int]:
    bits, group = draw(st.sampled_from(FORMATS))
    element = st.floats(-1, 1, width=32, allow_subnormal=False)
    w = draw(arrays.arrays(np.float32, (2, 2 * group), elements=element, fill=st.just(0.0)))
    exponent = draw(st.integers(-30, 14))
    return np.ldexp(w, exponent).astype(np.float32), bits, group


@settings(max_examples=150, deadline=None)
@given(weights())
def test_no_group_loses_more_than_by_plain_rounding(case: tuple[Array, int, int]) -> None:
    w, bits, group = case
    codes, scales = quantise_weights(w, bits, group)
    assert np.isin(codes, CODES[bits]).all()
    assert np.isfinite(scales).all()
    assert (error(w, codes, scales, group) <= error(w, *plain(w, bits, group), group) * SLACK).all()


@settings(max_examples=100, deadline=None)
@given(weights(), st.integers(0, 2**32 - 1))
def test_nor_by_importance(case: tuple[Array, int, int], seed: int) -> None:
    w, bits, group = case
    importance = np.exp(2 * np.random.default_rng(seed).normal(size=w.shape[-1])).astype(np.float32)
    found = error(w, *quantise_weights(w, bits, group, importance), group, importance)
    reference = error(w, *plain(w, bits, group), group, importance)
    assert (found <= reference * SLACK + 1e-40).all()  # f32 keeps no smaller square


@pytest.mark.parametrize(("bits", "group"), FORMATS)
def test_awkward_weights_lose_no_more(bits: int, group: int) -> None:
    w = np.concatenate([awkward_rows(128), random_rows(100, 128)])
    codes, scales = quantise_weights(w, bits, group)
    assert not np.isnan(scales).any()
    finite = np.isfinite(scales)
    reference_codes, reference_scales = plain(w, bits, group)
    np.testing.assert_array_equal(finite, np.isfinite(reference_scales))
    with np.errstate(all="ignore"):
        found = error(w, codes, scales, group)
        reference = error(w, reference_codes, reference_scales, group)
    assert (found[finite] <= reference[finite] * SLACK).all()


@pytest.mark.parametrize(("bits", "nearest_to_zero"), [(4, 1), (8, 0)])
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-30, -(2.0**-25)])
def test_zeros_have_scale_zero(bits: int, nearest_to_zero: int, value: float) -> None:
    codes, scales = quantise_weights(np.full((2, 64), value, np.float32), bits, 32)
    assert (codes == nearest_to_zero).all()
    assert not scales.view(np.uint16).any()


def test_scales_may_be_subnormal() -> None:
    codes = np.tile(CODEBOOK, (1, 4)).astype(np.float64)
    w = (codes * 2.0**-24).astype(np.float32)
    found, scales = quantise_weights(w, 4, 64)
    np.testing.assert_array_equal(dequantise(found, scales, 64), w)
    assert float(abs(scales[0, 0])) == 2.0**-24


@pytest.mark.parametrize(("bits", "nearest_to_zero"), [(4, 1), (8, 0)])
def test_a_scale_beyond_f16_is_infinite(bits: int, nearest_to_zero: int) -> None:
    w = np.ones((1, 64), np.float32)
    w[0, :32] = 65520 * 127
    codes, scales = quantise_weights(w, bits, 32)
    np.testing.assert_array_equal(scales[0, :1], [np.inf])
    assert np.isfinite(scales[0, 1])
    assert (codes[0, :32] == nearest_to_zero).all()


def test_the_largest_scale_is_taken() -> None:
    w = np.tile(CODEBOOK, (1, 2)).astype(np.float32) * 65504
    codes, scales = quantise_weights(w, 4, 32)
    np.testing.assert_array_equal(dequantise(codes, scales, 32), w)


@pytest.mark.parametrize("bits", [4, 8])
def test_all_codes_are_used(bits: int) -> None:
    codes, _ = quantise_weights(random_rows(2000, 64), bits, 64)
    np.testing.assert_array_equal(np.unique(codes), CODES[bits])


def test_the_book_is_in_order_and_its_midpoints_are_exact() -> None:
    assert CODEBOOK.dtype == np.int8
    assert CODEBOOK.min() >= LEAST_CODE
    assert CODEBOOK.max() < LEAST_CODE + 64
    assert (np.diff(CODEBOOK.astype(int)) > 0).all()
    twice = CODEBOOK[1:].astype(int) + CODEBOOK[:-1].astype(int)
    np.testing.assert_array_equal(MIDPOINTS * 2, twice)
    assert MIDPOINTS.dtype == np.float32


def test_codes_are_the_nearest_ones() -> None:
    w = np.concatenate([random_rows(300, 64), awkward_rows(64)])
    codes, scales = quantise_weights(w, 4, 64)
    finite = np.isfinite(scales[:, 0]) & (scales[:, 0] != 0)
    w, codes = w[finite].astype(np.float64), codes[finite]
    scale = scales[finite].astype(np.float64)
    best = np.abs(w[..., None] - scale[..., None] * CODEBOOK).min(axis=-1)
    lost = np.abs(w - scale * codes)
    assert (lost <= best + 1e-5 * np.abs(scale)).all()  # beside a midpoint f32 may choose either


def test_on_a_midpoint_the_lower_code_is_taken() -> None:
    w = np.zeros((1, 32), np.float32)
    w[0, :16], w[0, 16:31] = CODEBOOK, MIDPOINTS
    importance = np.repeat(np.array([1, 0], np.float32), 16)  # so that the scale is 1
    codes, scales = quantise_weights(w, 4, 32, importance)
    np.testing.assert_array_equal(scales, [[1]])
    np.testing.assert_array_equal(codes[0, :16], CODEBOOK)
    np.testing.assert_array_equal(codes[0, 16:31], CODEBOOK[:-1])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([-32, 27]),
    st.floats(2.0**-12, 64, width=16),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_what_four_bits_can_say_stays_as_it_is(
    extreme: int, scale: float, negative: bool, seed: int
) -> None:
    inner = CODEBOOK[np.abs(CODEBOOK.astype(int)) < 25]
    codes = np.random.default_rng(seed).choice(inner, (3, 64)).astype(np.float64)
    codes[:, 10::32] = extreme
    w = (codes * (-scale if negative else scale)).astype(np.float32)
    found, scales = quantise_weights(w, 4, 32)
    np.testing.assert_array_equal(dequantise(found, scales, 32), w)


@settings(max_examples=100, deadline=None)
@given(st.floats(2.0**-20, 64, width=16), st.integers(0, 2**32 - 1))
def test_what_is_on_a_grid_of_eight_bits_stays_there(scale: float, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(-127, 128, (3, 64))
    codes[:, 3::32] = -127
    w = (codes * scale).astype(np.float32)
    found, scales = quantise_weights(w, 8, 32)
    np.testing.assert_array_equal(dequantise(found, scales, 32), w)


@pytest.mark.parametrize(("bits", "gain"), [(4, 0.62), (8, 0.85)])
def test_the_search_gains_what_the_log_says(bits: int, gain: float) -> None:
    w = np.random.default_rng(0).normal(size=(256, 128)).astype(np.float32)
    found = error(w, *quantise_weights(w, bits, 32), 32).sum()
    assert found < gain * error(w, *plain(w, bits, 32), 32).sum()


def best_found(w: Array, importance: Array, extremes: Array) -> Array:
    """The least error in each row, in f64, of all scales that take its largest value to extremes,
    and of two least-squares steps after each."""
    amax, book = np.abs(w).max(axis=1), CODEBOOK.astype(np.float64)
    best = np.full(len(w), np.inf)
    for extreme in extremes:
        scale = amax / extreme
        for _ in range(3):
            codes = book[np.searchsorted(MIDPOINTS, w / scale[:, None])]
            rest = w - codes * scale[:, None]
            best = np.minimum(best, (importance * rest * rest).sum(axis=1))
            scale = (importance * codes * w).sum(axis=1) / (importance * codes * codes).sum(axis=1)
    return best


@pytest.mark.parametrize(("spread", "most"), [(0, 1.003), (1, 1.005)])
def test_four_bits_come_close_to_the_best_scale_there_is(spread: float, most: float) -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(200, 32)).astype(np.float32)
    importance = np.exp(spread * rng.normal(size=32)).astype(np.float32)
    extremes = np.linspace(20, 50, 300)
    best = best_found(w.astype(np.float64), importance, np.concatenate([extremes, -extremes]))
    found = error(w, *quantise_weights(w, 4, 32, importance), 32, importance)
    assert found.sum() < most * best.sum()


def test_importance_moves_the_error_to_where_it_matters_less() -> None:
    w = random_rows(200, 64)
    importance = np.ones(64, np.float32)
    importance[::4] = 50
    with_it = error(w, *quantise_weights(w, 4, 32, importance), 32, importance)
    without = error(w, *quantise_weights(w, 4, 32), 32, importance)
    assert (with_it <= without * SLACK).all()
    assert (with_it / without).mean() < 0.75


def test_importance_of_ones_changes_nothing() -> None:
    w = np.concatenate([awkward_rows(64), random_rows(50, 64)])
    expected = quantise_weights(w, 4, 32)
    for found, e in zip(quantise_weights(w, 4, 32, np.ones(64, np.float32)), expected, strict=True):
        np.testing.assert_array_equal(found, e)


def test_groups_are_rounded_alone() -> None:
    w, importance = random_rows(7, 96), importances(96)[2]
    assert importance is not None
    codes, scales = quantise_weights(w.reshape(7, 1, 96), 4, 32, importance)
    assert codes.shape == (7, 1, 96)
    assert scales.shape == (7, 1, 3)
    for g in range(3):
        own = slice(32 * g, 32 * g + 32)
        found_codes, found_scales = quantise_weights(w[:, own], 4, 32, importance[own])
        np.testing.assert_array_equal(found_codes, codes[:, 0, own])
        np.testing.assert_array_equal(found_scales[:, 0], scales[:, 0, g])


def test_candidates_fill_whole_vectors_and_begin_with_plain_rounding() -> None:
    for bits, extremes in EXTREMES.items():
        assert len(extremes) % LANES == 0
        assert len(set(extremes.tolist())) == len(extremes)
        assert extremes[0] == PLAIN[bits]
    assert EXTREMES[4][1] == -PLAIN[4]  # amax / 32 is one of both, whichever sign the extreme has


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(np.float32, (3, 64), elements=st.floats(-(2.0**127), 2.0**127, width=32)),
    st.sampled_from([16, 32, 64]),
)
def test_rows_lose_at_most_half_a_step(x: Array, group: int) -> None:
    """Up to 2^127: in the last digits of f32, 127 times a scale that was rounded up is infinite."""
    codes, scales = quantise_rows(x, group)
    assert codes.min() >= -127
    grouped, steps = x.reshape(3, -1, group), scales[..., None]
    values = dequantise(codes, scales, group).reshape(grouped.shape)
    rest = np.abs(grouped.astype(np.float64) - values)
    kept = scales > 0
    assert (rest[kept] <= steps[kept].astype(np.float64) * 0.50001).all()
    assert (rest[~kept] < 1.6e-36).all()
    assert not codes.reshape(grouped.shape)[~kept].any()


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.float32, (2, 64), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_rows_rounded_twice_keep_their_codes(x: Array) -> None:
    codes, scales = quantise_rows(x, 32)
    again, _ = quantise_rows(dequantise(codes, scales, 32), 32)
    np.testing.assert_array_equal(again, codes)


def test_damage_stays_visible() -> None:
    x = damaged_rows(64)
    codes, scales = quantise_rows(x, 32)
    damaged = ~np.isfinite(x.reshape(-1, 2, 32)).all(axis=-1)
    np.testing.assert_array_equal(np.isnan(scales), damaged)
    assert not codes.reshape(-1, 2, 32)[damaged].any()
    assert np.isnan(dequantise(codes, scales, 32).reshape(-1, 2, 32)[damaged]).all()


def test_rows_at_the_ends_of_f32() -> None:
    largest = np.finfo(np.float32).max
    below = np.nextafter(LEAST_AMAX, np.float32(0))
    x = np.repeat(np.array([largest, LEAST_AMAX, below, 0.0], np.float32), 32)[None]
    codes, scales = quantise_rows(x, 32)
    np.testing.assert_array_equal(codes[0, ::32], [127, 127, 0, 0])
    np.testing.assert_array_equal(scales[0, :2], np.array([largest, LEAST_AMAX]) / np.float32(127))
    assert not scales[0, 2:].any()
    assert scales[0, 1] >= np.finfo(np.float32).tiny
