/* Threads that run a step's phases in lockstep: spin while a step is near, sleep when it is not. */
#ifndef FK_POOL_H
#define FK_POOL_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "fk.h"

enum { FK_SPINS_BEFORE_YIELD = 4096, FK_YIELDS_BEFORE_SLEEP = 64 };

static inline void fk_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Everything that survives between steps. The caller's thread is thread 0. */
struct fk_program {
    struct fk_step step;
    const struct fk_call *calls;
    int n_calls, n_threads;
    _Atomic int generation, arrived, passed, stopping, sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t *threads;
    int64_t *phase_ns; /* time of each call in the last step, or null */
};

struct fk_worker {
    struct fk_program *program;
    int thread;
};

/* Wait until every thread is here. Yields in the end, so more threads than cores still advance. */
static inline void fk_barrier(struct fk_program *p) {
    if (p->n_threads == 1) return;
    int passed = atomic_load_explicit(&p->passed, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) + 1 == p->n_threads) {
        atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&p->passed, passed + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&p->passed, memory_order_acquire) == passed; spins++)
        if (spins < FK_SPINS_BEFORE_YIELD) fk_relax();
        else sched_yield();
}

static inline void fk_meet(const struct fk_step *s) { fk_barrier(s->program); }

static inline int64_t fk_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void fk_run_phases(struct fk_program *p, int thread) {
    int64_t since = thread == 0 && p->phase_ns ? fk_now_ns() : 0;
    for (int i = 0; i < p->n_calls; i++) {
        const struct fk_call *call = &p->calls[i];
        call->run(call, &p->step, thread);
        if (call->meeting == FK_MEET || (call->meeting && !p->step.alone)) fk_barrier(p);
        if (thread == 0 && p->phase_ns) {
            int64_t now = fk_now_ns();
            p->phase_ns[i] = now - since;
            since = now;
        }
    }
}

static void *fk_work(void *argument) {
    struct fk_worker *worker = argument;
    struct fk_program *p = worker->program;
    const int thread = worker->thread;
    free(worker);
    for (int seen = 0;;) {
        for (int spins = 0; atomic_load_explicit(&p->generation, memory_order_acquire) == seen; spins++) {
            if (spins < FK_SPINS_BEFORE_YIELD) {
                fk_relax();
            } else if (spins < FK_SPINS_BEFORE_YIELD + FK_YIELDS_BEFORE_SLEEP) {
                sched_yield();
            } else {
                pthread_mutex_lock(&p->mutex);
                atomic_fetch_add(&p->sleepers, 1);
                while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->wake, &p->mutex);
                atomic_fetch_sub(&p->sleepers, 1);
                pthread_mutex_unlock(&p->mutex);
            }
        }
        seen++;
        if (atomic_load(&p->stopping)) return NULL;
        fk_run_phases(p, thread);
    }
}

static inline void fk_start_generation(struct fk_program *p) {
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
}

#endif
