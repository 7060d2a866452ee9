"""What a barrier costs: a program whose phases do nothing, run by the threads of a real one."""

from __future__ import annotations

import time

import numpy as np

from foreknown.graph.batch import single
from foreknown.targets.cpu.program import Program, Sizes
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target

STAGES, STEPS = 256, 40

_SOURCE = """/* Phases that do nothing, one a stage. */
#include "fk.h"

static void nothing(const struct fk_call *c, const struct fk_step *s, int thread) {}

static const struct fk_call fk_calls[] = {
%s};

enum { FK_FEWEST_GROUPS = 1 };
static const uint64_t fk_slot_bytes[] = {64};

#include "program.h"
"""


def barrier_us(n_threads: int) -> float:
    """Microseconds of one meeting of all threads between two stages; 0 for one thread."""
    if n_threads == 1:
        return 0.0
    calls = "".join(f"    {{nothing, 0, 0, {i}, FK_MEET}},\n" for i in range(STAGES))
    made = cached_shared_object(_SOURCE % calls, find_target("host"))
    sizes = Sizes(
        vocab_size=16,
        context=16,
        max_tokens=1,
        max_rows=1,
        arena_bytes=64,
        scratch_bytes=64,
        own_bytes=0,
        block_bytes=64,
        logits_offset=0,
        n_phases=STAGES,
    )
    nothing = np.zeros(64, np.uint8)
    times = []
    with Program(made, nothing, sizes, n_blocks=1, n_threads=n_threads) as program:
        for _ in range(STEPS):
            start = time.perf_counter()
            program.step(single([0]))
            times.append(time.perf_counter() - start)
    # the best of many: the threads were awake, and nobody else had the core
    return min(times) / STAGES * 1e6
