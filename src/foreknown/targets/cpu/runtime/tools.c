/* What compiling and measuring need of this machine itself: packing, checksums, and the two
 * limits that everything is held against. Compiled for the host, never part of a program. */
#include "checksum.h"
#include "fk.h"

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

/* 24 chains of 16-lane multiply-adds: `times` x 24 x 16 x 2 operations on one thread. */
FK_EXPORT float fk_multiply_add(int64_t times, float a) {
    fk_f32x16 sum[24], factor = fk_splat(a), term = fk_splat(1.0f - a);
    for (int j = 0; j < 24; j++) sum[j] = fk_splat((float)j);
    for (int64_t t = 0; t < times; t++)
        for (int j = 0; j < 24; j++) sum[j] = fk_fma16(sum[j], factor, term);
    float result = 0.0f;
    for (int j = 0; j < 24; j++) result += sum[j][j % FK_LANES];
    return result;
}
