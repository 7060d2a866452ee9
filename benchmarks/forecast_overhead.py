"""What it costs an engine to know what its steps take: `forecast_overhead.py [ARTIFACT]`.

Two engines on one program, one with the price of steps (it holds each against what was told, and
could promise), one without, answer the same prompts in turn. Their tokens must be the same; how
much longer the first takes is told as the median over rounds, with quartiles. Without an artifact
it is the bundled model, whose steps are the shortest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from loads.tables import markdown

from foreknown.artifact import load_program, open_artifact
from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.find import BUNDLED
from foreknown.artifact.planned import planned_artifact
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.report.forecast import step_price
from foreknown.report.host import host_threads, known_host

PROMPT = 32


def main() -> int:
    arguments = parse()
    rows = measure(arguments)
    if arguments.json:
        print(json.dumps(rows))
        return 0
    shown = [
        [str(row["batch"]), str(row["rounds"]), f"{row['step_us']:,.0f}"]
        + [f"{row[name]:.4f}" for name in ("median", "p25", "p75")]
        for row in rows
    ]
    print(markdown(("batch", "rounds", "a step, us", "with / without", "p25", "p75"), shown))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path, nargs="?")
    parser.add_argument("--batches", default="1,8", metavar="N[,N...]")
    parser.add_argument("--output", type=int, default=100, help="tokens of an answer")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--work", type=Path, default=Path("build/forecast-overhead"))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each batch."""
    if arguments.artifact:
        artifact = open_artifact(arguments.artifact)
    else:
        artifact = compile_checkpoint(BUNDLED, arguments.work.absolute(), Options(weights="int4"))
    batches = [int(batch) for batch in arguments.batches.split(",")]
    price = step_price(planned_artifact(artifact), known_host(arguments.threads))
    loaded = load_program(artifact, sequences=2 * max(batches), n_threads=arguments.threads)
    with loaded.program as program:
        program.fill_state(0.0)
        engines = (Engine(program, speculate=False), Engine(program, speculate=False, price=price))
        return [compare(engines, batch, arguments) for batch in batches]


def compare(
    engines: tuple[Engine, Engine], batch: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Both in turn, each first in every other round."""
    chance = np.random.default_rng(batch)
    vocabulary = engines[0].program.vocab_size
    took = np.zeros((arguments.rounds, 2))
    for number in range(-2, arguments.rounds):  # two to warm up
        prompts = chance.integers(0, vocabulary, (batch, PROMPT)).tolist()
        tokens: list[Any] = [None, None]
        for which in (0, 1) if number % 2 else (1, 0):
            start_s = time.perf_counter()
            tokens[which] = answers(engines[which], prompts, arguments.output)
            took[number, which] = time.perf_counter() - start_s
        assert tokens[0] == tokens[1], "forecasting has changed tokens"
    ratios = took[:, 1] / took[:, 0]
    quartiles = np.quantile(ratios, (0.25, 0.5, 0.75))
    return {
        "batch": batch,
        "rounds": arguments.rounds,
        "step_us": round(1e6 * float(np.median(took[:, 0])) / arguments.output, 1),
        **dict(zip(("p25", "median", "p75"), np.round(quartiles, 4).tolist(), strict=True)),
    }


def answers(
    engine: Engine, prompts: list[list[int]], n_output: int
) -> list[tuple[str, int | None]]:
    """What an engine says, greedily, in the order in which it comes."""
    params = SamplingParams(max_tokens=n_output, temperature=0.0, ignore_eos=True)
    outputs = engine.generate([Request(prompt, params) for prompt in prompts])
    return [(output.text, output.token) for output in outputs]


if __name__ == "__main__":
    sys.exit(main())
