/* Weights to codes of 4 or 8 bits and f16 scales of least squared error, for the host's tools.
 *
 * What it computes, and in which order, is defined by quantise_weights in graph/quantise.py.
 * Sixteen candidates are weighed at once, one sum of squares each, and the trees of their sums
 * are halved together; the least-squares steps take sixteen groups at once in the same way.
 * The table of instructions stands before this file: it brings the codebook. */
#ifndef FK_QUANTISE_H
#define FK_QUANTISE_H

#include "fk.h"

#if defined(__clang__)
#define FK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FK_UNROLL
#endif

enum { FK_CANDIDATES4 = 32, FK_CANDIDATES8 = 64, FK_REFINEMENTS = 2 };

/* EXTREMES[4] of graph/quantise.py. */
static const float fk_extremes4[FK_CANDIDATES4] = {
    32, -32, 17.5f, 20, 21.5f, 23.5f, 25.5f, 26.5f,
    27.25f, 28.25f, 29, 30.25f, 34.25f, 37.25f, 41.75f, -16.25f,
    -20, -24.25f, -25.75f, -26.75f, -27.75f, -29.25f, -30.25f, -31.25f,
    -32.75f, -33.75f, -34.75f, -36.25f, -38.5f, -41.25f, -45.25f, -51.25f,
};

/* EXTREMES[8]. */
FK_INLINE float fk_extreme8(int c) {
    if (c == 0) return 127.0f;
    return c < 48 ? 116.625f + 0.25f * (float)c : 136.0f + 8.0f * (float)(c - 48);
}

/* Lanes of a where the mask is all ones, of b where it is zero. */
FK_INLINE fk_f32x16 fk_select16(fk_i32x16 mask, fk_f32x16 a, fk_f32x16 b) {
    return (fk_f32x16)((mask & (fk_i32x16)a) | (~mask & (fk_i32x16)b));
}

/* The nearest f16 as an f32, ties to even; not zero but the smallest above it. */
FK_INLINE fk_f32x16 fk_as_scale(fk_f32x16 x) {
    const fk_u32x16 sign = (fk_u32x16)x & 0x80000000, size = (fk_u32x16)x & 0x7fffffff;
    const fk_u32x16 normal = (size + 0xfff + ((size >> 13) & 1)) & ~(uint32_t)0x1fff;
    const fk_f32x16 small = ((fk_f32x16)size + 0.5f) - 0.5f; /* below 2^-14 in steps of 2^-24 */
    const fk_f32x16 least = fk_splat(0x1p-24f), large = fk_splat(FK_INF);
    fk_f32x16 near = fk_select16((fk_f32x16)size < 0x1p-14f, small, (fk_f32x16)normal);
    near = fk_select16(near < least, least, near);
    near = fk_select16(near > 65504.0f, large, near);
    return (fk_f32x16)((fk_u32x16)near | sign);
}

/* The bits in f16 of a value that f16 holds. */
FK_INLINE uint16_t fk_f16_bits(float x) {
    const uint32_t sign = fk_bits(x) >> 31 << 15, size = fk_bits(x) & 0x7fffffff;
    const uint32_t normal = size == 0x7f800000 ? 0x7c00 : (size - 0x38000000) >> 13;
    const uint32_t small = (uint32_t)(fk_from_bits(size < 0x38800000 ? size : 0) * 0x1p24f);
    return (uint16_t)(sign | (size < 0x38800000 ? small : normal));
}

struct fk_format {
    int bits, group, candidates;
    fk_f32x16 book, midpoints; /* of 4 bits; the last midpoint is infinite */
};

FK_INLINE fk_f32x16 fk_clamp16(fk_f32x16 y, float most) {
    y = fk_select16(y < -most, fk_splat(-most), y);
    return fk_select16(y > most, fk_splat(most), y);
}

/* The nearest code of 4 bits: one more than the last whose upper midpoint lies below.
 *
 * Where codes lie is almost a parabola on each side of 0. This one takes each midpoint to a cell
 * of its own, at least 0.3 from the ends of it, so one comparison says on which side y is. */
FK_INLINE fk_f32x16 fk_nearest_in_book(fk_f32x16 y, const struct fk_format *f) {
    y = fk_clamp16(y, 30.0f); /* beyond, nothing changes */
    const fk_f32x16 size = (fk_f32x16)((fk_i32x16)y & 0x7fffffff);
    const fk_f32x16 slope = fk_fma16(size, fk_splat(-0.0039f), fk_splat(0.37f));
    const fk_f32x16 place = fk_fma16(y, slope, fk_splat(7.73f));
    const fk_i32x16 cell = __builtin_convertvector(place, fk_i32x16);
    return fk_lookup16(f->book, cell - (fk_lookup16(f->midpoints, cell) < y));
}

FK_INLINE fk_f32x16 fk_codes16(fk_f32x16 w, float inverse, const struct fk_format *f) {
    if (f->bits == 4) return fk_nearest_in_book(w * inverse, f);
    fk_f32x16 y = fk_clamp16(w * inverse, 127.0f);
#if defined(__clang__)
    return __builtin_elementwise_rint(y);
#else
    for (int i = 0; i < FK_LANES; i++) y[i] = __builtin_rintf(y[i]);
    return y;
#endif
}

/* Of each of two vectors the first (second) halves of its runs of 2 * size lanes, side by side:
 * what a step of the tree adds up, for two trees at once. */
#define FK_FIRST_8(a, b)                                                                       \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define FK_SECOND_8(a, b)                                                                      \
    __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#define FK_FIRST_4(a, b)                                                                       \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define FK_SECOND_4(a, b)                                                                      \
    __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#define FK_FIRST_2(a, b)                                                                       \
    __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29)
#define FK_SECOND_2(a, b)                                                                      \
    __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31)
#define FK_FIRST_1(a, b)                                                                       \
    __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define FK_SECOND_1(a, b)                                                                      \
    __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define FK_FIRST(size, a, b) FK_FIRST_##size(a, b)
#define FK_SECOND(size, a, b) FK_SECOND_##size(a, b)

/* Lane i of the result is the sum of v[i] by the fixed tree. */
FK_INLINE fk_f32x16 fk_tree_sums(fk_f32x16 v[FK_LANES]) {
#define FK_HALVE(size)                                                                         \
    for (int i = 0; i < (size); i++)                                                           \
        v[i] = FK_FIRST(size, v[2 * i], v[2 * i + 1]) + FK_SECOND(size, v[2 * i], v[2 * i + 1]);
    FK_HALVE(8) FK_HALVE(4) FK_HALVE(2) FK_HALVE(1)
#undef FK_HALVE
    return v[0];
}

/* Lane i of *least is the least of key[i], and of the result its companion in value[i]; of equal
 * keys the first half's goes on at each step of the tree. */
FK_INLINE fk_f32x16 fk_tree_least(fk_f32x16 key[FK_LANES], fk_f32x16 value[FK_LANES],
                                  fk_f32x16 *least) {
#define FK_HALVE(size)                                                                      \
    for (int i = 0; i < (size); i++) {                                                      \
        const fk_f32x16 a = FK_FIRST(size, key[2 * i], key[2 * i + 1]);                     \
        const fk_f32x16 b = FK_SECOND(size, key[2 * i], key[2 * i + 1]);                    \
        const fk_f32x16 of_a = FK_FIRST(size, value[2 * i], value[2 * i + 1]);              \
        const fk_f32x16 of_b = FK_SECOND(size, value[2 * i], value[2 * i + 1]);             \
        key[i] = fk_select16(b < a, b, a);                                                  \
        value[i] = fk_select16(b < a, of_b, of_a);                                          \
    }
    FK_HALVE(8) FK_HALVE(4) FK_HALVE(2) FK_HALVE(1)
#undef FK_HALVE
    *least = key[0];
    return value[0];
}

/* The number of largest size, of two such the negative one. */
FK_INLINE float fk_extreme(const float *w, int n) {
    uint32_t most = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t size_and_sign = fk_bits(w[i]) << 1 | fk_bits(w[i]) >> 31;
        most = size_and_sign > most ? size_and_sign : most;
    }
    return fk_from_bits(most >> 1 | most << 31);
}

/* Weighs all candidates of one group: of each lane the least error, and in the result its scale. */
FK_INLINE fk_f32x16 fk_search(const float *w, const float *importance, float extreme,
                              const float *factors, const struct fk_format *f,
                              fk_f32x16 *least) {
    fk_f32x16 best = {0}, error = fk_splat(FK_INF);
    for (int c = 0; c < f->candidates; c += FK_LANES) {
        const fk_f32x16 scale = fk_as_scale(fk_load16(factors + c) * extreme);
        if (c == 0) best = scale;
        const fk_f32x16 inverse = 1.0f / scale;
        fk_f32x16 sum[FK_LANES];
        FK_UNROLL
        for (int i = 0; i < FK_LANES; i++)
            for (int j = 0; j < f->group; j += FK_LANES) {
                const fk_f32x16 own = fk_load16(w + j);
                const fk_f32x16 rest = own - scale[i] * fk_codes16(own, inverse[i], f);
                fk_f32x16 square = rest * rest;
                if (importance) square = fk_load16(importance + j) * square;
                sum[i] = j == 0 ? square : sum[i] + square;
            }
        const fk_f32x16 found = fk_tree_sums(sum);
        best = fk_select16(found < error, scale, best);
        error = fk_select16(found < error, found, error);
    }
    *least = error;
    return best;
}

/* n <= 16 groups, the first of them number `first` of a row. */
FK_INLINE void fk_quantise_groups(const float *w, int n, const float *importance, int first,
                                  int of_row, const float *factors, const struct fk_format *f,
                                  int8_t *q, uint16_t *scale_f16) {
    const int group = f->group;
    const float *weight[FK_LANES];
    fk_f32x16 bests[FK_LANES], errors[FK_LANES], error, extreme = {0};
    for (int g = n; g < FK_LANES; g++) bests[g] = errors[g] = fk_splat(1.0f);
    for (int g = 0; g < n; g++) {
        const size_t column = (size_t)((first + g) % of_row) * (size_t)group;
        weight[g] = importance ? importance + column : NULL;
        const float own = fk_extreme(w + g * group, group);
        extreme[g] = f->bits == 4 ? own : fk_from_bits(fk_bits(own) & 0x7fffffff);
        bests[g] = fk_search(w + g * group, weight[g], extreme[g], factors, f, &errors[g]);
    }
    fk_f32x16 best = fk_tree_least(errors, bests, &error), now = best;

    for (int r = 0; r <= FK_REFINEMENTS; r++) {
        fk_f32x16 products[FK_LANES], squares[FK_LANES];
        for (int g = n; g < FK_LANES; g++) errors[g] = products[g] = squares[g] = fk_splat(1.0f);
        const fk_f32x16 inverse = 1.0f / now;
        for (int g = 0; g < n; g++)
            for (int j = 0; j < group; j += FK_LANES) {
                const fk_f32x16 own = fk_load16(w + g * group + j);
                const fk_f32x16 codes = fk_codes16(own, inverse[g], f);
                const fk_f32x16 rest = own - now[g] * codes;
                fk_f32x16 square = rest * rest, weighted = codes;
                if (importance) {
                    const fk_f32x16 by = fk_load16(weight[g] + j);
                    square = by * square;
                    weighted = by * codes;
                }
                errors[g] = j == 0 ? square : errors[g] + square;
                products[g] = j == 0 ? weighted * own : products[g] + weighted * own;
                squares[g] = j == 0 ? weighted * codes : squares[g] + weighted * codes;
            }
        const fk_f32x16 found = fk_tree_sums(errors);
        best = fk_select16(found < error, now, best);
        error = fk_select16(found < error, found, error);
        const fk_f32x16 fitted = fk_tree_sums(products) / fk_tree_sums(squares);
        const fk_i32x16 usable = (fitted <= 65504.0f) & (fitted >= -65504.0f);
        now = fk_select16(usable, fk_as_scale(fitted), now);
    }

    for (int g = 0; g < n; g++)
        for (int j = 0; j < group; j += FK_LANES) {
            const fk_f32x16 own = fk_load16(w + g * group + j);
            fk_f32x16 square = own * own;
            if (importance) square = fk_load16(weight[g] + j) * square;
            errors[g] = j == 0 ? square : errors[g] + square;
        }
    const fk_f32x16 none = {0}, infinite = fk_splat(FK_INF);
    const fk_f32x16 amax = (fk_f32x16)((fk_i32x16)extreme & 0x7fffffff);
    best = fk_select16(fk_tree_sums(errors) < error, none, best);
    best = fk_select16(amax <= 0x1p-25f, none, best);
    best = fk_select16(fk_as_scale(amax * factors[0]) == infinite, infinite, best);
    const fk_f32x16 inverse = fk_select16(best == none, none, 1.0f / best);
    for (int g = 0; g < n; g++) {
        for (int j = 0; j < group; j += FK_LANES) {
            const fk_f32x16 own = fk_load16(w + g * group + j);
            const fk_i32x16 wide =
                __builtin_convertvector(fk_codes16(own, inverse[g], f), fk_i32x16);
            const fk_i8x16 codes = __builtin_convertvector(wide, fk_i8x16);
            memcpy(q + g * group + j, &codes, sizeof codes);
        }
        scale_f16[g] = fk_f16_bits(best[g]);
    }
}

FK_INLINE void fk_quantise_matrix(const float *w, int64_t n, int64_t k, const float *importance,
                                  int bits, int group, int8_t *q, uint16_t *scale_f16) {
    struct fk_format f = {bits, group, bits == 4 ? FK_CANDIDATES4 : FK_CANDIDATES8};
    for (int i = 0; i < FK_LANES; i++) f.book[i] = (float)(fk_codebook[i] + FK_LEAST_CODE);
    for (int i = 0; i + 1 < FK_LANES; i++) f.midpoints[i] = (f.book[i] + f.book[i + 1]) / 2;
    f.midpoints[FK_LANES - 1] = FK_INF;
    float factors[FK_CANDIDATES8];
    for (int c = 0; c < f.candidates; c++)
        factors[c] = 1.0f / (bits == 4 ? fk_extremes4[c] : fk_extreme8(c));
    const int64_t of_row = k / group, groups = n * of_row;
    for (int64_t g = 0; g < groups; g += FK_LANES) {
        const int count = groups - g < FK_LANES ? (int)(groups - g) : FK_LANES;
        fk_quantise_groups(w + g * group, count, importance, (int)(g % of_row), (int)of_row,
                           factors, &f, q + g * group, scale_f16 + g);
    }
}

/* f32 [n, k] to codes [n, k] and scales [n, k / group]; group is a multiple of 16. */
static void fk_quantise(const float *w, int64_t n, int64_t k, int bits, int group,
                        const float *importance_or_null, int8_t *q, uint16_t *scale_f16) {
#define FK_OF_BITS(bits, group, importance)                                                   \
    fk_quantise_matrix(w, n, k, importance, bits, group, q, scale_f16)
#define FK_CASE(group, importance)                                                            \
    (bits == 4 ? FK_OF_BITS(4, group, importance) : FK_OF_BITS(8, group, importance))
    if (importance_or_null) FK_CASE(group, importance_or_null);
    else if (group == 32) FK_CASE(32, NULL);
    else if (group == 64) FK_CASE(64, NULL);
    else FK_CASE(group, NULL);
#undef FK_CASE
#undef FK_OF_BITS
}

#endif
