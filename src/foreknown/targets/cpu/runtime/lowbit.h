/* y = x wT with weights of 4 or 8 bits and rows of 8-bit codes.
 *
 * A panel holds 32 output rows; for each group of k their f16 scales, then their codes (drawn in
 * plan/layout.py). Threads and tiles read panels from first byte to last: one stream a thread is
 * what the memory serves best. For each group the products of codes are summed exactly in 32-bit
 * integers; then y = fma(sum, scale of w * scale of x, y), one chain over the groups in order. So
 * the bits of an output depend on its row and its weights alone, and on no tile, thread or
 * instruction set. */
#ifndef FK_LOWBIT_H
#define FK_LOWBIT_H

#include "fk.h"

enum { FK_PANEL_ROWS = 32, FK_PANEL_LANES = 2, FK_SCALES_BYTES = FK_PANEL_ROWS * 2 };

/* Where a linear finds its rows: codes, scales and starts of each, `stride` bytes apart. */
struct fk_codes {
    const int8_t *codes;
    const float *scales;
    const int32_t *starts;
    size_t stride;
};

/* The codes of rows as `quantise` leaves them, from element `at` of a row of `size` on. */
FK_INLINE struct fk_codes fk_codes_at(const char *rows, size_t stride, size_t size, size_t group,
                                      size_t at) {
    const char *scales = rows + size + at / group * sizeof(float);
    return (struct fk_codes){(const int8_t *)rows + at, (const float *)(const void *)scales,
                             (const int32_t *)(const void *)(scales + size / group * sizeof(float)),
                             stride};
}

FK_INLINE size_t fk_group_bytes(int bits, int group) {
    return FK_SCALES_BYTES + (size_t)FK_PANEL_ROWS * (size_t)group * (size_t)bits / 8;
}

FK_INLINE size_t fk_lowbit_panel_bytes(int bits, int group, int width) {
    return (size_t)(width / group) * fk_group_bytes(bits, group);
}

FK_INLINE fk_u8x64 fk_load64(const char *p) {
    fk_u8x64 v;
    memcpy(&v, p, sizeof v);
    return v;
}

FK_INLINE int32_t fk_four_codes(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* One panel against `tokens` rows. bits, group and tokens are constants where it is called.
 * `next` is the panel to come if it should be asked for now, else null: with few rows the
 * processor fetches ahead by itself; with many it is busy for too long to keep its stream. */
FK_INLINE void fk_lowbit_tile(const char *panel, int bits, int group, struct fk_codes x, float *y,
                              size_t y_stride, int groups, int outputs, int tokens,
                              const char *next) {
    const size_t step = (size_t)FK_PANEL_LANES * 64;
    fk_f32x16 total[8][FK_PANEL_LANES];
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < FK_PANEL_LANES; p++) total[t][p] = (fk_f32x16){0};
    for (int g = 0; g < groups; g++) {
        const char *codes = panel + (size_t)g * fk_group_bytes(bits, group) + FK_SCALES_BYTES;
        const char *ahead = next + (size_t)g * fk_group_bytes(bits, group);
        /* a lone row has too few sums to hide their latency: the two halves get one each */
        const int halves = bits == 4 && tokens <= 2 ? 2 : 1;
        fk_i32x16 sum[8][FK_PANEL_LANES][2];
        for (int t = 0; t < tokens; t++) {
            const int32_t start = *(const int32_t *)((const char *)x.starts + (size_t)t * x.stride + 4 * g);
            for (int p = 0; p < FK_PANEL_LANES; p++) {
                sum[t][p][0] = fk_start(start);
                sum[t][p][1] = (fk_i32x16){0};
            }
        }
        if (next) __builtin_prefetch(ahead, 0, 2);
        const int lines = group * bits / 32;
#pragma clang loop unroll(full)
        for (int j = 0; j < lines; j++) {
            fk_u8x64 w[FK_PANEL_LANES][2];
            for (int p = 0; p < FK_PANEL_LANES; p++) {
                const char *line = codes + (size_t)j * step + (size_t)p * 64;
                if (next)
                    __builtin_prefetch(ahead + FK_SCALES_BYTES + (size_t)j * step + p * 64, 0, 2);
                w[p][0] = fk_load64(line);
                if (bits == 4) {
                    w[p][1] = fk_low_codes(w[p][0] >> 4);
                    w[p][0] = fk_low_codes(w[p][0]);
                }
            }
            for (int t = 0; t < tokens; t++) {
                const int8_t *own = (const int8_t *)((const char *)x.codes + (size_t)t * x.stride) +
                                    (size_t)g * (size_t)group + (size_t)j * 32 / (size_t)bits;
                for (int p = 0; p < FK_PANEL_LANES; p++) {
                    sum[t][p][0] = fk_dot(sum[t][p][0], w[p][0], fk_four_codes(own));
                    if (bits == 4)
                        sum[t][p][halves - 1] =
                            fk_dot(sum[t][p][halves - 1], w[p][1], fk_four_codes(own + 4));
                }
            }
        }
        for (int p = 0; p < FK_PANEL_LANES; p++) {
            const char *at = codes - FK_SCALES_BYTES + p * 32;
            const fk_f32x16 scale = fk_load_f16x16((const uint16_t *)(const void *)at);
            for (int t = 0; t < tokens; t++) {
                const float of_x = *(const float *)((const char *)x.scales + (size_t)t * x.stride + 4 * g);
                const fk_i32x16 whole = halves == 2 ? sum[t][p][0] + sum[t][p][1] : sum[t][p][0];
                total[t][p] = fk_fma16(__builtin_convertvector(whole, fk_f32x16), scale * of_x,
                                       total[t][p]);
            }
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < FK_PANEL_LANES; p++) {
            float *out = y + (size_t)t * y_stride + (size_t)p * FK_LANES;
            const int left = outputs - p * FK_LANES;
            if (left >= FK_LANES) fk_store16(out, total[t][p]);
            else if (left > 0) memcpy(out, &total[t][p], (size_t)left * sizeof(float));
        }
}

/* How panels [first, last) of one matrix are gone over, as the plan chose it: tiles of at most
 * `tile` rows; with more rows than a few tiles, blocks of panels that stay in a core's cache. */
struct fk_tiling {
    int tile, block;
};

typedef void fk_tile_function(const char *panel, struct fk_codes x, float *y, size_t y_stride,
                              int groups, int outputs, const char *next);

FK_INLINE void fk_lowbit(const char *w, int bits, int group, fk_tile_function *const *tiles,
                         const struct fk_tiling plan, struct fk_codes x, float *y, size_t y_stride,
                         int width, int outputs, int tokens, int first, int last) {
    const size_t panel_bytes = fk_lowbit_panel_bytes(bits, group, width);
    const int block = tokens > 2 * plan.tile ? plan.block : last - first;
    for (int b = first; b < last; b += block) {
        const int end = b + block < last ? b + block : last;
        const int by_panel = end - b == last - first; /* every panel once, for all of the rows */
        for (int i = 0, pieces = (tokens + plan.tile - 1) / plan.tile; i < (by_panel ? 1 : pieces); i++)
            for (int p = b; p < end; p++)
                for (int j = by_panel ? 0 : i; j < (by_panel ? pieces : i + 1); j++) {
                    const int from = (int)((int64_t)tokens * j / pieces);
                    const int rows = (int)((int64_t)tokens * (j + 1) / pieces) - from;
                    const size_t skip = (size_t)from * x.stride;
                    const struct fk_codes own = {
                        (const int8_t *)((const char *)x.codes + skip),
                        (const float *)(const void *)((const char *)x.scales + skip),
                        (const int32_t *)(const void *)((const char *)x.starts + skip), x.stride};
                    const char *panel = w + (size_t)p * panel_bytes;
                    const int ask = by_panel && tokens > 3 && j == pieces - 1 && p + 1 < end;
                    tiles[rows - 1](panel, own, y + (size_t)from * y_stride + p * FK_PANEL_ROWS,
                                    y_stride, width / group, outputs - p * FK_PANEL_ROWS,
                                    ask ? panel + panel_bytes : NULL);
                }
    }
}

/* Rows of a tile at most: as many sums as the registers hold. */
#if defined(__AVX512F__)
enum { FK_TILE_ROWS = 8 };
#elif defined(__aarch64__)
enum { FK_TILE_ROWS = 3 };
#else
enum { FK_TILE_ROWS = 2 };
#endif

#define FK_LOWBIT_TILE(bits, group, rows)                                                        \
    static void fk_tile_##bits##_##group##_##rows(const char *panel, struct fk_codes x, float *y, \
                                                  size_t y_stride, int groups, int outputs,      \
                                                  const char *next) {                            \
        if (next) fk_lowbit_tile(panel, bits, group, x, y, y_stride, groups, outputs, rows, next); \
        else fk_lowbit_tile(panel, bits, group, x, y, y_stride, groups, outputs, rows, NULL);    \
    }

/* Tiles of 1 to FK_TILE_ROWS rows for one format; the generator asks for each format once. */
#if defined(__AVX512F__)
#define FK_LOWBIT_TILES(bits, group)                                                              \
    FK_LOWBIT_TILE(bits, group, 1) FK_LOWBIT_TILE(bits, group, 2) FK_LOWBIT_TILE(bits, group, 3)   \
    FK_LOWBIT_TILE(bits, group, 4) FK_LOWBIT_TILE(bits, group, 5) FK_LOWBIT_TILE(bits, group, 6)   \
    FK_LOWBIT_TILE(bits, group, 7) FK_LOWBIT_TILE(bits, group, 8)                                  \
    static fk_tile_function *const fk_tiles_##bits##_##group[] = {                                 \
        fk_tile_##bits##_##group##_1, fk_tile_##bits##_##group##_2, fk_tile_##bits##_##group##_3,  \
        fk_tile_##bits##_##group##_4, fk_tile_##bits##_##group##_5, fk_tile_##bits##_##group##_6,  \
        fk_tile_##bits##_##group##_7, fk_tile_##bits##_##group##_8};
#else
#define FK_LOWBIT_TILES(bits, group)                                                              \
    FK_LOWBIT_TILE(bits, group, 1) FK_LOWBIT_TILE(bits, group, 2) FK_LOWBIT_TILE(bits, group, 3)   \
    static fk_tile_function *const fk_tiles_##bits##_##group[] = {                                 \
        fk_tile_##bits##_##group##_1, fk_tile_##bits##_##group##_2, fk_tile_##bits##_##group##_3};
#endif

/* One element of low-bit weights: row n, column k. */
FK_INLINE float fk_lowbit_element(const char *w, int bits, int group, int width, size_t n, size_t k) {
    const char *at = w + n / FK_PANEL_ROWS * fk_lowbit_panel_bytes(bits, group, width) +
                     k / (size_t)group * fk_group_bytes(bits, group);
    const size_t row = n % FK_PANEL_ROWS, j = k % (size_t)group;
    const float scale = fk_from_f16(((const uint16_t *)(const void *)at)[row]);
    const size_t of_line = bits == 4 ? 8 : 4;
    const size_t byte = (j / of_line * FK_PANEL_LANES + row / FK_LANES) * 64 + row % FK_LANES * 4 + j % 4;
    const int code = ((const uint8_t *)at)[FK_SCALES_BYTES + byte];
    if (bits == 8) return (float)(code - 128) * scale;
    return (float)(fk_codebook[j % 8 < 4 ? code & 15 : code >> 4] - 128) * scale;
}

#endif
