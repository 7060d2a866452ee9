"""How much low-bit rounding loses, and how fast it is: `rounding.py [--models DIRECTORY ...]`.

The error is that of all matrices of a checkpoint together, squared and relative to their squares;
matrices whose width no group of 64 divides are left out. "normal" is a matrix of normal numbers.
The other columns are the rules of llama.cpp's Q4_0 and Q8_0: one scale from the largest value, in
f16, and the nearest codes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foreknown.checkpoint import open_checkpoint
from foreknown.graph.quantise import dequantise
from foreknown.report.tables import Table
from foreknown.targets.cpu.tools import quantised

Matrix = NDArray[np.float32]
Rounding = Callable[[Matrix], Matrix]
BITS, GROUPS, REPEATS = (4, 8), (32, 64), 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="checkpoints")
    models = parser.parse_args().models
    normal = np.random.default_rng(0).normal(size=(2048, 2048)).astype(np.float32)

    ways: dict[str, Rounding] = {"Q4_0, 32": q4_0, "Q8_0, 32": q8_0}
    for bits in BITS:
        ways |= {f"{bits} bits, {group}": searched(bits, group) for group in GROUPS}
    errors = Table("relative squared error", ["weights", *ways], right=list(ways))
    for name, matrices in [("normal", [normal]), *((m.name, list(of_model(m))) for m in models)]:
        found = (relative_error(matrices, way) for way in ways.values())
        errors.row(name, *(f"{error:.2e}" for error in found))
    errors.print(sys.stdout)

    columns = ["alone", "by importance"]
    speeds = Table("1e6 weights a second, one thread", ["", *columns], right=columns)
    importance = np.ones(normal.shape[1], np.float32)
    for bits in BITS:
        for group in GROUPS:
            found = (weights_per_s(normal[:256], bits, group, i) for i in (None, importance))
            speeds.row(f"{bits} bits, {group}", *(f"{speed / 1e6:.0f}" for speed in found))
    speeds.print(sys.stdout)


def of_model(directory: Path) -> Iterator[Matrix]:
    """The matrices of a checkpoint whose rows fall into groups of 64."""
    tensors = open_checkpoint(directory).tensors
    assert tensors is not None, directory
    for name, entry in tensors.items():
        if len(entry.shape) == 2 and entry.shape[1] % max(GROUPS) == 0:
            yield tensors.read_f32(name)


def searched(bits: int, group: int) -> Rounding:
    return lambda w: dequantise(*quantised(w, bits, group, n_threads=1), group)


def q4_0(w: Matrix) -> Matrix:
    """The value of largest size becomes code -8 of [-8, 7]."""
    x = w.reshape(-1, 32)
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
    scale = extreme / np.float32(-8)
    codes = np.minimum(np.floor(x * inverse(scale) + np.float32(8.5)), 15) - np.float32(8)
    return of_codes(codes, scale).reshape(w.shape)


def q8_0(w: Matrix) -> Matrix:
    x = w.reshape(-1, 32)
    scale = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    codes = np.rint(x * inverse(scale))
    return of_codes(codes, scale).reshape(w.shape)


def of_codes(codes: Matrix, scale: Matrix) -> Matrix:
    values: Matrix = codes * scale.astype(np.float16).astype(np.float32)
    return values


def inverse(scale: Matrix) -> Matrix:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def relative_error(matrices: list[Matrix], way: Rounding) -> float:
    lost = sum(float(np.square(w - way(w), dtype=np.float64).sum()) for w in matrices)
    return lost / sum(float(np.square(w, dtype=np.float64).sum()) for w in matrices)


def weights_per_s(w: Matrix, bits: int, group: int, importance: Matrix | None) -> float:
    """The best of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        quantised(w, bits, group, importance, n_threads=1)
        times.append(time.perf_counter() - start)
    return w.size / min(times)


if __name__ == "__main__":
    main()
