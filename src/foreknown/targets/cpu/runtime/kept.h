/* What a block of state holds of keys and values: 16 positions of one group of heads, in f32, bf16 or
 * codes of 8 bits with a scale for each position (drawn in plan/state.py). */
#ifndef FK_KEPT_H
#define FK_KEPT_H

#include "fk.h"

enum fk_kept { FK_KEPT_F32, FK_KEPT_BF16, FK_KEPT_INT8 };

FK_INLINE int fk_padded(int width) { return (width + FK_LANES - 1) / FK_LANES * FK_LANES; }

FK_INLINE size_t fk_item_bytes(enum fk_kept kept) {
    return kept == FK_KEPT_F32 ? 4 : kept == FK_KEPT_BF16 ? 2 : 1;
}

FK_INLINE size_t fk_kept_bytes(enum fk_kept kept, int width) {
    const size_t scale = kept == FK_KEPT_INT8 ? 4 : 0;
    return FK_BLOCK_TOKENS * ((size_t)width * fk_item_bytes(kept) + scale);
}

/* One position's key, or value, as codes and a scale. */
FK_INLINE void fk_store_key_codes(char *keys, int j, int width, const int8_t *codes, float scale) {
    for (int d = 0; d < width; d++)
        keys[(d / 4 * FK_BLOCK_TOKENS + j) * 4 + d % 4] = (char)(codes[d] ^ 0x80);
    memcpy(keys + FK_BLOCK_TOKENS * width + j * 4, &scale, sizeof scale);
}

FK_INLINE void fk_store_value_codes(char *values, int j, int width, const int8_t *codes, float scale) {
    memcpy(values + j * width, codes, (size_t)width);
    memcpy(values + FK_BLOCK_TOKENS * width + j * 4, &scale, sizeof scale);
}

FK_INLINE fk_f32x16 fk_load_kept(enum fk_kept kept, const char *p, size_t i) {
    if (kept == FK_KEPT_F32) return fk_load16((const float *)(const void *)p + i);
    if (kept == FK_KEPT_BF16) return fk_load_bf16x16((const uint16_t *)(const void *)p + i);
    fk_i8x16 codes;
    memcpy(&codes, p + i, sizeof codes);
    return __builtin_convertvector(codes, fk_f32x16);
}

FK_INLINE void fk_ask_for(const char *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

#endif
