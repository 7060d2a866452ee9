/* A checksum that reads memory as fast as memory can be read, so gigabytes of weights can be
 * checked before every run. Eight streams of 64-bit multiply-and-rotate over 64-byte lines, then
 * one mix; a flipped bit anywhere changes it. It guards against damage, not against an attacker. */
#ifndef FK_CHECKSUM_H
#define FK_CHECKSUM_H

#include <stdint.h>
#include <string.h>

static inline uint64_t fk_mix(uint64_t h, uint64_t x) {
    h ^= x;
    h *= 0x9e3779b97f4a7c15u;
    return h << 29 | h >> 35;
}

/* Of `bytes` bytes at `p`; the caller hashes pieces on several threads and sums up their sums. */
__attribute__((visibility("default"))) uint64_t fk_checksum(const unsigned char *p, uint64_t bytes) {
    uint64_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, i = 0;
    for (; i + 64 <= bytes; i += 64)
        for (int j = 0; j < 8; j++) {
            uint64_t x;
            memcpy(&x, p + i + 8 * j, 8);
            h[j] = fk_mix(h[j], x);
        }
    unsigned char tail[64] = {0};
    memcpy(tail, p + i, bytes - i);
    uint64_t sum = fk_mix(9, bytes);
    for (int j = 0; j < 8; j++) {
        uint64_t x;
        memcpy(&x, tail + 8 * j, 8);
        sum = fk_mix(sum, fk_mix(h[j], x));
    }
    return sum;
}

#endif
