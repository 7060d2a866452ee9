/* Attention over blocks of 16 positions, for one token and the heads of one key-value group.
 *
 * A block of a slot holds keys as [group][width][16], so that the scores of 16 positions live in
 * lanes, then values as [group][16][value width rounded up to 16], so that outputs do. Scores are
 * one chain of multiply-adds over the width; the sum of exponentials runs in 16 lanes (a position
 * belongs to lane position % 16) and one tree; outputs are one chain over positions in order.
 * None of it depends on how the prompt was cut or on what else runs in the step. */
#ifndef FK_ATTEND_H
#define FK_ATTEND_H

#include "fk.h"

/* What the graph's node says; `bias` is [heads][distances] or null, `sinks` [heads] or null. */
struct fk_attention {
    int heads, groups, width, value_width, window, chunk, distances;
    float scale, softcap;
};

FK_INLINE int fk_padded(int width) { return (width + FK_LANES - 1) / FK_LANES * FK_LANES; }

FK_INLINE size_t fk_attend_block_bytes(const struct fk_attention a) {
    int row = a.width + fk_padded(a.value_width);
    return (size_t)a.groups * FK_BLOCK_TOKENS * (size_t)row * sizeof(float);
}

FK_INLINE float *fk_keys(char *block, const struct fk_attention a, int group) {
    return (float *)block + (size_t)group * a.width * FK_BLOCK_TOKENS;
}

FK_INLINE float *fk_values(char *block, const struct fk_attention a, int group) {
    size_t keys = (size_t)a.groups * a.width * FK_BLOCK_TOKENS;
    return (float *)block + keys + (size_t)group * FK_BLOCK_TOKENS * fk_padded(a.value_width);
}

/* The first position that a token sees. */
FK_INLINE int fk_first_visible(const struct fk_attention a, int position) {
    int first = 0;
    if (a.window && position - a.window + 1 > first) first = position - a.window + 1;
    if (a.chunk && position / a.chunk * a.chunk > first) first = position / a.chunk * a.chunk;
    return first;
}

/* q [heads][width] and out [heads][value_width] of one token; `scores` is scratch for
 * (heads / groups) x context rounded up to 16. */
FK_INLINE void fk_attend(const struct fk_attention a, const struct fk_step *s, uint64_t slot, int t,
                         int group, const float *q, const float *sinks, const float *bias,
                         float *out, float *scores) {
    const size_t block_bytes = fk_attend_block_bytes(a);
    const int shared = a.heads / a.groups, head0 = group * shared;
    const int position = s->positions[t];
    const int first = fk_first_visible(a, position);
    const int first_block = first / FK_BLOCK_TOKENS, last_block = position / FK_BLOCK_TOKENS;
    const size_t row = (size_t)(last_block - first_block + 1) * FK_BLOCK_TOKENS;

    for (int b = first_block; b <= last_block; b++) {
        const int start = b * FK_BLOCK_TOKENS;
        const float *keys = fk_keys(fk_block(s, slot, block_bytes, t, start), a, group);
        for (int h = 0; h < shared; h++) {
            const float *query = q + (size_t)(head0 + h) * a.width;
            fk_f32x16 dot = {0};
            for (int d = 0; d < a.width; d++)
                dot = fk_fma16(fk_splat(query[d]), fk_load16(keys + (size_t)d * FK_LANES), dot);
            float *score = scores + (size_t)h * row + (size_t)(start - first_block * FK_BLOCK_TOKENS);
            for (int j = 0; j < FK_BLOCK_TOKENS; j++) {
                float x = dot[j] * a.scale;
                if (a.softcap != 0.0f) x = a.softcap * fk_tanh(x / a.softcap);
                if (bias) {
                    int distance = position - (start + j);
                    distance = distance < 0 ? 0 : distance;
                    distance = distance < a.distances ? distance : a.distances - 1;
                    x += bias[(size_t)(head0 + h) * (size_t)a.distances + (size_t)distance];
                }
                int seen = start + j >= first && start + j <= position;
                score[j] = seen ? x : -FK_INF;
            }
        }
    }
    float total[shared];
    for (int h = 0; h < shared; h++) {
        float *score = scores + (size_t)h * row;
        float most = sinks ? sinks[head0 + h] : -FK_INF;
        float highest[FK_LANES], lanes[FK_LANES] = {0};
        for (int j = 0; j < FK_LANES; j++) highest[j] = most;
        for (size_t i = 0; i < row; i += FK_LANES)
            for (int j = 0; j < FK_LANES; j++) highest[j] = fk_max(highest[j], score[i + j]);
        for (int j = 0; j < FK_LANES; j++) most = fk_max(most, highest[j]);
        for (size_t i = 0; i < row; i += FK_LANES)
            for (int j = 0; j < FK_LANES; j++) {
                float e = fk_exp(score[i + j] - most);
                score[i + j] = e;
                lanes[j] += e;
            }
        total[h] = fk_tree_sum(lanes);
        if (sinks) total[h] += fk_exp(sinks[head0 + h] - most);
    }
    const int padded = fk_padded(a.value_width);
    for (int d = 0; d < padded; d += FK_LANES)
        for (int h = 0; h < shared; h++) {
            fk_f32x16 sum = {0};
            for (int b = first_block; b <= last_block; b++) {
                const int start = b * FK_BLOCK_TOKENS;
                const float *values = fk_values(fk_block(s, slot, block_bytes, t, start), a, group) + d;
                const float *score = scores + (size_t)h * row +
                                     (size_t)(start - first_block * FK_BLOCK_TOKENS);
                int from = first > start ? first - start : 0;
                int to = position - start < FK_BLOCK_TOKENS - 1 ? position - start : FK_BLOCK_TOKENS - 1;
                for (int j = from; j <= to; j++)
                    sum = fk_fma16(fk_splat(score[j]), fk_load16(values + (size_t)j * padded), sum);
            }
            sum = sum / total[h];
            float *o = out + (size_t)(head0 + h) * a.value_width + d;
            int left = a.value_width - d;
            memcpy(o, &sum, (size_t)(left < FK_LANES ? left : FK_LANES) * sizeof(float));
        }
}

#endif
