"""Measures what the engine takes beside the program's phases: Python, waking threads, sampling.

The real engine runs a probe; what its threads take to wake and to meet shows a program that does
nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from operator import mul
from typing import Any, NamedTuple, cast

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
PROMPTS = (16, 128, 1280)
"""Tokens of prompts, one alone each; the longest takes several steps."""
LATER, DECODING = 128, (1, 3, 8)
"""Tokens of a prompt that comes when so many decode, and is computed beside them in small parts."""
OUTPUT_TOKENS = 33
SAMPLED_LOGITS, SAMPLED_ROWS, SAMPLINGS = 1 << 17, 4, 9
LEAST_S = 1e-6
GREEDY = SamplingParams(temperature=0.0, ignore_eos=True, max_tokens=OUTPUT_TOKENS)


class _Load(NamedTuple):
    """Tokens of prompts that come at once, and of those that come after a step."""

    prompts: tuple[int, ...]
    later: tuple[int, ...] = ()


class _Kind(NamedTuple):
    """What a step's costs depend on, beside the program.

    Attributes:
        tokens, rows: of the step.
        begun: requests that came just before it.
        was_idle: whether nothing had run.
    """

    tokens: int
    rows: int
    begun: int
    was_idle: bool


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
    """What a step takes beside its phases, by its rows and tokens, and a request beside its steps.

    Args:
        program: of a probe. Its steps take from the caches what Python had there, as a model's do:
            beside a program that does nothing the engine is twice as fast.
    """
    beside: dict[_Kind, list[float]] = {}
    waking: dict[_Kind, list[float]] = {}
    with idle_program(program.n_threads, STAGES) as idle:
        logit = logit_seconds(idle)
        for number in range(rounds):
            for load in _loads():
                for kind, outside, _ in _steps(program, load, number):
                    beside.setdefault(kind, []).append(outside)
                for kind, _, inside in _steps(idle, load, number):
                    waking.setdefault(kind, []).append(inside)
    chosen = logit * program.vocab_size
    took = {
        kind: statistics.median(times) + statistics.median(waking[kind]) - chosen * kind.rows
        for kind, times in beside.items()
        if kind in waking
    }
    steady = {kind: seconds for kind, seconds in took.items() if not kind.begun}
    costs = _fitted(map(_features, steady), steady.values())
    begins = {
        kind: seconds - sum(map(mul, costs, _features(kind)))
        for kind, seconds in took.items()
        if kind.begun
    }
    requests = _fitted(([kind.begun, kind.was_idle] for kind in begins), begins.values())
    step, row, token, prompt, request, from_idle = (1e6 * cost for cost in (*costs, *requests))
    found = (step, row, token, prompt, 1e12 * logit, request, from_idle)
    return EngineCosts(*(round(cost, 4) for cost in found))


def _features(kind: _Kind) -> list[float]:
    return [1.0, kind.rows, kind.tokens, kind.tokens > kind.rows]


def _fitted(features: Iterable[Sequence[float]], seconds: Iterable[float]) -> list[float]:
    return list(map(float, fitted(list(features), [max(s, LEAST_S) for s in seconds])))


def _loads() -> Iterator[_Load]:
    for batch in BATCHES:
        yield _Load((16,) * batch)
    for n_tokens in PROMPTS:
        yield _Load((n_tokens,))
    for batch in DECODING:
        yield _Load((16,) * batch, (LATER,))


def _steps(program: Program, load: _Load, seed: int) -> Iterator[tuple[_Kind, float, float]]:
    """An engine's steps: their kinds, and the seconds outside the program, those in which requests
    came among them, and inside."""
    watched = _Watched(program)
    engine = Engine(cast(Program, watched), speculate=False)
    random = np.random.default_rng(seed)
    come = dict(enumerate(load))
    number = 0
    while engine.has_work or number in come:
        lengths = come.get(number, ())
        prompts = [random.integers(3, program.vocab_size, length).tolist() for length in lengths]
        start = time.perf_counter()
        for prompt in prompts:
            engine.add(Request(prompt, GREEDY))
        outputs = engine.step()
        outside = time.perf_counter() - start - watched.took_s
        kind = _Kind(engine.stats().step_tokens, len(outputs), len(prompts), number == 0)
        yield kind, outside, watched.took_s
        number += 1


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
