"""Every instruction of the table against the scalar body that is its meaning, on each instruction
set that this machine has, and as plain C. Comparisons are of bits.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from foreknown.targets.cpu.instructions import INSTRUCTIONS, write_instructions
from foreknown.targets.cpu.toolchain import TARGETS, cached_shared_object, can_run
from tests.targets.qemu import build_for_arm, qemu

SEED = 20261124
CASES = 500

DRIVER = """
#define FK_EXPORT __attribute__((visibility("default")))
/* Starts, products, codes, lookups and halves, each by the table and by its meaning. */
FK_EXPORT int different(const int32_t *sums, const uint8_t *codes, const int32_t *x, int n) {
    int count = 0;
    for (int i = 0; i < n; i++) {
        fk_i32x16 sum, a, b;
        fk_u8x64 c;
        memcpy(&sum, sums + 16 * i, sizeof sum);
        memcpy(&c, codes + 64 * i, sizeof c);
        int32_t start = 0;
        for (int j = 0; j < 4; j++) start -= 128 * ((const int8_t *)(x + i))[j];
        /* where a sum starts is known to its products alone: both ends of a chain are compared */
        a = fk_dot(fk_start(start) + sum, c, x[i]);
        b = fk_dot_meaning(fk_start_meaning(start) + sum, c, x[i]);
        count += memcmp(&a, &b, sizeof a) != 0;
        const fk_u8x64 d = fk_low_codes(c), e = fk_low_codes_meaning(c);
        count += memcmp(&d, &e, sizeof d) != 0;
        const fk_u8x64 low = c & 63, high = c >> 2;
        for (int j = 0; j < 2; j++) {
            const int32_t y = x[j ? n - 1 - i : i];
            a = fk_dot_small(sum, low, high, x[i], y);
            b = fk_dot_small_meaning(sum, low, high, x[i], y);
            count += memcmp(&a, &b, sizeof a) != 0;
        }
        const int8_t *four = (const int8_t *)(x + i);
        const int32_t pair = (uint16_t)four[0] | (uint32_t)(uint16_t)four[1] << 16;
        const fk_i16x32 wide = (fk_i16x32)c >> 8;
        a = fk_dot_pairs(sum, wide, pair);
        b = fk_dot_pairs_meaning(sum, wide, pair);
        count += memcmp(&a, &b, sizeof a) != 0;
        const fk_f32x16 table = __builtin_convertvector(sum, fk_f32x16);
        const fk_f32x16 u = fk_lookup16(table, sum), v = fk_lookup16_meaning(table, sum);
        count += memcmp(&u, &v, sizeof u) != 0;
    }
    for (int h = 0; h < 65536; h += 16) {
        uint16_t halves[16];
        for (int j = 0; j < 16; j++) halves[j] = (uint16_t)(h + j);
        const fk_f32x16 a = fk_load_f16x16(halves), b = fk_load_f16x16_meaning(halves);
        for (int j = 0; j < 16; j++)
            count += fk_bits(a[j]) != fk_bits(b[j]) && !(a[j] != a[j] && b[j] != b[j]);
    }
    return count;
}
"""


def source(*, plain: bool = False) -> str:
    define = "#define FK_PLAIN 1\n" if plain else ""
    return f'{define}#include "fk.h"\n{write_instructions(meanings=True)}{DRIVER}'


def cases() -> tuple[np.ndarray, ...]:
    """Sums, codes and four signed bytes; the first with every byte at its ends.

    x holds -127 to 127: rows are never rounded to -128.
    """
    rng = np.random.default_rng(SEED)
    sums = rng.integers(-(2**20), 2**20, (CASES, 16), dtype=np.int32)
    codes = rng.integers(0, 256, (CASES, 64)).astype(np.uint8)
    x = rng.integers(-127, 128, (CASES, 4)).astype(np.int8)
    for i, (code, value) in enumerate([(255, 127), (255, -127), (0, 127), (0, -127), (128, 127)]):
        codes[i], x[i] = code, value
    return sums, codes, x


@pytest.mark.parametrize("plain", [False, True], ids=["instructions", "plain C"])
@pytest.mark.parametrize("target", [t for t in TARGETS if t.startswith("x86")])
def test_variants_have_the_bits_of_their_meaning(target: str, plain: bool) -> None:
    if not can_run(TARGETS[target]):
        pytest.skip(f"this machine lacks instructions of {target}")
    library = ctypes.CDLL(str(cached_shared_object(source(plain=plain), TARGETS[target])))
    arrays = cases()
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
    assert library.different(*pointers, len(arrays[0])) == 0, f"seed {SEED}"


@pytest.mark.skipif(qemu() is None, reason="qemu-aarch64 is not installed")
@pytest.mark.parametrize("features", ["generic", "generic+dotprod"])
def test_arm_has_the_bits_of_the_meaning(features: str, tmp_path: Path) -> None:
    import subprocess

    sums, codes, x = cases()
    arrays = {
        "int32_t sums[]": sums,
        "uint8_t codes[]": codes,
        "int32_t x[]": np.ascontiguousarray(x).view(np.int32),
    }
    text = "".join(
        f"static const {name} = {{{', '.join(map(str, a.ravel().tolist()))}}};\n"
        for name, a in arrays.items()
    )
    main = f"int main(void) {{ return different(sums, codes, x, {CASES}) != 0; }}\n"
    file, made = tmp_path / "table.c", tmp_path / "table"
    file.write_text(source() + text + main)
    build_for_arm(file, made, f"-mcpu={features}")
    emulator = qemu()
    assert emulator is not None
    subprocess.run([emulator, str(made)], check=True, timeout=120)


def test_every_instruction_has_a_meaning_and_conditions() -> None:
    names = [one.name for one in INSTRUCTIONS]
    assert len(names) == len(set(names))
    for one in INSTRUCTIONS:
        assert one.meaning
        assert all(condition and body for condition, body in one.variants)
        assert f"{one.name}_meaning" in write_instructions(meanings=True)
        assert f"{one.name}_meaning" not in write_instructions()
