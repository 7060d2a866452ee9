/* A row of activations in 8 bits, with a scale and a start for each group of k.
 *
 * What it computes is defined by quantise_rows in graph/quantise.py. Its reductions are of
 * integers, whose order no result shows, so plain loops may run in lanes of any width: absolute
 * values are compared as the integers that their bits are, which puts infinities and NaN last. */
#ifndef FK_ACTIVATIONS_H
#define FK_ACTIVATIONS_H

#include "fk.h"

/* A group whose largest value is below 2^-119 counts as zeros: its scale would be a subnormal. */
#define FK_LEAST_AMAX 0x1p-119f

/* 1.5 * 2^23: a small float that is added to it is rounded, half to even, into its last bits. */
#define FK_ROUNDING 0x1.8p23f

/* k values to codes in [-127, 127]: q * scale is the value of a code, starts[g] is -128 times the
 * sum of a group's codes: where its products with codes stored plus 128 begin (`fk_start`). group is a literal where it is called; what is written does not overlap x. */
FK_INLINE void fk_quantise_row(const float *restrict x, int k, int group, int8_t *restrict q,
                               float *restrict scale, int32_t *restrict starts) {
    enum { AT_ONCE = 16 }; /* groups whose divisions run side by side */
    for (int first = 0, groups = k / group; first < groups; first += AT_ONCE) {
        const int n = groups - first < AT_ONCE ? groups - first : AT_ONCE;
        uint32_t largest[AT_ONCE] = {0}, keep[AT_ONCE];
        float inverse[AT_ONCE], step[AT_ONCE];
        for (int g = 0; g < n; g++) {
            const float *own = x + (size_t)(first + g) * (size_t)group;
            uint32_t most = 0;
            for (int i = 0; i < group; i++) {
                const uint32_t bits = fk_bits(own[i]) & 0x7fffffff;
                most = bits > most ? bits : most;
            }
            largest[g] = most;
        }
        for (int g = 0; g < AT_ONCE; g++) {
            const float amax = fk_from_bits(largest[g]);
            const int bad = largest[g] >= 0x7f800000, none = amax < FK_LEAST_AMAX;
            step[g] = bad ? FK_NAN : none ? 0.0f : amax / 127.0f;
            inverse[g] = bad || none ? 0.0f : 127.0f / amax;
            keep[g] = bad || none ? 0 : 0xffffffff;
        }
        for (int g = 0; g < n; g++) {
            const size_t at = (size_t)(first + g) * (size_t)group;
            uint32_t sum = 0;
            for (int i = 0; i < group; i++) {
                const float kept = fk_from_bits(fk_bits(x[at + (size_t)i]) & keep[g]);
                const uint32_t rounded = fk_bits(kept * inverse[g] + FK_ROUNDING);
                const uint32_t code = rounded - fk_bits(FK_ROUNDING);
                q[at + (size_t)i] = (int8_t)code;
                sum += code;
            }
            starts[first + g] = -128 * (int32_t)sum;
            scale[first + g] = step[g];
        }
    }
}

#endif
