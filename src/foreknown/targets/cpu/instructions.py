"""The instruction table: what kernels ask of the processor, beyond C.

Each instruction is a scalar body that *is* its meaning, and C templates of the same bits for the
instruction sets that have something better. A test runs every template that this machine has
against the meaning. The first variant whose condition the compiler fulfils is taken.

Low-bit weights are stored as unsigned codes with an offset (8 for 4 bits, 128 for 8), since
x86 multiplies unsigned by signed bytes. Where the hardware wants codes as they are stored, the
sum starts at minus the offset times the sum of the other operand's codes, which is known: `start`.
"""

from __future__ import annotations

from dataclasses import dataclass

VNNI = "defined(__AVX512VNNI__) && defined(__AVX512F__)"
AVX2 = "defined(__AVX2__)"
DOTPROD = "defined(__ARM_FEATURE_DOTPROD)"
AVX512F = "defined(__AVX512F__)"
F16C = "defined(__F16C__)"
NEON = "defined(__aarch64__)"


@dataclass(frozen=True)
class Instruction:
    """One operation on vectors of 16 lanes.

    Attributes:
        name: the C function's name.
        result: its C type.
        parameters: its C parameters.
        meaning: the body in scalar C.
        variants: (preprocessor condition, body), best first.
    """

    name: str
    result: str
    parameters: str
    meaning: str
    variants: tuple[tuple[str, str], ...]


_DOT = "fk_i32x16 sum, fk_u8x64 codes, int32_t x"
_EACH = """const int8_t *b = (const int8_t *)&x;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) sum[i] += ((int)codes[4 * i + j] - {offset}) * b[j];
    return sum;"""
_VNNI_DOT = (
    "return (fk_i32x16)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, _mm512_set1_epi32(x));"
)
_NEON_DOT = """int32x4_t *s = (int32x4_t *)&sum;
    const int8x16_t b = vreinterpretq_s8_s32(vdupq_n_s32(x));
    for (int i = 0; i < 4; i++) s[i] = vdotq_s32(s[i], {codes}, b);
    return sum;"""

INSTRUCTIONS = (
    Instruction(
        "fk_start4",
        "fk_i32x16",
        "int32_t sum_of_x",
        "return (fk_i32x16){0};",
        (
            (VNNI, "return (fk_i32x16){0} - 8 * sum_of_x;"),
            (AVX2, "return (fk_i32x16){0} - 8 * sum_of_x;"),
            (DOTPROD, "return (fk_i32x16){0} - 8 * sum_of_x;"),
        ),
    ),
    Instruction(
        "fk_start8",
        "fk_i32x16",
        "int32_t sum_of_x",
        "return (fk_i32x16){0};",
        ((VNNI, "return (fk_i32x16){0} - 128 * sum_of_x;"),),
    ),
    Instruction(
        "fk_dot4",
        "fk_i32x16",
        _DOT,
        _EACH.format(offset=8),
        (
            (VNNI, _VNNI_DOT),
            (
                AVX2,  # two products of 15 x 127 fit 16 bits
                """__m256i *s = (__m256i *)&sum;
    const __m256i *c = (const __m256i *)&codes, b = _mm256_set1_epi32(x);
    for (int i = 0; i < 2; i++)
        s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(_mm256_maddubs_epi16(c[i], b),
                                                        _mm256_set1_epi16(1)));
    return sum;""",
            ),
            (DOTPROD, _NEON_DOT.format(codes="vreinterpretq_s8_u8(((uint8x16_t *)&codes)[i])")),
        ),
    ),
    Instruction(
        "fk_dot8",
        "fk_i32x16",
        _DOT,
        _EACH.format(offset=128),
        (
            (VNNI, _VNNI_DOT),
            (
                AVX2,  # two products of 128 x 127 fit 16 bits: |code| times x with code's sign
                """__m256i *s = (__m256i *)&sum;
    const __m256i *c = (const __m256i *)&codes, b = _mm256_set1_epi32(x);
    for (int i = 0; i < 2; i++) {
        const __m256i w = _mm256_xor_si256(c[i], _mm256_set1_epi8(-128));
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(b, w));
        s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;""",
            ),
            (
                DOTPROD,
                _NEON_DOT.format(
                    codes="vreinterpretq_s8_u8(veorq_u8(((uint8x16_t *)&codes)[i], "
                    "vdupq_n_u8(128)))"
                ),
            ),
        ),
    ),
    Instruction(
        "fk_load_f16x16",
        "fk_f32x16",
        "const uint16_t *p",
        "fk_f32x16 v;\n    for (int i = 0; i < 16; i++) v[i] = fk_from_f16(p[i]);\n    return v;",
        (
            (
                AVX512F,
                "return (fk_f32x16)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));",
            ),
            (
                F16C,
                """fk_f32x16 v;
    for (int i = 0; i < 2; i++)
        ((__m256 *)&v)[i] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p + i));
    return v;""",
            ),
            (
                NEON,
                """fk_f32x16 v;
    for (int i = 0; i < 4; i++)
        ((float32x4_t *)&v)[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)));
    return v;""",
            ),
        ),
    ),
)


def write_instructions(*, meanings: bool = False) -> str:
    """The table as C.

    Args:
        meanings: also write each meaning as NAME_meaning, for tests.
    """
    parts = []
    for one in INSTRUCTIONS:
        head = f"FK_INLINE {one.result} {{}}({one.parameters}) {{{{\n    {{}}\n}}}}\n"
        if meanings:
            parts.append(head.format(f"{one.name}_meaning", one.meaning))
        branches = [
            f"#{'el' if i else ''}if {condition} && !defined(FK_PLAIN)\n"
            + head.format(one.name, body)
            for i, (condition, body) in enumerate(one.variants)
        ]
        parts.append(
            "".join(branches) + "#else\n" + head.format(one.name, one.meaning) + "#endif\n"
        )
    return "\n".join(parts)
