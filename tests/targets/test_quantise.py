"""Low-bit numbers in C: the bits of graph/quantise.py, on every instruction set."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from foreknown.graph.quantise import CODEBOOK, MIDPOINTS, quantise_rows, quantise_weights
from foreknown.targets.cpu.instructions import write_instructions
from foreknown.targets.cpu.toolchain import TARGETS, cached_shared_object, can_run, find_target
from foreknown.targets.cpu.tools import quantised
from tests.graph.awkward_numbers import awkward_rows, damaged_rows, importances, random_rows
from tests.targets.qemu import build_for_arm, qemu

Array = NDArray[Any]
X86 = [name for name in TARGETS if name.startswith("x86")]
GROUPS = (16, 32, 48, 64, 96, 128)

ROWS = "".join(
    f"""
EXPORT void rows_{group}(const float *x, int k, int n, int8_t *q, float *scale, int32_t *starts) {{
    for (int i = 0; i < n; i++, x += k, q += k, scale += k / {group}, starts += k / {group})
        fk_quantise_row(x, k, {group}, q, scale, starts);
}}
"""
    for group in GROUPS
)
SOURCE = f"""#include "activations.h"
{write_instructions()}
#include "quantise.h"
#define EXPORT __attribute__((visibility("default")))
EXPORT void weights(const float *w, int64_t n, int64_t k, int bits, int group,
                    const float *importance, int8_t *q, uint16_t *scale) {{
    fk_quantise(w, n, k, bits, group, importance, q, scale);
}}
{ROWS}"""


@cache
def library(target: str = "host") -> ctypes.CDLL:
    if target != "host" and not can_run(TARGETS[target]):
        pytest.skip(f"this machine lacks instructions of {target}")
    return ctypes.CDLL(str(cached_shared_object(SOURCE, find_target(target))))


def pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def weights_of(
    tools: ctypes.CDLL, w: Array, bits: int, group: int, importance: Array | None = None
) -> tuple[Array, Array]:
    n, k = w.shape
    codes, scales = np.empty((n, k), np.int8), np.empty((n, k // group), np.float16)
    tools.weights(
        *(pointer(w), ctypes.c_int64(n), ctypes.c_int64(k), bits, group),
        *(None if importance is None else pointer(importance), pointer(codes), pointer(scales)),
    )
    return codes, scales


def rows_of(tools: ctypes.CDLL, x: Array, group: int) -> tuple[Array, Array, Array]:
    n, k = x.shape
    codes, scales = np.empty((n, k), np.int8), np.empty((n, k // group), np.float32)
    starts = np.empty((n, k // group), np.int32)
    rows = getattr(tools, f"rows_{group}")
    rows(pointer(x), k, n, *(pointer(a) for a in (codes, scales, starts)))
    return codes, scales, starts


def assert_same_bits(found: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.dtype == e.dtype
        whole = np.dtype(f"u{e.itemsize}")
        np.testing.assert_array_equal(f.view(whole), e.view(whole))


def all_weights(k: int) -> Array:
    return np.concatenate([awkward_rows(k), random_rows(61, k)])


def all_rows(k: int) -> Array:
    return np.concatenate([all_weights(k), damaged_rows(k)])


def expected_rows(x: Array, group: int) -> tuple[Array, Array, Array]:
    codes, scales = quantise_rows(x, group)
    return (
        codes,
        scales,
        codes.reshape(*scales.shape, group).sum(axis=-1, dtype=np.int32) * np.int32(-128),
    )


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", GROUPS)
def test_weights_have_the_bits_of_the_meaning(target: str, bits: int, group: int) -> None:
    k = 3 * group
    w = all_weights(k)
    for importance in importances(k):
        found = weights_of(library(target), w, bits, group, importance)
        assert_same_bits(found, quantise_weights(w, bits, group, importance))


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("groups", [1, 3, 16, 35])
def test_rows_have_the_bits_of_the_meaning(target: str, group: int, groups: int) -> None:
    x = all_rows(groups * group)
    assert_same_bits(rows_of(library(target), x, group), expected_rows(x, group))


def test_every_binade_is_rounded_alike() -> None:
    """Each 16-bit pattern of sign, exponent and leading digits, as the largest of its group."""
    x = np.zeros((2**16, 16), np.float32)
    x[:, 0] = (np.arange(2**16, dtype=np.uint32) << 16 | 0x5A5A).view(np.float32)
    finite = np.where(np.isfinite(x[:, :1]), x[:, :1], 0)
    x[:, 1:] = finite * np.linspace(-1, 1, 15, dtype=np.float32)
    assert_same_bits(rows_of(library(), x, 16), expected_rows(x, 16))
    w = np.ascontiguousarray(x[np.isfinite(x[:, 0])][::7])
    assert_same_bits(weights_of(library(), w, 4, 16), quantise_weights(w, 4, 16))


@pytest.mark.parametrize("target", X86)
def test_codes_of_four_bits_change_exactly_at_the_midpoints(target: str) -> None:
    """With scale 1: the midpoints, their neighbours in f32, and a sweep between the ends."""
    infinite = np.float32(np.inf)
    beside = [MIDPOINTS, np.nextafter(MIDPOINTS, -infinite), np.nextafter(MIDPOINTS, infinite)]
    swept = np.linspace(-32, 32, 16 * 1024 - 45, dtype=np.float32)
    w = np.empty((1024, 32), np.float32)
    w[:, :16] = CODEBOOK
    w[:, 16:] = np.concatenate([*beside, swept]).reshape(1024, 16)
    importance = np.repeat(np.array([1, 0], np.float32), 16)
    codes, scales = weights_of(library(target), w, 4, 32, importance)
    assert (scales == 1).all()
    np.testing.assert_array_equal(codes, CODEBOOK[np.searchsorted(MIDPOINTS, w)])


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(np.float32, (2, 64), elements=FINITE),
    st.sampled_from([4, 8]),
    st.sampled_from([16, 32, 64]),
)
def test_any_finite_numbers(w: Array, bits: int, group: int) -> None:
    assert_same_bits(weights_of(library(), w, bits, group), quantise_weights(w, bits, group))
    assert_same_bits(rows_of(library(), w, group), expected_rows(w, group))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 64), (2, 64), (3, 5, 128), (0, 64)])
def test_tools_share_rows_out(shape: tuple[int, ...], n_threads: int) -> None:
    w = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    importance = importances(shape[-1])[2]
    found = quantised(w, 4, 32, importance, n_threads)
    assert_same_bits(found, quantise_weights(w, 4, 32, importance))


def test_tools_take_any_layout_of_memory() -> None:
    w = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32).T
    assert_same_bits(quantised(w, 8, 64), quantise_weights(np.ascontiguousarray(w), 8, 64))


@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_other_compilers_give_the_same_bits(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    monkeypatch.setenv("FOREKNOWN_CC", command)
    made = ctypes.CDLL(str(cached_shared_object(SOURCE, find_target("host"))))
    w, importance = all_weights(192), importances(192)[2]
    for bits in (4, 8):
        found = weights_of(made, w, bits, 64, importance)
        assert_same_bits(found, quantise_weights(w, bits, 64, importance))
    x = all_rows(192)
    assert_same_bits(rows_of(made, x, 64), expected_rows(x, 64))


@pytest.mark.skipif(qemu() is None, reason="qemu-aarch64 is not installed")
def test_arm_gives_the_same_bits(tmp_path: Path) -> None:
    k, group = 192, 64
    x, importance = all_rows(k), importances(k)[2]
    assert importance is not None
    n, finite = len(x), len(all_weights(k))
    main = f"""
#include <stdio.h>
enum {{ N = {n}, FINITE = {finite}, K = {k}, GROUPS = {k // group} }};
static float x[N * K], importance[K], scale[N * GROUPS];
static int8_t q[N * K];
static int32_t starts[N * GROUPS];
static uint16_t f16[N * GROUPS];
int main(int count, char **names) {{
    FILE *in = fopen(names[1], "rb"), *out = fopen(names[2], "wb");
    if (fread(x, 4, N * K, in) != N * K || fread(importance, 4, K, in) != K) return 1;
    rows_{group}(x, K, N, q, scale, starts);
    fwrite(q, 1, N * K, out), fwrite(scale, 4, N * GROUPS, out), fwrite(starts, 4, N * GROUPS, out);
    for (int bits = 4; bits <= 8; bits += 4) {{
        weights(x, FINITE, K, bits, {group}, importance, q, f16);
        fwrite(q, 1, FINITE * K, out), fwrite(f16, 2, FINITE * GROUPS, out);
    }}
    return fclose(out);
}}
"""
    source, made = tmp_path / "quantise.c", tmp_path / "quantise"
    source.write_text(SOURCE + main)
    build_for_arm(source, made)
    given_file, results = tmp_path / "in", tmp_path / "out"
    given_file.write_bytes(x.tobytes() + importance.tobytes())
    emulator = qemu()
    assert emulator is not None
    subprocess.run([emulator, str(made), str(given_file), str(results)], check=True)
    expected: list[Array] = [*expected_rows(x, group)]
    for bits in (4, 8):
        expected += quantise_weights(x[:finite], bits, group, importance)
    assert results.read_bytes() == b"".join(a.tobytes() for a in expected)
