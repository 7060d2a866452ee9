"""A program whose phases do nothing, run by the threads of a real one: what a meeting costs, and
what an engine takes around the program that it runs.
"""

from __future__ import annotations

import time

import numpy as np

from foreknown.graph.batch import single
from foreknown.targets.cpu.instructions import write_instructions
from foreknown.targets.cpu.program import Program, Sizes
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target

STAGES, STEPS = 256, 40
VOCABULARY, CONTEXT, MAX_TOKENS, MAX_ROWS = 2048, 2048, 512, 32

_SOURCE = """/* Phases that do nothing, one a stage. */
#include "fk.h"
%s
static void nothing(const struct fk_call *c, const struct fk_step *s, int thread) {}

static const struct fk_call fk_calls[] = {
%s};

enum { FK_FEWEST_GROUPS = 1 };
static const uint64_t fk_slot_bytes[] = {64};

#include "program.h"
#include "sample.c"
"""


def idle_program(n_threads: int, stages: int) -> Program:
    """A program of so many stages that leaves its logits as they are."""
    calls = "".join(f"    {{nothing, 0, 0, {i}, FK_MEET}},\n" for i in range(stages))
    made = cached_shared_object(_SOURCE % (write_instructions(), calls), find_target("host"))
    sizes = Sizes(
        vocab_size=VOCABULARY,
        context=CONTEXT,
        max_tokens=MAX_TOKENS,
        max_rows=MAX_ROWS,
        arena_bytes=4 * VOCABULARY * MAX_ROWS,
        scratch_bytes=64,
        own_bytes=0,
        block_bytes=64,
        logits_offset=0,
        n_phases=stages,
    )
    n_blocks = MAX_ROWS * CONTEXT // 16
    return Program(made, np.zeros(64, np.uint8), sizes, n_blocks=n_blocks, n_threads=n_threads)


def barrier_us(n_threads: int) -> float:
    """Microseconds of one meeting of all threads between two stages; 0 for one thread."""
    if n_threads == 1:
        return 0.0
    times = []
    with idle_program(n_threads, STAGES) as program:
        for _ in range(STEPS):
            start = time.perf_counter()
            program.step(single([0]))
            times.append(time.perf_counter() - start)
    # the best of many: the threads were awake, and nobody else had the core
    return min(times) / STAGES * 1e6
