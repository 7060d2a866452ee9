/* Attention over blocks of 16 positions, for one token and the heads of one group.
 *
 * A block holds, for each group, keys with 16 positions in lanes and values with the value's
 * elements in lanes (drawn in plan/state.py), in f32, bf16 or codes of 8 bits with a scale for
 * each position. All heads of a group are gone over together, so each block is read once.
 *
 * A context is cut into spans of 64 blocks that lie fast. In a span, scores are chains over the
 * width (exact integers for codes), the sum of exponentials runs in 16 lanes (a position belongs
 * to lane position % 16) and one tree, outputs are chains over positions in order; spans are
 * joined in order. None of it depends on how the prompt was cut, on what else runs in the step,
 * or on which thread does which span. */
#ifndef FK_ATTEND_H
#define FK_ATTEND_H

#include "fk.h"
#include "kept.h"
#include "lowbit.h"

enum { FK_SPAN_BLOCKS = 64, FK_SPAN_TOKENS = FK_SPAN_BLOCKS * FK_BLOCK_TOKENS };
enum { FK_HEADS_AT_ONCE = 8, FK_BLOCKS_AT_ONCE = 4, FK_VECTORS_AT_ONCE = 4 };
/* Blocks lie anywhere, so the processor cannot foresee them: they are asked for so far ahead. Many
 * tokens of one sequence find them in the cache. */
enum { FK_KEYS_AHEAD = 4, FK_VALUES_AHEAD = 2, FK_FEW_TOKENS = 32 };

/* What the graph's node says; `bias` is [heads][distances] or null, `sinks` [heads] or null. */
struct fk_attention {
    int heads, groups, width, value_width, window, chunk, distances;
    float scale, softcap;
    enum fk_kept keys, values;
};

/* What a step gives to it: rows of queries (codes, if keys are kept so) and of outputs. */
struct fk_attended {
    uint64_t slot;
    const char *queries;
    size_t query_stride;
    const float *sinks, *bias;
    float *out;
    size_t out_stride;
};

/* A block's keys of one group of heads; its values lie after the keys of all groups. */
FK_INLINE const char *fk_keys(const struct fk_attention a, const struct fk_step *s, uint64_t slot,
                              int t, int group, int block) {
    const size_t keys = fk_kept_bytes(a.keys, a.width);
    const size_t values = fk_kept_bytes(a.values, fk_padded(a.value_width));
    const char *at = fk_block(s, slot, (size_t)a.groups * (keys + values), t, block * FK_BLOCK_TOKENS);
    return at + (size_t)group * keys;
}

FK_INLINE const char *fk_values(const struct fk_attention a, const struct fk_step *s, uint64_t slot,
                                int t, int group, int block) {
    const size_t keys = fk_kept_bytes(a.keys, a.width);
    const size_t values = fk_kept_bytes(a.values, fk_padded(a.value_width));
    return fk_keys(a, s, slot, t, 0, block) + (size_t)a.groups * keys + (size_t)group * values;
}

/* Where the span ends that begins at a block: at its border, or after the last block. */
FK_INLINE int fk_span_end(int block, int last) {
    const int border = (block / FK_SPAN_BLOCKS + 1) * FK_SPAN_BLOCKS;
    return border <= last ? border : last + 1;
}

/* The first position that a token sees. */
FK_INLINE int fk_first_visible(const struct fk_attention a, int position) {
    int first = 0;
    if (a.window && position - a.window + 1 > first) first = position - a.window + 1;
    if (a.chunk && position / a.chunk * a.chunk > first) first = position / a.chunk * a.chunk;
    return first;
}

/* Products of `heads` queries with the keys of `blocks` blocks, before any scaling of the node. */
FK_INLINE void fk_dots(const struct fk_attention a, const char *const *keys, struct fk_codes codes,
                       const float *query, int heads, int blocks,
                       fk_f32x16 dot[FK_BLOCKS_AT_ONCE][FK_HEADS_AT_ONCE]) {
    if (a.keys == FK_KEPT_INT8) {
        fk_i32x16 sum[FK_BLOCKS_AT_ONCE][FK_HEADS_AT_ONCE];
        for (int b = 0; b < blocks; b++)
            for (int h = 0; h < heads; h++) sum[b][h] = fk_start(codes.starts[h]);
        for (int d = 0; d < a.width; d += 4)
            for (int b = 0; b < blocks; b++) {
                const fk_u8x64 four = fk_load64(keys[b] + (size_t)d * FK_LANES);
                for (int h = 0; h < heads; h++)
                    sum[b][h] = fk_dot(sum[b][h], four, fk_four_codes(codes.codes + h * a.width + d));
            }
        for (int b = 0; b < blocks; b++) {
            const fk_f32x16 scale = fk_load16((const float *)(const void *)(keys[b] + FK_LANES * a.width));
            for (int h = 0; h < heads; h++)
                dot[b][h] = __builtin_convertvector(sum[b][h], fk_f32x16) * (scale * codes.scales[h]);
        }
        return;
    }
    for (int b = 0; b < blocks; b++)
        for (int h = 0; h < heads; h++) dot[b][h] = (fk_f32x16){0};
    for (int d = 0; d < a.width; d++)
        for (int b = 0; b < blocks; b++) {
            const fk_f32x16 key = fk_load_kept(a.keys, keys[b], (size_t)d * FK_LANES);
            for (int h = 0; h < heads; h++)
                dot[b][h] = fk_fma16(fk_splat(query[h * a.width + d]), key, dot[b][h]);
        }
}

/* What the node makes of products: scaled, capped, biased, and minus infinity where unseen. */
FK_INLINE void fk_score(const struct fk_attention a, fk_f32x16 dot, int start, int first, int position,
                        const float *bias, float *score) {
    fk_store16(score, dot * a.scale);
    if (a.softcap != 0.0f)
        for (int j = 0; j < FK_BLOCK_TOKENS; j++) score[j] = a.softcap * fk_tanh(score[j] / a.softcap);
    if (bias)
        for (int j = 0; j < FK_BLOCK_TOKENS; j++) {
            int distance = position - (start + j);
            distance = distance < 0 ? 0 : distance;
            score[j] += bias[distance < a.distances ? distance : a.distances - 1];
        }
    if (start >= first && start + FK_BLOCK_TOKENS - 1 <= position) return;
    for (int j = 0; j < FK_BLOCK_TOKENS; j++)
        score[j] = start + j >= first && start + j <= position ? score[j] : -FK_INF;
}

/* Scores [heads][row] of one token against blocks [begin, end). */
FK_INLINE void fk_scores(const struct fk_attention a, const struct fk_step *s,
                         const struct fk_attended in, int t, int group, int begin, int end,
                         float *scores, int row) {
    const int shared = a.heads / a.groups, head0 = group * shared, position = s->positions[t];
    const int first = fk_first_visible(a, position);
    const char *queries = in.queries + (size_t)t * in.query_stride;
    const int most = shared < FK_HEADS_AT_ONCE ? shared : FK_HEADS_AT_ONCE;
    const int wide = most >= FK_BLOCKS_AT_ONCE ? 1 : FK_BLOCKS_AT_ONCE / most;
    for (int b = begin; b < end;) {
        const int blocks = b + wide <= end ? wide : 1;
        const char *keys[FK_BLOCKS_AT_ONCE];
        for (int i = 0; i < blocks; i++) {
            keys[i] = fk_keys(a, s, in.slot, t, group, b + i);
            if (s->n_tokens <= FK_FEW_TOKENS && b + i + FK_KEYS_AHEAD < end)
                fk_ask_for(fk_keys(a, s, in.slot, t, group, b + i + FK_KEYS_AHEAD),
                           fk_kept_bytes(a.keys, a.width));
        }
        for (int h = 0; h < shared; h += most) {
            const int at = (head0 + h) * a.width;
            struct fk_codes codes = {0};
            if (a.keys == FK_KEPT_INT8)
                codes = fk_codes_at(queries, 0, (size_t)a.heads * a.width, (size_t)a.width, (size_t)at);
            const float *query = (const float *)(const void *)queries + at;
            fk_f32x16 dot[FK_BLOCKS_AT_ONCE][FK_HEADS_AT_ONCE];
            const int left = shared - h < most ? shared - h : most;
            if (left < most) /* the last few of an odd number of heads, one by one */
                for (int i = 0; i < blocks; i++)
                    for (int k = 0; k < left; k++) {
                        const struct fk_codes one = {codes.codes + k * a.width, codes.scales + k,
                                                     codes.starts + k, 0};
                        fk_f32x16 alone[FK_BLOCKS_AT_ONCE][FK_HEADS_AT_ONCE];
                        fk_dots(a, keys + i, one, query + k * a.width, 1, 1, alone);
                        dot[i][k] = alone[0][0];
                    }
            else if (blocks == wide) fk_dots(a, keys, codes, query, most, wide, dot);
            else fk_dots(a, keys, codes, query, most, 1, dot);
            for (int i = 0; i < blocks; i++)
                for (int k = 0; k < left; k++)
                    fk_score(a, dot[i][k], (b + i) * FK_BLOCK_TOKENS, first, position,
                             in.bias ? in.bias + (size_t)(head0 + h + k) * (size_t)a.distances : NULL,
                             scores + (h + k) * row + (b + i - begin) * FK_BLOCK_TOKENS);
        }
        b += blocks;
    }
}

/* A block's values from position `from` to `to`, weighted, into the sums of a few heads. */
FK_INLINE void fk_add_values(enum fk_kept kept, const char *values, int padded,
                             float weight[FK_VECTORS_AT_ONCE][FK_LANES], int from, int to, int heads,
                             int vectors,
                             fk_f32x16 sum[FK_VECTORS_AT_ONCE][FK_VECTORS_AT_ONCE]) {
    for (int j = from; j <= to; j++)
        for (int v = 0; v < vectors; v++) {
            const fk_f32x16 value = fk_load_kept(kept, values, (size_t)(j * padded + v * FK_LANES));
            for (int h = 0; h < heads; h++)
                sum[h][v] = fk_fma16(fk_splat(weight[h][j]), value, sum[h][v]);
        }
}

/* Sums of values [heads][padded] weighted by scores, for up to FK_VECTORS_AT_ONCE vectors of them. */
FK_INLINE void fk_weighted(const struct fk_attention a, const struct fk_step *s,
                           const struct fk_attended in, int t, int group, int begin, int end,
                           const float *scores, int row, int heads, int vectors, int d, float *out) {
    const int position = s->positions[t], first = fk_first_visible(a, position);
    const int padded = fk_padded(a.value_width);
    fk_f32x16 sum[FK_VECTORS_AT_ONCE][FK_VECTORS_AT_ONCE];
    for (int h = 0; h < heads; h++)
        for (int v = 0; v < vectors; v++) sum[h][v] = (fk_f32x16){0};
    for (int b = begin; b < end; b++) {
        const int start = b * FK_BLOCK_TOKENS;
        const char *values = fk_values(a, s, in.slot, t, group, b);
        if (s->n_tokens <= FK_FEW_TOKENS && b + FK_VALUES_AHEAD < end)
            fk_ask_for(fk_values(a, s, in.slot, t, group, b + FK_VALUES_AHEAD),
                       fk_kept_bytes(a.values, padded));
        const int from = first > start ? first - start : 0;
        const int to = position - start < FK_BLOCK_TOKENS - 1 ? position - start : FK_BLOCK_TOKENS - 1;
        float weight[FK_VECTORS_AT_ONCE][FK_LANES];
        for (int h = 0; h < heads; h++) {
            fk_f32x16 w = fk_load16(scores + h * row + start - begin * FK_BLOCK_TOKENS);
            if (a.values == FK_KEPT_INT8)
                w = w * fk_load16((const float *)(const void *)(values + FK_LANES * padded));
            fk_store16(weight[h], w);
        }
        const char *own = values + (size_t)d * fk_item_bytes(a.values);
        if (from == 0 && to == FK_BLOCK_TOKENS - 1)
            fk_add_values(a.values, own, padded, weight, 0, FK_BLOCK_TOKENS - 1, heads, vectors, sum);
        else
            fk_add_values(a.values, own, padded, weight, from, to, heads, vectors, sum);
    }
    for (int h = 0; h < heads; h++)
        for (int v = 0; v < vectors; v++) fk_store16(out + h * padded + d + v * FK_LANES, sum[h][v]);
}

/* A span's part of the result, for each head: the highest score, the sum of exponentials, and the
 * values weighted by them: [heads] [heads] [heads][padded]. */
FK_INLINE size_t fk_part_floats(const struct fk_attention a) {
    return (size_t)(a.heads / a.groups) * (size_t)(2 + fk_padded(a.value_width));
}

FK_INLINE void fk_attend_span(const struct fk_attention a, const struct fk_step *s,
                              const struct fk_attended in, int t, int group, int begin, int end,
                              float *scores, float *part) {
    const int shared = a.heads / a.groups, row = FK_SPAN_TOKENS, count = (end - begin) * FK_LANES;
    const int padded = fk_padded(a.value_width);
    fk_scores(a, s, in, t, group, begin, end, scores, row);
    for (int h = 0; h < shared; h++) {
        float *score = scores + h * row, most = -FK_INF;
        float highest[FK_LANES], lanes[FK_LANES] = {0};
        for (int j = 0; j < FK_LANES; j++) highest[j] = -FK_INF;
        for (int i = 0; i < count; i += FK_LANES)
            for (int j = 0; j < FK_LANES; j++) highest[j] = fk_max(highest[j], score[i + j]);
        for (int j = 0; j < FK_LANES; j++) most = fk_max(most, highest[j]);
        const float base = most == -FK_INF ? 0.0f : most;
        for (int i = 0; i < count; i += FK_LANES)
            for (int j = 0; j < FK_LANES; j++) {
                const float e = fk_exp(score[i + j] - base);
                score[i + j] = e;
                lanes[j] += e;
            }
        part[h] = most;
        part[shared + h] = fk_tree_sum(lanes);
    }
    float *out = part + 2 * shared;
    const int whole = padded / FK_LANES % FK_VECTORS_AT_ONCE == 0 ? FK_VECTORS_AT_ONCE : 1;
    for (int d = 0; d < padded; d += whole * FK_LANES) {
        int h = 0;
        for (; h + 4 <= shared; h += 4)
            fk_weighted(a, s, in, t, group, begin, end, scores + h * row, row, 4, whole, d, out + h * padded);
        for (; h < shared; h++)
            fk_weighted(a, s, in, t, group, begin, end, scores + h * row, row, 1, whole, d, out + h * padded);
    }
}

/* Take a later span's part into the result so far. */
FK_INLINE void fk_join_part(const struct fk_attention a, float *so_far, const float *part) {
    const int shared = a.heads / a.groups, padded = fk_padded(a.value_width);
    for (int h = 0; h < shared; h++) {
        const float most = fk_max(so_far[h], part[h]), base = most == -FK_INF ? 0.0f : most;
        const float old = fk_exp(so_far[h] - base), new = fk_exp(part[h] - base);
        so_far[h] = most;
        so_far[shared + h] = fk_fma(part[shared + h], new, so_far[shared + h] * old);
        float *out = so_far + 2 * shared + h * padded;
        const float *more = part + 2 * shared + h * padded;
        for (int d = 0; d < padded; d++) out[d] = fk_fma(more[d], new, out[d] * old);
    }
}

/* The result of all spans: divided by the sum of exponentials, a sink's included. */
FK_INLINE void fk_finish_attend(const struct fk_attention a, const struct fk_attended in, int t,
                                int group, const float *part) {
    const int shared = a.heads / a.groups, padded = fk_padded(a.value_width);
    for (int h = 0; h < shared; h++) {
        const float *own = part + 2 * shared + h * padded;
        float total = part[shared + h], factor = 1.0f;
        if (in.sinks) {
            const float sink = in.sinks[group * shared + h], most = fk_max(part[h], sink);
            factor = fk_exp(part[h] - most);
            total = fk_fma(total, factor, fk_exp(sink - most));
        }
        float *out = in.out + (size_t)t * in.out_stride + (size_t)(group * shared + h) * (size_t)a.value_width;
        for (int d = 0; d < a.value_width; d++) out[d] = own[d] * factor / total;
    }
}

/* Joins the parts of spans that were shared out: span k of a step lies with thread k % n. */
FK_INLINE void fk_join_spans(const struct fk_attention a, const struct fk_step *s,
                             const struct fk_attended in, int thread) {
    const int items = s->n_tokens * a.groups, n = s->n_threads;
    const size_t part_floats = fk_part_floats(a);
    const size_t parts_at = (size_t)(a.heads / a.groups) * FK_SPAN_TOKENS;
    for (int i = 0, k = 0; i < items; i++) {
        const int t = i % s->n_tokens, group = i / s->n_tokens, position = s->positions[t];
        const int first = fk_first_visible(a, position) / FK_BLOCK_TOKENS;
        const int last = position / FK_BLOCK_TOKENS;
        float *so_far = NULL;
        for (int b = first; b <= last; b = fk_span_end(b, last), k++) {
            char *owner = s->scratch + (size_t)(k % n) * s->scratch_bytes;
            float *part = (float *)(void *)owner + parts_at + (size_t)(k / n) * part_floats;
            if (i == thread && so_far) fk_join_part(a, so_far, part);
            else if (i == thread) so_far = part;
        }
        if (so_far) fk_finish_attend(a, in, t, group, so_far);
    }
}

/* This thread's share of a step's attention: a lone token's groups in one run, so that each thread
 * reads what it stored itself; else (token, group) pairs in turn, a group's tokens after each
 * other, so that its blocks stay in the cache. Where there are fewer pairs than threads, the spans
 * of all pairs are shared out, then joined. All of it calls `fk_attend_span` at one place: that is
 * what takes a compiler its time. */
FK_INLINE void fk_attend(const struct fk_attention a, const struct fk_step *s,
                         const struct fk_attended in, int thread) {
    const int items = s->n_tokens * a.groups, n = s->n_threads;
    const int by_spans = !s->alone && items < n;
    const size_t part_floats = fk_part_floats(a);
    float *const scores = (float *)(void *)(s->scratch + (size_t)thread * s->scratch_bytes);
    float *const parts = scores + (size_t)(a.heads / a.groups) * FK_SPAN_TOKENS;
    const int end_item = s->alone ? fk_last_group(s, a.groups, thread) : items;
    int i = s->alone ? fk_first_group(s, a.groups, thread) : by_spans ? 0 : thread;
    for (int k = 0; i < end_item; i += s->alone || by_spans ? 1 : n) {
        const int t = i % s->n_tokens, group = i / s->n_tokens, position = s->positions[t];
        const int first = fk_first_visible(a, position) / FK_BLOCK_TOKENS;
        const int last = position / FK_BLOCK_TOKENS;
        for (int b = first, end; b <= last; b = end, k++) {
            end = fk_span_end(b, last);
            if (by_spans && k % n != thread) continue;
            float *part = parts + (by_spans ? (size_t)(k / n) : (size_t)(b != first)) * part_floats;
            fk_attend_span(a, s, in, t, group, b, end, scores, part);
            if (!by_spans && b != first) fk_join_part(a, parts, part);
        }
        if (!by_spans) fk_finish_attend(a, in, t, group, parts);
    }
    if (!by_spans) return;
    fk_meet(s);
    fk_join_spans(a, s, in, thread);
    fk_meet(s);
}

#endif
