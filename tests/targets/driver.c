
/* Appended to a generated program: reads weights and steps from files and writes every step's
 * logits, so that a program can be run where there is no Python. See tests/targets/qemu.py. */
#include <stdio.h>

static void *read_all(FILE *file, size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!p || fread(p, 1, bytes, file) != bytes) exit(2);
    return p;
}

static char *poisoned(size_t bytes) {
    char *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!p) exit(3);
    memset(p, 0xff, bytes);
    return p;
}

int main(int count, char **names) {
    if (count != 4) return 1;
    FILE *weights = fopen(names[1], "rb"), *steps = fopen(names[2], "rb");
    FILE *logits = fopen(names[3], "wb");
    if (!weights || !steps || !logits) return 1;
    int64_t *h = read_all(steps, 10 * sizeof *h);
    struct fk_memory memory = {
        .weights = read_all(weights, (size_t)h[0]),
        .arena = poisoned((size_t)h[1]),
        .scratch = poisoned((size_t)(h[2] * h[7])),
        .own = poisoned((size_t)(h[9] * h[7])),
        .state = poisoned((size_t)(h[3] * h[4])),
        .scratch_bytes = (uint64_t)h[2],
        .own_bytes = (uint64_t)h[9],
        .n_blocks = (uint64_t)h[4]};
    struct fk_program *p = fk_open(&memory, (int)h[7]);
    if (!p) return 4;
    for (int64_t i = 0; i < h[8]; i++) {
        int32_t *n = read_all(steps, 4 * sizeof *n);
        struct fk_batch batch = {.n_tokens = n[0], .n_rows = n[1], .max_blocks = n[3]};
        batch.tokens = read_all(steps, (size_t)n[0] * 4);
        batch.positions = read_all(steps, (size_t)n[0] * 4);
        batch.sequence = read_all(steps, (size_t)n[0] * 4);
        batch.block_tables = read_all(steps, (size_t)n[2] * (size_t)n[3] * 4);
        batch.rows = read_all(steps, (size_t)n[1] * 4);
        fk_step(p, &batch, NULL);
        fwrite(memory.arena + h[5], 4, (size_t)(n[1] * h[6]), logits);
    }
    fk_close(p);
    return fclose(logits);
}
