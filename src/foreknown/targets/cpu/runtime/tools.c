/* What compiling and measuring need of this machine itself: packing, checksums, and the two
 * limits that everything is held against. Compiled for the host, never part of a program. */
#include "checksum.h"
#include "fk.h"
#include "lowbit.h"
#include "quantise.h"

#define FK_EXPORT __attribute__((visibility("default")))

/* [n, k] of 16-bit weights to panels [n / 16][k][16], zeros after the last row. */
FK_EXPORT void fk_pack_u16(const uint16_t *from, uint16_t *to, int64_t n, int64_t k) {
    for (int64_t p = 0; p < n; p += FK_LANES) {
        int lanes = n - p < FK_LANES ? (int)(n - p) : FK_LANES;
        for (int64_t j = 0; j < k; j++)
            for (int i = 0; i < FK_LANES; i++)
                to[p * k + j * FK_LANES + i] = i < lanes ? from[(p + i) * k + j] : 0;
    }
}

/* The same for 32-bit weights. */
FK_EXPORT void fk_pack_u32(const uint32_t *from, uint32_t *to, int64_t n, int64_t k) {
    for (int64_t p = 0; p < n; p += FK_LANES) {
        int lanes = n - p < FK_LANES ? (int)(n - p) : FK_LANES;
        for (int64_t j = 0; j < k; j++)
            for (int i = 0; i < FK_LANES; i++)
                to[p * k + j * FK_LANES + i] = i < lanes ? from[(p + i) * k + j] : 0;
    }
}

/* Codes [n, k] and f16 scales [n, k / group] to panels of low-bit weights (plan/layout.py): of 8
 * bits as they are, of 4 by their places in the book. */
FK_EXPORT void fk_pack_lowbit(const int8_t *codes, const uint16_t *scales, int64_t n, int64_t k,
                              int bits, int group, char *to) {
    uint8_t place[256] = {0}; /* of a code plus 128 */
    for (int i = 0; i < 256; i++) place[i] = (uint8_t)(bits == 8 ? i : 0);
    for (int i = 0; bits == 4 && i < 16; i++) place[fk_codebook[i] + FK_LEAST_CODE + 128] = (uint8_t)i;
    const int64_t line = bits == 4 ? 8 : 4;
    for (int64_t panel = 0; panel < n; panel += FK_PANEL_ROWS)
        for (int64_t g = 0; g < k; g += group) {
            for (int64_t r = panel; r < panel + FK_PANEL_ROWS; r++) {
                const uint16_t scale = r < n ? scales[r * (k / group) + g / group] : 0;
                memcpy(to, &scale, sizeof scale);
                to += sizeof scale;
            }
            for (int64_t j = g; j < g + group; j += line)
                for (int64_t r = panel; r < panel + FK_PANEL_ROWS; r++)
                    for (int64_t i = j; i < j + 4; i++) {
                        const int low = place[r < n ? codes[r * k + i] + 128 : 128];
                        const int high = bits == 4 && r < n ? place[codes[r * k + i + 4] + 128] : 0;
                        *to++ = (char)(low | high << 4);
                    }
        }
}

/* f32 [n, k] to codes [n, k] and f16 scales [n, k / group]. */
FK_EXPORT void fk_quantise_weights(const float *w, int64_t n, int64_t k, int bits, int group,
                                   const float *importance_or_null, int8_t *q,
                                   uint16_t *scale_f16) {
    fk_quantise(w, n, k, bits, group, importance_or_null, q, scale_f16);
}

/* Whether no bf16 is NaN or infinite: none has all its exponent bits set. */
FK_EXPORT int fk_finite_bf16(const uint16_t *x, int64_t n) {
    uint16_t found = 0;
    for (int64_t i = 0; i < n; i++) found |= (uint16_t)((x[i] & 0x7f80) == 0x7f80);
    return !found;
}

FK_EXPORT int fk_finite_f32(const uint32_t *x, int64_t n) {
    uint32_t found = 0;
    for (int64_t i = 0; i < n; i++) found |= (x[i] & 0x7f800000u) == 0x7f800000u;
    return !found;
}

/* Read `bytes` bytes `times` times as fast as one thread can; the result keeps it honest. */
FK_EXPORT uint32_t fk_read(const char *p, int64_t bytes, int64_t times) {
    fk_u32x16 sum[8] = {{0}};
    for (int64_t t = 0; t < times; t++)
        for (int64_t i = 0; i + 512 <= bytes; i += 512)
            for (int j = 0; j < 8; j++) {
                fk_u32x16 v;
                memcpy(&v, p + i + 64 * j, sizeof v);
                sum[j] ^= v;
            }
    fk_u32x16 all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
    uint32_t result = 0;
    for (int i = 0; i < FK_LANES; i++) result ^= all[i];
    return result;
}

/* Chains that hide what one addition waits for the last, and stay in registers; and the products of
 * codes of 4 bits that rows are multiplied with, the fastest there are. */
#if defined(__AVX512F__)
enum { FK_CHAINS = 24, FK_DOT_CHAINS = 12 };
#else
enum { FK_CHAINS = 6, FK_DOT_CHAINS = 4 };
#endif

/* Multiply-adds in a turn of the two loops below. */
FK_EXPORT const int64_t fk_multiply_adds = FK_CHAINS * FK_LANES;
FK_EXPORT const int64_t fk_dots = FK_DOT_CHAINS * 8 * FK_LANES;

/* Chains of 16-lane multiply-adds on one thread. */
FK_EXPORT float fk_multiply_add(int64_t times, float a) {
    fk_f32x16 sum[FK_CHAINS], factor = fk_splat(a), term = fk_splat(1.0f - a);
    for (int j = 0; j < FK_CHAINS; j++) sum[j] = fk_splat((float)j);
    for (int64_t t = 0; t < times; t++)
        for (int j = 0; j < FK_CHAINS; j++) sum[j] = fk_fma16(sum[j], factor, term);
    float result = 0.0f;
    for (int j = 0; j < FK_CHAINS; j++) result += sum[j][j % FK_LANES];
    return result;
}

/* Chains of 16-lane products of codes on one thread, each of its own codes: none can be shared. */
FK_EXPORT int32_t fk_dot_codes(int64_t times, int32_t x) {
    fk_i32x16 sum[FK_DOT_CHAINS] = {{0}};
    _Alignas(64) fk_u8x64 codes[FK_DOT_CHAINS][2];
    memset(codes, x, sizeof codes);
    for (int64_t t = 0; t < times; t++) {
        __asm__ volatile("" : : "r"(codes) : "memory"); /* they may be others now */
        for (int j = 0; j < FK_DOT_CHAINS; j++)
            sum[j] = fk_dot_small(sum[j], codes[j][0], codes[j][1], x, x);
    }
    int32_t result = 0;
    for (int j = 0; j < FK_DOT_CHAINS; j++) result += sum[j][j];
    return result;
}
