"""Measures what the engine takes beside the program's phases: Python, waking threads, sampling.

The real engine runs a probe; what its threads take to wake and to meet shows a program that does
nothing.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.native_sampling import RowSampling, Sampler
from foreknown.graph.batch import Batch
from foreknown.machine.fit import fitted
from foreknown.machine.kernel_costs import EngineCosts
from foreknown.targets.cpu.barrier import idle_program
from foreknown.targets.cpu.program import Program

STAGES = 4
BATCHES = (1, 4, 8, 16)
PROMPTS = (16, 128, 480)
"""Tokens of prompts, one alone each."""
OUTPUT_TOKENS = 33
SAMPLED_LOGITS, SAMPLED_ROWS, SAMPLINGS = 1 << 17, 4, 9
GREEDY = SamplingParams(temperature=0.0, ignore_eos=True, max_tokens=OUTPUT_TOKENS)


class _Watched:
    """A program that notes what its steps take."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.took_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)

    def step(self, batch: Batch) -> NDArray[np.float32]:
        start = time.perf_counter()
        logits = self._program.step(batch)
        self.took_s = time.perf_counter() - start
        return logits


def engine_costs(program: Program, rounds: int = 3) -> EngineCosts:
    """What a step takes beside its phases, by its rows and tokens.

    Args:
        program: of a probe. Its steps take from the caches what Python had there, as a model's do:
            beside a program that does nothing the engine is twice as fast.
    """
    beside: dict[_Size, list[float]] = {}
    waking: dict[_Size, list[float]] = {}
    with idle_program(program.n_threads, STAGES) as idle:
        logit = logit_seconds(idle)
        for number in range(rounds):
            for prompts in (*([16] * batch for batch in BATCHES), *([n] for n in PROMPTS)):
                for size, outside, _ in _steps(program, prompts, number):
                    beside.setdefault(size, []).append(outside)
                for size, _, inside in _steps(idle, prompts, number):
                    waking.setdefault(size, []).append(inside)
    chosen = logit * program.vocab_size
    sizes = {
        size: statistics.median(times) + statistics.median(waking[size])
        for size, times in beside.items()
        if size in waking
    }
    features = [[1.0, rows, tokens, float(tokens > rows)] for tokens, rows in sizes]
    rest = [max(s - chosen * rows, 1e-6) for (_, rows), s in sizes.items()]
    step, row, token, prompt = (round(float(x) * 1e6, 4) for x in fitted(features, rest))
    return EngineCosts(step, row, token, prompt, round(logit * 1e12, 4))


_Size = tuple[int, int]
"""Tokens and rows of a step."""


def _steps(program: Program, prompts: list[int], seed: int) -> list[tuple[_Size, float, float]]:
    """An engine's steps: their sizes, and the seconds outside the program and inside."""
    watched = _Watched(program)
    engine = Engine(cast(Program, watched), speculate=False)
    random = np.random.default_rng(seed)
    for n_tokens in prompts:
        ids = random.integers(3, program.vocab_size, n_tokens).tolist()
        engine.add(Request(ids, GREEDY))
    found = []
    while engine.has_work:
        start = time.perf_counter()
        outputs = engine.step()
        outside = time.perf_counter() - start - watched.took_s
        found.append(((engine.stats().step_tokens, len(outputs)), outside, watched.took_s))
    return found


def logit_seconds(program: Program) -> float:
    """What choosing a token takes for each logit, greedily."""
    sampler = Sampler(program.library, SAMPLED_LOGITS, SAMPLED_ROWS)
    shape = SAMPLED_ROWS, SAMPLED_LOGITS
    logits = np.random.default_rng(0).standard_normal(shape, np.float32)
    row = RowSampling(GREEDY, 0, (), np.zeros(1, np.int32), OUTPUT_TOKENS)
    took = []
    for _ in range(SAMPLINGS):
        start = time.perf_counter()
        sampler.sample(logits, [row] * SAMPLED_ROWS, [0] * SAMPLED_ROWS)
        took.append(time.perf_counter() - start)
    return statistics.median(took) / logits.size
