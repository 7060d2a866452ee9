"""Rows that rounding finds hard: zeros, lone giants, subnormals, ties, the ends of f32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.graph.quantise import CODEBOOK, MIDPOINTS

Array = NDArray[Any]
LARGEST = float(np.finfo(np.float32).max)


def random_rows(n: int, k: int, seed: int = 0) -> Array:
    """Normal and heavy-tailed rows of all magnitudes that a scale in f16 serves."""
    rng = np.random.default_rng(seed)
    rows = np.where(rng.random((n, 1)) < 0.5, rng.normal(size=(n, k)), rng.standard_t(2, (n, k)))
    return (rows * 10 ** rng.uniform(-7, 4, (n, 1))).astype(np.float32)


def awkward_rows(k: int) -> Array:
    """Finite rows f32[m, k]."""
    rng = np.random.default_rng(1)
    ramp, normal = np.arange(k) / k, rng.normal(size=k)
    alternating = np.where(np.arange(k) % 2, -1.0, 1.0)
    lone = np.where(np.arange(k) == 5, 1000.0, 1e-3 * normal)
    rows = [
        np.zeros(k),
        -np.zeros(k),
        np.where(np.arange(k) % 3, 0.0, normal),
        np.ones(k),
        -np.ones(k),
        alternating,
        lone,
        -lone,
        np.where(np.arange(k) == k - 1, 1.0, 0.0),
        ramp,
        -ramp,
        rng.choice(CODEBOOK, k) * 0.25,
        rng.integers(-127, 128, k) * 0.125,
        rng.choice(MIDPOINTS, k) * 0.25,
        np.where(np.arange(k) % 16 == 3, -32, rng.choice(MIDPOINTS, k)),
        np.where(np.arange(k) % 16 == 3, -127, rng.integers(-127, 128, k)),
        normal * 1e-30,
        normal * 1e-38,
        normal * 1e-42,  # subnormals of f32
        alternating * 1.4e-45,
        *(normal * 2.0**-e for e in (14, 17, 20, 22, 24, 25, 26, 28)),  # subnormal scales in f16
        alternating * 2.0**-24,
        alternating * 2.0**-25,
        normal * 1e5,
        alternating * 65504 * 7,
        alternating * 65504 * 8,
        alternating * 65504 * 8.5,
        alternating * 65504 * 27,
        alternating * 65504 * 32,
        alternating * 65504 * 35,
        alternating * 65504 * 104,
        alternating * 65504 * 127,
        alternating * 65504 * 140,
        np.where(np.arange(k) < 16, 65504 * 128, 100.0 * normal),  # one group in trouble
        normal * 1e20,
        normal * 1e37,
        alternating * LARGEST,
        alternating * 2.0**-119,
        alternating * np.nextafter(np.float32(2.0**-119), np.float32(0)),
        alternating * np.nextafter(np.float32(2.0**-119), np.float32(1)),
        alternating * 127 / LARGEST,
        alternating * 1.1754944e-38,
    ]
    return np.array(rows).clip(-LARGEST, LARGEST).astype(np.float32)


def damaged_rows(k: int) -> Array:
    """Rows with NaN and infinities, each in a place of its own."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(6, k)).astype(np.float32)
    rows[0, 3] = np.nan
    rows[1, k - 1] = np.inf
    rows[2, 0] = -np.inf
    rows[3, [1, 2]] = np.nan, np.inf
    rows[4, k // 2] = -np.float32(np.nan)
    return rows


def importances(k: int) -> list[Array | None]:
    """None, ones, smooth ones, wild ones, and ones that ignore whole groups."""
    rng = np.random.default_rng(3)
    wild = np.exp(3 * rng.normal(size=k))
    return [
        None,
        *(
            i.astype(np.float32)
            for i in (
                np.ones(k),
                np.exp(rng.normal(size=k)),
                np.where(rng.random(k) < 0.3, 0.0, wild),
                np.where(np.arange(k) < k // 2, 0.0, wild),
                np.zeros(k),
                1e20 * rng.random(k),
            )
        ),
    ]
