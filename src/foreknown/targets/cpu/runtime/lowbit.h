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

/* Where a sum of products begins, of what a row brings along: see the table of instructions. */
FK_INLINE fk_i32x16 fk_begin(int bits, int32_t start) {
    return bits == 4 ? (fk_i32x16){0} + start / (-128 / FK_LEAST_CODE) : fk_start(start);
}

/* A row of a panel's outputs, as far as there are any. */
FK_INLINE void fk_store_panel(float *y, const fk_f32x16 *total, int outputs) {
    for (int p = 0; p < FK_PANEL_LANES; p++) {
        float *out = y + (size_t)p * FK_LANES;
        const int left = outputs - p * FK_LANES;
        if (left >= FK_LANES) fk_store16(out, total[p]);
        else if (left > 0) memcpy(out, &total[p], (size_t)left * sizeof(float));
    }
}

/* One panel against `tokens` rows. bits, group and tokens are constants where it is called.
 * `next` is a panel to come from memory if it should be asked for now, else null: with few rows the
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
        /* a lone row has too few sums to hide their latency: every other line has its own */
        const int halves = bits == 4 && tokens <= 2 ? 2 : 1;
        fk_i32x16 sum[8][FK_PANEL_LANES][2];
        for (int t = 0; t < tokens; t++) {
            const int32_t start = *(const int32_t *)((const char *)x.starts + (size_t)t * x.stride + 4 * g);
            for (int p = 0; p < FK_PANEL_LANES; p++) {
                sum[t][p][0] = fk_begin(bits, start);
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
                    fk_i32x16 *of = &sum[t][p][j % halves];
                    *of = bits == 8 ? fk_dot(*of, w[p][0], fk_four_codes(own))
                                    : fk_dot_small(*of, w[p][0], w[p][1], fk_four_codes(own),
                                                   fk_four_codes(own + 4));
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
    for (int t = 0; t < tokens; t++) fk_store_panel(y + (size_t)t * y_stride, total[t], outputs);
}

/* Many rows where bytes are not multiplied in one instruction: the codes of a group are opened once
 * for all rows. Those of 4 bits become bytes. Those of 8 bits are widened to 16, in pairs of every
 * other k, which cost one multiplication and one addition each; even k and odd k of four stand in
 * pairs of their own, for that takes two shifts and no shuffle. */
enum { FK_MANY_ROWS = 24, FK_MOST_GROUP = 64 };

struct fk_opened {
    union {
        fk_u8x64 small[FK_MOST_GROUP / 8][2][FK_PANEL_LANES]; /* of eight k: first four, last four */
        fk_i16x32 wide[FK_MOST_GROUP / 4][2][FK_PANEL_LANES]; /* of four k: even, odd */
    } codes;
    _Alignas(64) int32_t x[FK_MANY_ROWS][2][FK_MOST_GROUP / 4]; /* four k each; or: even, odd */
    int32_t starts[FK_MANY_ROWS];
    float of_x[FK_MANY_ROWS];
    fk_f32x16 scale[FK_PANEL_LANES];
    _Alignas(64) fk_f32x16 total[FK_MANY_ROWS][FK_PANEL_LANES];
};

FK_INLINE void fk_open_codes(struct fk_opened *to, const char *codes, int bits, int group) {
    for (int j = 0; j < group * bits / 32; j++)
        for (int p = 0; p < FK_PANEL_LANES; p++) {
            const fk_u8x64 line = fk_load64(codes + ((size_t)j * FK_PANEL_LANES + (size_t)p) * 64);
            if (bits == 8) {
                const fk_i16x32 both = (fk_i16x32)(line ^ 128);
                to->codes.wide[j][0][p] = both << 8 >> 8;
                to->codes.wide[j][1][p] = both >> 8;
            } else {
                to->codes.small[j][0][p] = fk_low_codes(line);
                to->codes.small[j][1][p] = fk_low_codes(line >> 4);
            }
        }
}

FK_INLINE void fk_open_row(struct fk_opened *to, struct fk_codes x, int bits, int group, int t,
                           int g) {
    const size_t skip = (size_t)t * x.stride;
    const char *own = (const char *)x.codes + skip + (size_t)g * (size_t)group;
    to->of_x[t] = *(const float *)((const char *)x.scales + skip + 4 * (size_t)g);
    to->starts[t] = bits == 8 ? 0 : *(const int32_t *)((const char *)x.starts + skip + 4 * (size_t)g);
    if (bits == 4) memcpy(to->x[t][0], own, (size_t)group);
    for (int i = 0; bits == 8 && i < group; i += 32) {
        fk_i16x16 both;
        memcpy(&both, own + i, sizeof both);
        const fk_i16x16 even = both << 8 >> 8, odd = both >> 8;
        memcpy(&to->x[t][0][i / 4], &even, sizeof even);
        memcpy(&to->x[t][1][i / 4], &odd, sizeof odd);
    }
}

/* Rows from t on; how many is a constant where it is called: as many sums as registers hold. */
FK_INLINE void fk_lowbit_few(struct fk_opened *of, int bits, int group, int t, int rows) {
    fk_i32x16 sum[2][FK_PANEL_LANES];
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < FK_PANEL_LANES; p++)
            sum[i][p] = bits == 4 ? fk_begin(4, of->starts[t + i]) : (fk_i32x16){0};
#pragma clang loop unroll_count(2)
    for (int q = 0; q < group / (32 / bits); q++)
        for (int i = 0; i < rows; i++) {
            const int32_t *first = of->x[t + i][0], *odd = of->x[t + i][1];
            for (int p = 0; p < FK_PANEL_LANES; p++) {
                if (bits == 4)
                    sum[i][p] = fk_dot_small(sum[i][p], of->codes.small[q][0][p],
                                             of->codes.small[q][1][p], first[2 * q], first[2 * q + 1]);
                else
                    for (int e = 0; e < 2; e++)
                        sum[i][p] = fk_dot_pairs(sum[i][p], of->codes.wide[q][e][p],
                                                 e ? odd[q] : first[q]);
            }
        }
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < FK_PANEL_LANES; p++)
            of->total[t + i][p] =
                fk_fma16(__builtin_convertvector(sum[i][p], fk_f32x16),
                         of->scale[p] * of->of_x[t + i], of->total[t + i][p]);
}

FK_INLINE void fk_lowbit_many(const char *panel, int bits, int group, struct fk_codes x, float *y,
                              size_t y_stride, int groups, int outputs, int rows,
                              const char *next) {
    struct fk_opened own;
    for (int t = 0; t < rows; t++)
        for (int p = 0; p < FK_PANEL_LANES; p++) own.total[t][p] = (fk_f32x16){0};
    for (int g = 0; g < groups; g++) {
        const size_t at = (size_t)g * fk_group_bytes(bits, group);
        for (size_t line = 0; next && line < fk_group_bytes(bits, group); line += 64)
            __builtin_prefetch(next + at + line, 0, 2);
        for (int p = 0; p < FK_PANEL_LANES; p++)
            own.scale[p] = fk_load_f16x16((const uint16_t *)(const void *)(panel + at + p * 32));
        fk_open_codes(&own, panel + at + FK_SCALES_BYTES, bits, group);
        for (int t = 0; t < rows; t++) fk_open_row(&own, x, bits, group, t, g);
        for (int t = 0; t + 1 < rows; t += 2) fk_lowbit_few(&own, bits, group, t, 2);
        if (rows % 2) fk_lowbit_few(&own, bits, group, rows - 1, 1);
    }
    for (int t = 0; t < rows; t++)
        fk_store_panel(y + (size_t)t * y_stride, own.total[t], outputs);
}

/* How panels [first, last) of one matrix are gone over, as the plan chose it: tiles of at most
 * `tile` rows; with more rows than a few tiles, blocks of panels that stay in a core's cache. */
struct fk_tiling {
    int tile, block;
};

typedef void fk_tile_function(const char *panel, struct fk_codes x, float *y, size_t y_stride,
                              int groups, int outputs, int rows, const char *next);

/* Rows of a tile at most, and how many of them have a function of their own: as many as the
 * registers hold sums of. The last function is for all that have none. With so few rows that the
 * processor fetches ahead by itself, it is not asked to. */
#if defined(__AVX512F__)
enum { FK_TILE_ROWS = 8, FK_TILES = 8, FK_FEW_ROWS = 3 };
#elif defined(__AVX2__)
enum { FK_TILE_ROWS = FK_MANY_ROWS, FK_TILES = 2, FK_FEW_ROWS = 1 };
#else
enum { FK_TILE_ROWS = 3, FK_TILES = 3, FK_FEW_ROWS = 3 };
#endif

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
                    const int ahead = by_panel ? 1 : block; /* what the last tile leaves, the next takes */
                    const int ask = tokens > FK_FEW_ROWS && j == pieces - 1 && p + ahead < last;
                    tiles[rows < FK_TILES ? rows - 1 : FK_TILES - 1](
                        panel, own, y + (size_t)from * y_stride + p * FK_PANEL_ROWS, y_stride,
                        width / group, outputs - p * FK_PANEL_ROWS, rows,
                        ask ? panel + (size_t)ahead * panel_bytes : NULL);
                }
    }
}

#define FK_LOWBIT_TILE(bits, group, count)                                                        \
    static void fk_tile_##bits##_##group##_##count(const char *panel, struct fk_codes x, float *y, \
                                                   size_t y_stride, int groups, int outputs,      \
                                                   int rows, const char *next) {                  \
        if (next) fk_lowbit_tile(panel, bits, group, x, y, y_stride, groups, outputs, count, next); \
        else fk_lowbit_tile(panel, bits, group, x, y, y_stride, groups, outputs, count, NULL);    \
    }
#define FK_LOWBIT_MANY(bits, group)                                                               \
    static void fk_tile_##bits##_##group##_many(const char *panel, struct fk_codes x, float *y,   \
                                                size_t y_stride, int groups, int outputs,         \
                                                int rows, const char *next) {                     \
        fk_lowbit_many(panel, bits, group, x, y, y_stride, groups, outputs, rows, next);          \
    }

/* The tiles of one format; the generator asks for each format once. */
#if defined(__AVX512F__)
#define FK_LOWBIT_TILES(bits, group)                                                              \
    FK_LOWBIT_TILE(bits, group, 1) FK_LOWBIT_TILE(bits, group, 2) FK_LOWBIT_TILE(bits, group, 3)   \
    FK_LOWBIT_TILE(bits, group, 4) FK_LOWBIT_TILE(bits, group, 5) FK_LOWBIT_TILE(bits, group, 6)   \
    FK_LOWBIT_TILE(bits, group, 7) FK_LOWBIT_TILE(bits, group, 8)                                  \
    static fk_tile_function *const fk_tiles_##bits##_##group[] = {                                 \
        fk_tile_##bits##_##group##_1, fk_tile_##bits##_##group##_2, fk_tile_##bits##_##group##_3,  \
        fk_tile_##bits##_##group##_4, fk_tile_##bits##_##group##_5, fk_tile_##bits##_##group##_6,  \
        fk_tile_##bits##_##group##_7, fk_tile_##bits##_##group##_8};
#elif defined(__AVX2__)
#define FK_LOWBIT_TILES(bits, group)                                                              \
    FK_LOWBIT_TILE(bits, group, 1) FK_LOWBIT_MANY(bits, group)                                     \
    static fk_tile_function *const fk_tiles_##bits##_##group[] = {                                 \
        fk_tile_##bits##_##group##_1, fk_tile_##bits##_##group##_many};
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
    return (float)(fk_codebook[j % 8 < 4 ? code & 15 : code >> 4] + FK_LEAST_CODE) * scale;
}

#endif
