"""What it takes to decide on an objective while many requests run: a worker with its own engine.

    python -m loads.decision MODEL THREADS ACTIVE DECISIONS

First between steps, with a processor to itself; then while the engine's thread runs, as it does
when serving: that has all processors, and the interpreter's lock, so a decision also waits. Prints
one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.promises import NotPromised, Objective
from foreknown.server.engine_thread import EngineThread, Feed

PROMPT, OUTPUT = 32, 256
EASY_MS = 3_600_000.0
PAUSE_S = 0.003
STEP_EVERY = 4


def random_request(chance: random.Random, vocabulary: int, deadline_ms: float) -> Request:
    """A prompt that has nothing in common with others."""
    prompt = [chance.randrange(300, vocabulary) for _ in range(PROMPT)]
    params = SamplingParams(max_tokens=OUTPUT, temperature=0, ignore_eos=True)
    return Request(prompt, params, objective=Objective(deadline_ms=deadline_ms))


def between_steps(engine: Engine, n_active: int, n_decisions: int) -> dict[str, Any]:
    """Times of `Engine.reserve` while nothing else runs, in milliseconds.

    The interpreter makes code quicker as it goes, so as many decisions go before, uncounted.
    """
    chance, vocabulary = random.Random(1), engine.program.vocab_size
    kinds: dict[str, list[float]] = {"admission": [], "refusal": []}
    ids = [engine.add(random_request(chance, vocabulary, EASY_MS)) for _ in range(n_active)]
    while engine.stats().waiting:
        engine.step()
    for place in range(-n_decisions, n_decisions):
        if place == 0:
            for times in kinds.values():
                times.clear()
        if place % STEP_EVERY == 0:
            engine.step()
        deadline_ms = EASY_MS
        if place % 2:
            deadline_ms = 0.5 * engine.foresee(random_request(chance, vocabulary, EASY_MS)).total_ms
        request = replace(random_request(chance, vocabulary, deadline_ms), id=f"asked-{place}")
        start_s = time.perf_counter()
        try:
            engine.reserve(request)
        except NotPromised:
            kinds["refusal"].append(1e3 * (time.perf_counter() - start_s))
        else:
            kinds["admission"].append(1e3 * (time.perf_counter() - start_s))
            engine.release(request.id)
    for request_id in ids:
        engine.cancel(request_id)
    while engine.has_work:
        engine.step()
    return {kind: _shares(times) for kind, times in kinds.items()}


class Active:
    """Requests with promises that always run, so many of them.

    Args:
        vocabulary: ids that prompts are drawn from.
    """

    def __init__(self, thread: EngineThread, n: int, vocabulary: int) -> None:
        self._thread, self._vocabulary = thread, vocabulary
        self._chance = random.Random(0)
        self._tasks = [asyncio.create_task(self._again()) for _ in range(n)]

    def request(self, deadline_ms: float) -> Request:
        return random_request(self._chance, self._vocabulary, deadline_ms)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _again(self) -> None:
        while True:
            feed = self._thread.prepare(0, [self.request(EASY_MS)])
            self._thread.submit(0, feed)
            await _end(feed)


async def _end(feed: Feed) -> None:
    while True:
        if any(output.finish_reason is not None for output in await feed.next()):
            return


async def decide(engine: Engine, n_active: int, n_decisions: int) -> dict[str, Any]:
    """Times of decisions, in milliseconds."""
    thread = EngineThread([engine])
    thread.start()
    active = Active(thread, n_active, engine.program.vocab_size)
    kinds: dict[str, list[float]] = {"admission": [], "refusal": [], "foresee": []}
    try:
        while engine.stats().running + engine.stats().waiting < n_active:
            await asyncio.sleep(0.01)
        names = count()
        beyond = [0.0, 0.0]
        for _ in range(n_decisions):
            await asyncio.sleep(PAUSE_S)
            request = active.request(EASY_MS)
            start_s = time.perf_counter()
            foreseen = engine.foresee(request)
            kinds["foresee"].append(1e3 * (time.perf_counter() - start_s))
            await asyncio.sleep(PAUSE_S)
            # Every other time what is asked for is little, though not less than it takes alone.
            hopeless = next(names) % 2 == 1
            deadline_ms = 0.5 * foreseen.total_ms if hopeless else EASY_MS
            request = active.request(deadline_ms)
            start_s = time.perf_counter()
            try:
                feed = thread.prepare(0, [request])
            except NotPromised:
                kinds["refusal"].append(1e3 * (time.perf_counter() - start_s))
            else:
                kinds["admission"].append(1e3 * (time.perf_counter() - start_s))
                thread.forget(0, feed)
            stats = engine.stats()
            beyond[0] += stats.running
            beyond[1] += stats.waiting
    finally:
        active.stop()
        thread.stop()
    return {
        "active": n_active,
        "mean_running": round(beyond[0] / n_decisions, 1),
        "mean_waiting": round(beyond[1] / n_decisions, 1),
        **{kind: _shares(times) for kind, times in kinds.items()},
    }


def _shares(times_ms: list[float]) -> dict[str, Any] | None:
    if not times_ms:
        return None
    ordered = sorted(times_ms)
    last = len(ordered) - 1
    return {
        "n": len(ordered),
        **{f"p{share}_ms": round(ordered[last * share // 100], 3) for share in (50, 90, 99, 100)},
    }


def main() -> None:
    from foreknown.artifact import open_artifact
    from foreknown.cli.models import told_price
    from foreknown.server.hosting import Wanted, load_models

    path, n_threads, n_active, n_decisions = sys.argv[1], *map(int, sys.argv[2:])
    artifact = open_artifact(Path(path))
    price = told_price(artifact, n_threads)
    wanted = Wanted("model", artifact, n_active + 8, speculate=False, price=price)
    (model,) = load_models([wanted], n_threads)
    alone = between_steps(model.engine, n_active, n_decisions)
    beside = asyncio.run(decide(model.engine, n_active, n_decisions))
    print(json.dumps({**beside, "between_steps": alone}))


if __name__ == "__main__":
    main()
