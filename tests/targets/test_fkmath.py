"""Our own elementary functions: their stated errors, their special values, and their bits.

Every 1021st of all 2^32 floats is tried, so each binade is met by thousands of points; errors are
against float64 (for erf a series that is exact to it).
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreknown.targets.cpu.toolchain import TARGETS, cached_shared_object, can_run, find_target
from tests.targets.qemu import build_for_arm, qemu

Array = NDArray[Any]
NAMES = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos", "rsqrt")
ALL = np.arange(0, 2**32, 1021, dtype=np.uint32).view(np.float32)
SMALLEST = float(np.float32(1.17549435e-38))

LOOPS = "".join(
    f"EXPORT void all_{n}(const float *x, float *y, long n) "
    f"{{ for (long i = 0; i < n; i++) y[i] = fk_{n}(x[i]); }}\n"
    for n in NAMES
)
SOURCE = f"""#include "fk.h"
#define EXPORT __attribute__((visibility("default")))
{LOOPS}
EXPORT void all_pow(const float *x, const float *e, float *y, long n) {{
    for (long i = 0; i < n; i++) y[i] = fk_pow(x[i], e[i]);
}}
EXPORT void all_mod(const float *x, const float *e, float *y, long n) {{
    for (long i = 0; i < n; i++) y[i] = fk_floormod(x[i], e[i]);
}}
"""


@cache
def library(target: str = "host") -> ctypes.CDLL:
    return ctypes.CDLL(str(cached_shared_object(SOURCE, find_target(target))))


def apply(name: str, *args: Array, tools: ctypes.CDLL | None = None) -> Array:
    tools = tools or library()
    arrays = [np.ascontiguousarray(a, np.float32) for a in np.broadcast_arrays(*args)]
    result = np.empty_like(arrays[0])
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, result)]
    getattr(tools, f"all_{name}")(*pointers, ctypes.c_long(result.size))
    return result


def erf64(x: Array) -> Array:
    return np.array([math.erf(v) for v in x])


Reference = Callable[[Array], Array]
REFERENCES: dict[str, Reference] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": erf64,
    "sin": np.sin,
    "cos": np.cos,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}


def within(low: float, high: float, every: int = 1) -> Array:
    x = ALL
    return x[(x >= low) & (x <= high)][::every]


RELATIVE = [
    ("exp", 1.2e-7, -87.3, 88.72),
    ("expm1", 2e-7, -104.0, 88.72),
    ("log", 1.2e-7, 0.0, 3.4e38),
    ("log1p", 2e-7, -1.0, 3.4e38),
    ("tanh", 3e-7, -20.0, 20.0),
    ("sigmoid", 3e-7, -87.0, 90.0),
    ("rsqrt", 1.2e-7, SMALLEST, 3.4e38),
]
ABSOLUTE = [
    ("erf", 1.5e-7, -5.0, 5.0),
    ("sin", 1.2e-7, -1e5, 1e5),
    ("cos", 1.2e-7, -1e5, 1e5),
    ("exp", 1e-44, -200.0, -87.3),  # denormals: a unit of the last place or so
]


@pytest.mark.parametrize(("name", "bound", "low", "high"), RELATIVE)
def test_relative_error_is_as_stated(name: str, bound: float, low: float, high: float) -> None:
    x = within(low, high)
    x = x[np.abs(x) >= SMALLEST] if name not in {"log", "exp", "sigmoid"} else x[x != 0]
    x = x[x != -1.0]
    expected = REFERENCES[name](x.astype(np.float64))
    x, expected = x[expected != 0], expected[expected != 0]
    error = np.abs(apply(name, x) / expected - 1)
    worst = int(error.argmax())
    assert error[worst] < bound, f"{name}({x[worst]!r}) is off by {error[worst]}"


@pytest.mark.parametrize(("name", "bound", "low", "high"), ABSOLUTE)
def test_absolute_error_is_as_stated(name: str, bound: float, low: float, high: float) -> None:
    x = within(low, high, every=7 if name == "erf" else 1)
    error = np.abs(apply(name, x) - REFERENCES[name](x.astype(np.float64)))
    worst = int(error.argmax())
    assert error[worst] < bound, f"{name}({x[worst]!r}) is off by {error[worst]}"


def test_the_error_of_pow_is_as_stated() -> None:
    rng = np.random.default_rng(0)
    x = 10 ** rng.uniform(-30, 30, 400_000)
    y = rng.normal(size=x.size) * 10 ** rng.uniform(-3, 2, x.size)
    x, y = x.astype(np.float32), y.astype(np.float32)
    x[::5] = rng.uniform(0.5, 2, x[::5].size)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64))
    normal = (expected > SMALLEST) & (expected < 3.4e38)
    error = np.abs(apply("pow", x, y)[normal] / expected[normal] - 1)
    assert error.max() < 1e-7


def test_the_remainder_is_exact_while_the_quotient_is() -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=300_000) * 10 ** rng.uniform(-3, 4, 300_000)).astype(np.float32)
    y = (rng.normal(size=x.size) + np.copysign(0.01, rng.normal(size=x.size))).astype(np.float32)
    close = np.abs(x / y) < 2**23
    x, y = x[close], y[close]
    found = apply("mod", x, y)
    np.testing.assert_allclose(found, np.mod(x, y), rtol=1e-6, atol=1e-30)
    assert (np.abs(found) <= np.abs(y)).all()
    assert ((found == 0) | (np.sign(found) == np.sign(y))).all()


INF, NAN = math.inf, math.nan
VALUES = {
    "exp": [
        (0.0, 1.0),
        (-0.0, 1.0),
        (INF, INF),
        (-INF, 0.0),
        (89.0, INF),
        (-110.0, 0.0),
        (1e-40, 1.0),
    ],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (1e-40, 1e-40)],
    "log": [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-1.0, NAN), (-INF, NAN)],
    "log1p": [
        (0.0, 0.0),
        (-0.0, -0.0),
        (-1.0, -INF),
        (INF, INF),
        (-1.5, NAN),
        (-INF, NAN),
        (1e-40, 1e-40),
    ],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (1e-40, 1e-40)],
    "sigmoid": [(0.0, 0.5), (INF, 1.0), (-INF, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (4.5, 1.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (1e-40, 1e-40)],
    "cos": [(0.0, 1.0), (INF, NAN), (-INF, NAN)],
    "rsqrt": [(0.0, INF), (1.0, 1.0), (INF, 0.0), (-1.0, NAN)],
}


@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str) -> None:
    given, expected = np.array([*VALUES[name], (NAN, NAN)], np.float32).T
    found = apply(name, given)
    np.testing.assert_array_equal(found, expected)
    if name in {"log1p", "tanh", "erf"}:  # odd around zero, the sign of which they keep
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


def test_special_values_of_pow() -> None:
    x, y = (a.ravel() for a in np.meshgrid(POW_VALUES, POW_VALUES))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    np.testing.assert_allclose(apply("pow", x, y), expected, rtol=2e-7)


POW_VALUES = np.array(
    [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1e30, INF, -INF, NAN, -1e-20],
    np.float32,
)


def test_sine_and_cosine_stay_within_one_everywhere() -> None:
    finite = ALL[np.isfinite(ALL)]
    for name in ("sin", "cos"):
        assert np.abs(apply(name, finite)).max() <= 1.0


def digest_input() -> Array:
    return ALL[::37]


def bits(tools: ctypes.CDLL) -> dict[str, Array]:
    x = digest_input()
    found = {name: apply(name, x, tools=tools) for name in NAMES}
    found |= {name: apply(name, x, x[::-1], tools=tools) for name in ("pow", "mod")}
    return found


def assert_same_but_for_nan(found: Array, expected: Array, name: str) -> None:
    """Which NaN it is, no operation can see."""
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~number, err_msg=name)
    np.testing.assert_array_equal(
        found.view(np.uint32)[number], expected.view(np.uint32)[number], err_msg=name
    )


@pytest.mark.parametrize("target", [t for t in TARGETS if t.startswith("x86")])
def test_instruction_sets_give_the_same_bits(target: str) -> None:
    if not can_run(TARGETS[target]):
        pytest.skip(f"this machine lacks instructions of {target}")
    expected = bits(library())
    for name, found in bits(library(target)).items():
        assert_same_but_for_nan(found, expected[name], name)


@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_other_compilers_give_the_same_bits(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    expected = bits(library())
    monkeypatch.setenv("FOREKNOWN_CC", command)
    made = ctypes.CDLL(str(cached_shared_object(SOURCE, find_target("host"))))
    for name, found in bits(made).items():
        assert_same_but_for_nan(found, expected[name], name)


@pytest.mark.skipif(qemu() is None, reason="qemu-aarch64 is not installed")
def test_arm_gives_the_same_bits(tmp_path: Path) -> None:
    names = [*NAMES, "pow", "mod"]
    calls = "".join(f"    all_{n}(x, y, n); fwrite(y, 4, n, out);\n" for n in NAMES)
    calls += "".join(f"    all_{n}(x, z, y, n); fwrite(y, 4, n, out);\n" for n in ("pow", "mod"))
    x = digest_input()
    main = f"""
#include <stdio.h>
static float x[{x.size}], y[{x.size}], z[{x.size}];
int main(int count, char **names) {{
    FILE *in = fopen(names[1], "rb"), *out = fopen(names[2], "wb");
    long n = {x.size};
    if (fread(x, 4, n, in) != (size_t)n || fread(z, 4, n, in) != (size_t)n) return 1;
{calls}    return fclose(out);
}}
"""
    source, made = tmp_path / "math.c", tmp_path / "math"
    source.write_text(SOURCE + main)
    build_for_arm(source, made)
    given, results = tmp_path / "in", tmp_path / "out"
    given.write_bytes(x.tobytes() + x[::-1].tobytes())
    emulator = qemu()
    assert emulator is not None
    subprocess.run([emulator, str(made), str(given), str(results)], check=True)
    found = np.fromfile(results, np.float32).reshape(len(names), -1)
    expected = bits(library())
    for name, row in zip(names, found, strict=True):
        assert_same_but_for_nan(row, expected[name], name)
