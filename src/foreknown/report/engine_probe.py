"""Measures what the engine takes beside the program's phases: Python, waking threads, sampling.

The real engine runs a program that does nothing.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.native_sampling import RowSampling, Sampler
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


def engine_costs(n_threads: int, rounds: int = 3) -> EngineCosts:
    """What a step takes beside its phases, by its rows and tokens."""
    took: dict[tuple[int, int], list[float]] = {}
    with idle_program(n_threads, STAGES) as program:
        logit = logit_seconds(program)
        for number in range(rounds):
            for prompts in (*([16] * batch for batch in BATCHES), *([n] for n in PROMPTS)):
                for size, seconds in _steps(program, prompts, number):
                    took.setdefault(size, []).append(seconds)
        chosen = logit * program.vocab_size
    sizes = {size: statistics.median(times) for size, times in took.items()}
    features = [[1.0, rows, tokens, float(tokens > rows)] for tokens, rows in sizes]
    rest = [max(s - chosen * rows, 1e-6) for (_, rows), s in sizes.items()]
    step, row, token, prompt = (round(float(x) * 1e6, 4) for x in fitted(features, rest))
    return EngineCosts(step, row, token, prompt, round(logit * 1e12, 4))


def _steps(program: Program, prompts: list[int], seed: int) -> list[tuple[tuple[int, int], float]]:
    """Tokens and rows of an engine's steps, and the seconds from one to the next."""
    engine = Engine(program, speculate=False)
    random = np.random.default_rng(seed)
    for n_tokens in prompts:
        ids = random.integers(3, program.vocab_size, n_tokens).tolist()
        engine.add(Request(ids, GREEDY))
    found = []
    while engine.has_work:
        start = time.perf_counter()
        outputs = engine.step()
        found.append(((engine.stats().step_tokens, len(outputs)), time.perf_counter() - start))
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
