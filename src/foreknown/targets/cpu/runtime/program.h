/* The generated program's entry points; included once, at the end of its source. */
#ifndef FK_PROGRAM_H
#define FK_PROGRAM_H

#include "checksum.h"
#include "pool.h"

#define FK_EXPORT __attribute__((visibility("default")))

/* What a step is given; mirrors targets/cpu/program.py. Arrays are borrowed for the call. */
struct fk_batch {
    int32_t n_tokens, n_rows, max_blocks;
    const int32_t *tokens, *positions, *sequence, *block_tables, *rows;
};

struct fk_memory {
    const char *weights;
    char *arena, *scratch, *own, *state;
    uint64_t scratch_bytes, own_bytes, n_blocks;
};

/* Start a program's threads; null when the system has none left. */
FK_EXPORT struct fk_program *fk_open(const struct fk_memory *memory, int n_threads) {
    struct fk_program *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->calls = fk_calls;
    p->n_calls = (int)(sizeof fk_calls / sizeof *fk_calls);
    p->n_threads = n_threads;
    p->step = (struct fk_step){
        .program = p, .n_threads = n_threads, .weights = memory->weights, .arena = memory->arena,
        .scratch = memory->scratch, .own = memory->own, .state = memory->state,
        .scratch_bytes = memory->scratch_bytes, .own_bytes = memory->own_bytes,
        .n_blocks = memory->n_blocks};
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->threads = calloc((size_t)n_threads, sizeof *p->threads);
    for (int i = 1; p->threads && i < n_threads; i++) {
        struct fk_worker *worker = malloc(sizeof *worker);
        if (!worker) return NULL;
        *worker = (struct fk_worker){p, i};
        if (pthread_create(&p->threads[i], NULL, fk_work, worker)) return NULL;
    }
    return p->threads ? p : NULL;
}

/* Run every phase over a batch; `phase_ns` receives the time of each call, or is null. */
FK_EXPORT void fk_step(struct fk_program *p, const struct fk_batch *batch, int64_t *phase_ns) {
    struct fk_step *s = &p->step;
    s->n_tokens = batch->n_tokens;
    s->n_rows = batch->n_rows;
    s->max_blocks = batch->max_blocks;
    s->tokens = batch->tokens;
    s->positions = batch->positions;
    s->sequence = batch->sequence;
    s->block_tables = batch->block_tables;
    s->rows = batch->rows;
    /* heads must go round, since each thread stores the keys and values of its own */
    s->alone = s->n_tokens == 1 && s->n_rows <= 1 && s->n_threads > 1 &&
               s->n_threads <= FK_FEWEST_GROUPS;
    p->phase_ns = phase_ns;
    if (p->n_threads > 1) fk_start_generation(p);
    fk_run_phases(p, 0);
}

/* Copy a block's state, of every slot, onto another block. */
FK_EXPORT void fk_copy_block(const struct fk_program *p, int64_t source, int64_t destination) {
    char *slot = p->step.state;
    for (size_t i = 0; i < sizeof fk_slot_bytes / sizeof *fk_slot_bytes; i++) {
        const uint64_t bytes = fk_slot_bytes[i];
        memcpy(slot + (uint64_t)destination * bytes, slot + (uint64_t)source * bytes, bytes);
        slot += p->step.n_blocks * bytes;
    }
}

/* End a program's threads and forget it. */
FK_EXPORT void fk_close(struct fk_program *p) {
    atomic_store(&p->stopping, 1);
    fk_start_generation(p);
    for (int i = 1; i < p->n_threads; i++) pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->wake);
    free(p->threads);
    free(p);
}

#endif
