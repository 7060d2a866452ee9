"""The instruction table: what kernels ask of the processor, beyond C.

Each instruction is a scalar body that *is* its meaning, and C templates of the same bits for the
instruction sets that have something better. A test runs every template that this machine has
against the meaning. The first variant whose condition the compiler fulfils is taken.

Codes of weights and keys are stored plus 128, since x86 multiplies unsigned by signed bytes. Where
the hardware takes them as they are stored, a sum starts at minus 128 times the sum of the other
operand's codes, which that operand brings along: `fk_start`. The codes of 4-bit weights stand in a
book, plus 32: below 64, so that four products with bytes fit 16 bits. Their sums start at minus 32
times the other operand's everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from foreknown.graph.quantise import CODEBOOK, LEAST_CODE

VNNI = "defined(__AVX512VNNI__) && defined(__AVX512F__)"
AVX2 = "defined(__AVX2__)"
DOTPROD = "defined(__ARM_FEATURE_DOTPROD)"
AVX512 = "defined(__AVX512BW__)"
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
_NEON_CODES = "vreinterpretq_s8_u8(veorq_u8(((uint8x16_t *)&codes)[i], vdupq_n_u8(128)))"

INSTRUCTIONS = (
    Instruction(
        "fk_low_codes",
        "fk_u8x64",
        "fk_u8x64 nibbles",
        "for (int i = 0; i < 64; i++) nibbles[i] = fk_codebook[nibbles[i] & 15];\n"
        "    return nibbles;",
        (
            (
                AVX512,
                """const __m128i codes = _mm_loadu_si128((const __m128i *)fk_codebook);
    const __m512i book = _mm512_broadcast_i32x4(codes);
    return (fk_u8x64)_mm512_shuffle_epi8(book, (__m512i)(nibbles & 15));""",
            ),
            (
                AVX2,
                """const __m256i book =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)fk_codebook));
    nibbles &= 15;
    __m256i *n = (__m256i *)&nibbles;
    for (int i = 0; i < 2; i++) n[i] = _mm256_shuffle_epi8(book, n[i]);
    return nibbles;""",
            ),
            (
                NEON,
                """uint8x16_t *n = (uint8x16_t *)&nibbles;
    for (int i = 0; i < 4; i++)
        n[i] = vqtbl1q_u8(vld1q_u8(fk_codebook), vandq_u8(n[i], vdupq_n_u8(15)));
    return nibbles;""",
            ),
        ),
    ),
    Instruction(
        "fk_start",
        "fk_i32x16",
        "int32_t start",
        "return (fk_i32x16){0};",
        ((VNNI, "return (fk_i32x16){0} + start;"),),
    ),
    Instruction(
        "fk_dot",
        "fk_i32x16",
        _DOT,
        """const int8_t *b = (const int8_t *)&x;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) sum[i] += ((int)codes[4 * i + j] - 128) * b[j];
    return sum;""",
        (
            (
                VNNI,
                "return (fk_i32x16)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, "
                "_mm512_set1_epi32(x));",
            ),
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
                """int32x4_t *s = (int32x4_t *)&sum;
    const int8x16_t b = vreinterpretq_s8_s32(vdupq_n_s32(x));
    for (int i = 0; i < 4; i++)
        s[i] = vdotq_s32(s[i], """
                + _NEON_CODES
                + """, b);
    return sum;""",
            ),
            (
                NEON,  # products of 128 x 127 fit 16 bits, pairs of them are added into 32
                """int32x4_t *s = (int32x4_t *)&sum;
    const int8x16_t b = vreinterpretq_s8_s32(vdupq_n_s32(x));
    for (int i = 0; i < 4; i++) {
        const int8x16_t w = """
                + _NEON_CODES
                + """;
        const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(b)));
        const int32x4_t high = vpaddlq_s16(vmull_high_s8(w, b));
        s[i] = vaddq_s32(s[i], vpaddq_s32(low, high));
    }
    return sum;""",
            ),
        ),
    ),
    Instruction(
        "fk_dot_small",
        "fk_i32x16",
        "fk_i32x16 sum, fk_u8x64 low, fk_u8x64 high, int32_t x, int32_t y",
        """const int8_t *a = (const int8_t *)&x, *b = (const int8_t *)&y;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) sum[i] += low[4 * i + j] * a[j] + high[4 * i + j] * b[j];
    return sum;""",
        (
            (
                VNNI,
                """const __m512i first =
        _mm512_dpbusd_epi32((__m512i)sum, (__m512i)low, _mm512_set1_epi32(x));
    return (fk_i32x16)_mm512_dpbusd_epi32(first, (__m512i)high, _mm512_set1_epi32(y));""",
            ),
            (
                AVX512,  # four products of 63 x 127 fit 16 bits
                """const __m512i pairs =
        _mm512_add_epi16(_mm512_maddubs_epi16((__m512i)low, _mm512_set1_epi32(x)),
                         _mm512_maddubs_epi16((__m512i)high, _mm512_set1_epi32(y)));
    return sum + (fk_i32x16)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));""",
            ),
            (
                AVX2,
                """__m256i *s = (__m256i *)&sum;
    const __m256i *l = (const __m256i *)&low, *h = (const __m256i *)&high;
    const __m256i a = _mm256_set1_epi32(x), b = _mm256_set1_epi32(y), one = _mm256_set1_epi16(1);
    for (int i = 0; i < 2; i++) {
        const __m256i pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(l[i], a), _mm256_maddubs_epi16(h[i], b));
        s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(pairs, one));
    }
    return sum;""",
            ),
            (
                DOTPROD,
                """int32x4_t *s = (int32x4_t *)&sum;
    const int8x16_t *l = (const int8x16_t *)&low, *h = (const int8x16_t *)&high;
    const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(x));
    const int8x16_t b = vreinterpretq_s8_s32(vdupq_n_s32(y));
    for (int i = 0; i < 4; i++) s[i] = vdotq_s32(vdotq_s32(s[i], l[i], a), h[i], b);
    return sum;""",
            ),
            (
                NEON,
                """int32x4_t *s = (int32x4_t *)&sum;
    const int8x16_t *l = (const int8x16_t *)&low, *h = (const int8x16_t *)&high;
    const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(x));
    const int8x16_t b = vreinterpretq_s8_s32(vdupq_n_s32(y));
    for (int i = 0; i < 4; i++) {
        const int16x8_t first = vmlal_s8(vmull_s8(vget_low_s8(l[i]), vget_low_s8(a)),
                                         vget_low_s8(h[i]), vget_low_s8(b));
        const int16x8_t last = vmlal_high_s8(vmull_high_s8(l[i], a), h[i], b);
        s[i] = vaddq_s32(s[i], vpaddq_s32(vpaddlq_s16(first), vpaddlq_s16(last)));
    }
    return sum;""",
            ),
        ),
    ),
    Instruction(
        "fk_dot_pairs",
        "fk_i32x16",
        "fk_i32x16 sum, fk_i16x32 codes, int32_t x",
        """const int16_t *b = (const int16_t *)&x;
    for (int i = 0; i < 16; i++) sum[i] += codes[2 * i] * b[0] + codes[2 * i + 1] * b[1];
    return sum;""",
        (
            (
                AVX2,
                """__m256i *s = (__m256i *)&sum;
    const __m256i *c = (const __m256i *)&codes, b = _mm256_set1_epi32(x);
    for (int i = 0; i < 2; i++) s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(c[i], b));
    return sum;""",
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
                AVX512,
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
    Instruction(
        "fk_lookup16",
        "fk_f32x16",
        "fk_f32x16 table, fk_i32x16 index",
        "fk_f32x16 v;\n    for (int i = 0; i < 16; i++) v[i] = table[index[i] & 15];\n"
        "    return v;",
        (
            (
                AVX512,
                "return (fk_f32x16)_mm512_permutexvar_ps((__m512i)index, (__m512)table);",
            ),
            (
                AVX2,  # both halves, and bit 3 of the index as a sign chooses
                """const __m256 *t = (const __m256 *)&table;
    __m256 *v = (__m256 *)&table, low = t[0], high = t[1];
    for (int i = 0; i < 2; i++) {
        const __m256i at = ((const __m256i *)&index)[i];
        v[i] = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, at),
                                _mm256_permutevar8x32_ps(high, at),
                                _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
    }
    return table;""",
            ),
            (
                NEON,  # a table of 64 bytes: four times the index and 0, 1, 2, 3
                """uint8x16x4_t bytes;
    memcpy(&bytes, &table, sizeof bytes);
    const fk_u32x16 at = ((fk_u32x16)index & 15) * 0x04040404 + 0x03020100;
    for (int i = 0; i < 4; i++)
        ((uint8x16_t *)&table)[i] = vqtbl4q_u8(bytes, ((const uint8x16_t *)&at)[i]);
    return table;""",
            ),
        ),
    ),
)


def write_instructions(*, meanings: bool = False) -> str:
    """The table as C.

    Args:
        meanings: also write each meaning as NAME_meaning, for tests.
    """
    book = ", ".join(str(int(value) - LEAST_CODE) for value in CODEBOOK)
    parts = [
        f"enum {{ FK_LEAST_CODE = {LEAST_CODE} }};\n"
        f"static const uint8_t fk_codebook[16] = {{{book}}};\n"
    ]
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
