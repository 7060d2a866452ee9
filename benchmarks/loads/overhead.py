"""What the server costs: the same requests through it, and with the engine alone, in turn."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from systems.worker import BENCHMARKS, worker_environment

from loads.figures import median_ratio, spread
from loads.servers import Server, ServerFailed
from loads.side_by_side import Load
from loads.users import Question, answered, random_prompt, run_users

SHORT_PROMPT = 16
"""Tokens: everybody decodes soon, and a millisecond more to the first token shows."""
OUTPUT = 256
"""Tokens of each request whose decode rate is taken."""
FIRST_TOKENS = 20


class EngineAlone:
    """The worker of engine_alone.py, seen from the benchmark."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, prompts: Sequence[Sequence[int]], n_output: int) -> list[list[float]]:
        """Seconds at which each request's tokens came."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {"ask": "run", "prompts": prompts, "n_output": n_output}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        if "error" in reply:
            raise ServerFailed(f"the engine alone: {reply['error']}")
        found: list[list[float]] = reply["answer"]
        return found


@contextmanager
def engine_alone(artifact: Path, threads: int, sequences: int) -> Iterator[EngineAlone]:
    """The engine in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loads.engine_alone", artifact, str(threads), str(sequences)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=BENCHMARKS,
        env=worker_environment(),
    )
    try:
        yield EngineAlone(process)
    finally:
        process.communicate(timeout=60)


def overhead(
    server: Server,
    engine: EngineAlone,
    n_users: int,
    load: Load,
    n_rounds: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Decode rates through the server and without it, and milliseconds to the first byte.

    A decode rate counts the tokens after every request has its first and before any has its last.
    """
    through, alone = [], []
    for turn in range(-1, n_rounds):
        chance = random.Random(f"{load.seed} {turn}")
        prompts = [random_prompt(chance, SHORT_PROMPT, load.vocabulary) for _ in range(n_users)]
        asked = [Question(prompt, OUTPUT) for prompt in prompts]
        engine_rate = decode_rate(engine.run(prompts, OUTPUT))
        result = asyncio.run(run_users(server, n_users, asked))
        events = sum(len(answer.token_s) for answer in result.answers)
        tokens = sum(answer.n_tokens for answer in result.answers)
        # Where a token has no text of its own, an event stands for more than one.
        server_rate = decode_rate([a.token_s for a in result.answers]) * tokens / events
        if turn >= 0:
            alone.append(engine_rate)
            through.append(server_rate)
            progress(f"round {turn + 1}: {server_rate:.1f} of {engine_rate:.1f} tok/s")
    first_server, first_engine = _first_tokens(server, engine, load)
    added_ms = 1e3 * (statistics.median(first_server) - statistics.median(first_engine))
    return {
        "users": n_users,
        "engine_tok_s": spread(alone, 1),
        "server_tok_s": spread(through, 1),
        "ratio": median_ratio(through, alone),
        "engine_first_ms": spread([1e3 * s for s in first_engine]),
        "server_first_ms": spread([1e3 * s for s in first_server]),
        "added_first_ms": round(added_ms, 3),
    }


def decode_rate(token_s: Sequence[Sequence[float]]) -> float:
    """Tokens a second while all requests were decoding."""
    begun, ended = max(times[0] for times in token_s), min(times[-1] for times in token_s)
    if ended <= begun:
        raise ServerFailed("requests never decoded together: some had ended before others began")
    return sum(begun < at <= ended for times in token_s for at in times) / (ended - begun)


def _first_tokens(
    server: Server, engine: EngineAlone, load: Load
) -> tuple[list[float], list[float]]:
    """Seconds to the first token of a short prompt, with nothing else to do; in turn."""
    chance = random.Random(load.seed)
    first_server, first_engine = [], []
    for _ in range(FIRST_TOKENS):
        prompt = random_prompt(chance, SHORT_PROMPT, load.vocabulary)
        first_engine.append(engine.run([prompt], 2)[0][0])
        answer = asyncio.run(answered(server, Question(prompt, 2)))
        first_server.append(answer.first_s)
    return first_server, first_engine
