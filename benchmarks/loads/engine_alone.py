"""A worker that drives our engine without a server: the rate that serving is measured against.

    python -m loads.engine_alone ARTIFACT THREADS SEQUENCES

No HTTP, no tokenizer: what is left out here is what a server costs. Questions and answers are lines
of JSON (systems/serving.py).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from systems.serving import serve

from foreknown.artifact import open_artifact
from foreknown.artifact.loading import load_program
from foreknown.engine import Engine, Request, SamplingParams


def answers(directory: Path, n_threads: int, sequences: int) -> Mapping[str, Callable[..., Any]]:
    """What this worker can be asked."""
    loaded = load_program(open_artifact(directory), sequences=sequences, n_threads=n_threads)
    engine = Engine(loaded.program, speculate=False)

    def run(prompts: Sequence[Sequence[int]], n_output: int) -> list[list[float]]:
        """Seconds from their common start at which each request's tokens came."""
        params = SamplingParams(max_tokens=n_output, temperature=0, ignore_eos=True)
        start_s = time.perf_counter()
        times: dict[str, list[float]] = {}
        for prompt in prompts:
            times[engine.add(Request(prompt, params))] = []
        while engine.has_work:
            outputs = engine.step()
            now_s = time.perf_counter() - start_s
            for output in outputs:
                times[output.request_id].append(now_s)
        return list(times.values())

    return {"run": run}


if __name__ == "__main__":
    serve(answers(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
