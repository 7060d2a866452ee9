/* y = x wT with the outputs in vector lanes: panels of 16 output rows, stored [n/16][k][16].
 *
 * Every y[t][n] is one chain of fused multiply-adds over k from 0 upwards, whatever the tile, so
 * its bits depend neither on the batch nor on the number of threads nor on the lanes' width.
 * A tile keeps TOKENS x PANELS accumulators in registers; chains side by side hide the latency
 * of the multiply-add and keep several streams of weights in flight. */
#ifndef FK_LINEAR_H
#define FK_LINEAR_H

#include "fk.h"

enum fk_stored { FK_F32, FK_BF16 };

enum { FK_MAX_TOKENS = 6, FK_MAX_PANELS = 4 };

/* How far ahead a lone token asks for its weights: with one row there is nothing else to hide
 * the memory's latency behind. More than four streams, or more distance, measured slower. */
#define FK_AHEAD_BYTES 512

FK_INLINE fk_f32x16 fk_load_weights(const char *panel, size_t k, enum fk_stored stored) {
    if (stored == FK_BF16) return fk_load_bf16x16((const uint16_t *)panel + k * FK_LANES);
    return fk_load16((const float *)panel + k * FK_LANES);
}

FK_INLINE size_t fk_panel_bytes(size_t width, enum fk_stored stored) {
    return width * FK_LANES * (stored == FK_BF16 ? 2 : 4);
}

/* One tile: `tokens` rows of x against `panels` panels of w. Constant arguments make the loops
 * over them disappear. */
FK_INLINE void fk_linear_tile(const char *w, enum fk_stored stored, const float *x, size_t x_stride,
                              float *y, size_t y_stride, int width, int outputs, int tokens,
                              int panels) {
    fk_f32x16 sum[FK_MAX_TOKENS][FK_MAX_PANELS];
    size_t panel_bytes = fk_panel_bytes((size_t)width, stored);
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < panels; p++) sum[t][p] = (fk_f32x16){0};
#pragma clang loop unroll_count(2)
    for (int k = 0; k < width; k++) {
        fk_f32x16 weights[FK_MAX_PANELS];
        for (int p = 0; p < panels; p++) {
            const char *panel = w + (size_t)p * panel_bytes;
            size_t at = fk_panel_bytes((size_t)k, stored);
            if (tokens == 1 && at % 64 == 0) __builtin_prefetch(panel + at + FK_AHEAD_BYTES);
            weights[p] = fk_load_weights(panel, (size_t)k, stored);
        }
        for (int t = 0; t < tokens; t++) {
            fk_f32x16 value = fk_splat(x[(size_t)t * x_stride + (size_t)k]);
            for (int p = 0; p < panels; p++) sum[t][p] = fk_fma16(value, weights[p], sum[t][p]);
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < panels; p++) {
            float *out = y + (size_t)t * y_stride + (size_t)p * FK_LANES;
            int left = outputs - p * FK_LANES;
            if (left >= FK_LANES) fk_store16(out, sum[t][p]);
            else memcpy(out, &sum[t][p], (size_t)left * sizeof(float));
        }
}

/* All tokens against a run of `panels` panels. */
FK_INLINE void fk_linear_panels(const char *w, enum fk_stored stored, const float *x,
                                size_t x_stride, float *y, size_t y_stride, int width, int outputs,
                                int tokens, int panels) {
    int t = 0;
#define FK_TOKENS(n)                                                                           \
    for (; t + (n) <= tokens; t += (n))                                                        \
        fk_linear_tile(w, stored, x + (size_t)t * x_stride, x_stride, y + (size_t)t * y_stride, \
                       y_stride, width, outputs, (n), panels);
#if defined(__AVX512F__)
    FK_TOKENS(6)
#endif
    FK_TOKENS(3)
    FK_TOKENS(1)
#undef FK_TOKENS
}

/* Panels [first, last) of one matrix for all tokens. */
FK_INLINE void fk_linear(const char *w, enum fk_stored stored, const float *x, size_t x_stride,
                         float *y, size_t y_stride, int width, int outputs, int tokens, int first,
                         int last) {
    size_t panel_bytes = fk_panel_bytes((size_t)width, stored);
    int p = first;
#define FK_PANELS(n, run)                                                                     \
    for (; p + (n) <= last; p += (n))                                                         \
        run(w + (size_t)p * panel_bytes, stored, x, x_stride, y + (size_t)p * FK_LANES, y_stride, \
            width, outputs - p * FK_LANES, tokens, (n));
    if (tokens == 1) {
        FK_PANELS(4, fk_linear_tile)
        FK_PANELS(1, fk_linear_tile)
    }
#if defined(__AVX512F__)
    FK_PANELS(4, fk_linear_panels)
#else
    FK_PANELS(2, fk_linear_panels)
#endif
    FK_PANELS(1, fk_linear_panels)
#undef FK_PANELS
}

#endif
