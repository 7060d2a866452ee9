/* What generated code stands on: the step it is given, where things lie, how work is split. */
#ifndef FK_H
#define FK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "fkmath.h"

enum { FK_BLOCK_TOKENS = 16, FK_LANES = 16 };

/* 16 floats: one AVX-512 register, two of AVX2, four of NEON; the bits are the same on each. */
typedef float fk_f32x16 __attribute__((vector_size(64), aligned(4)));
typedef uint32_t fk_u32x16 __attribute__((vector_size(64), aligned(4)));
typedef uint16_t fk_u16x16 __attribute__((vector_size(32), aligned(2)));
typedef int16_t fk_i16x32 __attribute__((vector_size(64), aligned(2)));
typedef int16_t fk_i16x16 __attribute__((vector_size(32), aligned(2)));
typedef int32_t fk_i32x16 __attribute__((vector_size(64), aligned(4)));
typedef int8_t fk_i8x16 __attribute__((vector_size(16), aligned(1)));
typedef uint8_t fk_u8x64 __attribute__((vector_size(64), aligned(1)));

/* One step, seen by every phase. Buffers hold one row a token, state lies in blocks.
 *
 * In a step of a lone token (`alone`) every thread runs the row phases for itself, into rows of
 * its own, and waits for nobody before it goes on; only what is shared out needs a meeting. */
struct fk_program;

struct fk_step {
    struct fk_program *program;
    int32_t n_tokens, n_rows, max_blocks, n_threads, alone;
    const int32_t *tokens, *positions, *sequence, *block_tables, *rows;
    const char *weights; /* the artifact's packed constants */
    char *arena;         /* values between phases */
    char *scratch;       /* one piece of scratch_bytes for each thread */
    char *own;           /* lone rows of every thread but the first, own_bytes each */
    char *state;         /* slot after slot, n_blocks blocks in each */
    size_t scratch_bytes, own_bytes, n_blocks;
};

/* After which phases all threads meet: the last of a stage, and of those only the ones that share
 * out outputs or heads when a token is alone. */
enum fk_meeting { FK_NO_MEETING, FK_MEET_UNLESS_ALONE, FK_MEET };

/* One phase as the plan placed it: `at` holds its buffers', constants' and slots' offsets; `own`
 * the offsets of row phases' buffers among a thread's own rows. */
struct fk_call {
    void (*run)(const struct fk_call *call, const struct fk_step *step, int thread);
    const uint64_t *at, *own;
    int32_t stage;
    enum fk_meeting meeting;
};

#define FK_INLINE static inline __attribute__((always_inline, unused))

FK_INLINE fk_f32x16 fk_load16(const float *p) { fk_f32x16 v; memcpy(&v, p, sizeof v); return v; }
FK_INLINE void fk_store16(float *p, fk_f32x16 v) { memcpy(p, &v, sizeof v); }
FK_INLINE fk_f32x16 fk_splat(float x) { return (fk_f32x16){0} + x; }

FK_INLINE fk_f32x16 fk_fma16(fk_f32x16 a, fk_f32x16 b, fk_f32x16 c) {
#if defined(__clang__)
    return __builtin_elementwise_fma(a, b, c);
#else
    fk_f32x16 r;
    for (int i = 0; i < FK_LANES; i++) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r;
#endif
}

/* f16 to f32, exactly: the exponent is moved by a multiplication, which sets subnormals right. */
FK_INLINE float fk_from_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    const float scaled = fk_from_bits(rest) * 0x1p112f;
    const uint32_t whole = (h & 0x7c00) == 0x7c00 ? rest | 0x7f800000 : fk_bits(scaled);
    return fk_from_bits(sign | whole);
}

/* The nearest bf16, as an f32; NaN stays NaN. */
FK_INLINE float fk_round_bf16(float x) {
    const uint32_t u = fk_bits(x);
    return fk_from_bits(x != x ? 0x7fc00000 : (u + (0x7fff + ((u >> 16) & 1))) & 0xffff0000);
}

/* An element of a row that `quantise` left: codes, then the scale of each group. */
FK_INLINE float fk_of_codes(const int8_t *row, size_t size, size_t group, size_t i) {
    float scale;
    memcpy(&scale, row + size + i / group * sizeof scale, sizeof scale);
    return (float)row[i] * scale;
}

/* bf16 is the upper half of an f32. */
FK_INLINE float fk_bf16(uint16_t u) { return fk_from_bits((uint32_t)u << 16); }

FK_INLINE fk_f32x16 fk_load_bf16x16(const uint16_t *p) {
    fk_u16x16 h;
    memcpy(&h, p, sizeof h);
    fk_u32x16 w = __builtin_convertvector(h, fk_u32x16) << 16;
    fk_f32x16 v;
    memcpy(&v, &w, sizeof v);
    return v;
}

/* Wait until every thread is here, inside a phase that all of them run alike. */
static inline void fk_meet(const struct fk_step *s);

/* A thread's share of n things in one contiguous run. */
FK_INLINE int fk_first(int n, int thread, int n_threads) {
    return (int)((int64_t)n * thread / n_threads);
}

/* A thread's share of rows: all of them where it computes them for itself. */
FK_INLINE int fk_first_row(const struct fk_step *s, int n, int thread) {
    return s->alone ? 0 : fk_first(n, thread, s->n_threads);
}

FK_INLINE int fk_last_row(const struct fk_step *s, int n, int thread) {
    return s->alone ? n : fk_first(n, thread + 1, s->n_threads);
}

/* The groups of heads whose keys and values a thread stores: a lone token's attention goes round
 * by groups, so that each thread reads what it stored itself. */
FK_INLINE int fk_first_group(const struct fk_step *s, int groups, int thread) {
    return s->alone ? fk_first(groups, thread, s->n_threads) : 0;
}

FK_INLINE int fk_last_group(const struct fk_step *s, int groups, int thread) {
    return s->alone ? fk_first(groups, thread + 1, s->n_threads) : groups;
}

/* Rows that a row phase writes: in the arena, or a thread's own. */
FK_INLINE char *fk_rows(const struct fk_step *s, const struct fk_call *c, int i, int thread) {
    if (s->alone && thread) return s->own + (size_t)(thread - 1) * s->own_bytes + c->own[i];
    return s->arena + c->at[i];
}

/* The block of a slot that holds a position of a token's sequence. */
FK_INLINE char *fk_block(const struct fk_step *s, uint64_t slot, size_t block_bytes, int t,
                         int position) {
    const int32_t *table = s->block_tables + (size_t)s->sequence[t] * (size_t)s->max_blocks;
    size_t block = (size_t)table[position / FK_BLOCK_TOKENS];
    return s->state + (size_t)slot * s->n_blocks + block * block_bytes;
}

/* Row-major position of element (n, k) in panels of 16 output rows: [n / 16][k][n % 16]. */
FK_INLINE size_t fk_panel_index(size_t n, size_t k, size_t width) {
    return (n / FK_LANES * width + k) * FK_LANES + n % FK_LANES;
}

/* Indices of the k largest (or smallest) of n values in order; ties go to the lower index. */
static inline __attribute__((unused)) void fk_topk(const float *x, int n, int k, int largest,
                                                   int32_t *index) {
    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            if (j > 0) { /* only what comes after the last one chosen */
                int32_t last = index[j - 1];
                int after = largest ? x[i] < x[last] : x[i] > x[last];
                if (!after && !(x[i] == x[last] && i > last)) continue;
            }
            if (best < 0 || (largest ? x[i] > x[best] : x[i] < x[best])) best = i;
        }
        index[j] = best < 0 ? 0 : best;
    }
}

#endif
