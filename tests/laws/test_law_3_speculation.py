"""Law 3, for speculation: a compiled model says the same, bit for bit, with drafts and without.

Drafts are made to seem free here, so that every guess is run: most of them are wrong, and the
state they leave behind must not show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foreknown.artifact import load_program, open_artifact
from foreknown.engine import Engine, Output, Request, SamplingParams
from foreknown.targets.cpu.program import Program
from tests.engine.company import Told

N_SEQUENCES = 4


class StillClock:
    """No step takes any time, so nothing teaches the engine what drafts cost."""

    def now_ns(self) -> int:
        return 0


@pytest.fixture(scope="module")
def program(bundled_artifact: Path) -> Iterator[Program]:
    loaded = load_program(open_artifact(bundled_artifact), sequences=N_SEQUENCES, n_threads=1)
    with loaded.program as program:
        program.poison()
        yield program


def outputs(
    program: Program, requests: list[Request], *, speculate: bool
) -> tuple[list[list[Output]], Engine]:
    """What each request gets, all of them at once."""
    engine = Engine(
        program, clock=StillClock(), speculate=speculate, price=Told(lambda n_tokens, n_rows: 1.0)
    )
    names = [engine.add(request) for request in requests]
    found: dict[str, list[Output]] = {name: [] for name in names}
    while engine.has_work:
        for output in engine.step():
            found[output.request_id].append(output)
        engine.check_integrity()
    return [found[name] for name in names], engine


def said(found: list[Output]) -> list[tuple[object, ...]]:
    """All but whose and when."""
    return [(o.token, o.text, o.logprob, o.top_logprobs, o.finish_reason) for o in found]


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.0},
        {"temperature": 0.8, "seed": 1},
        {"temperature": 1.0, "top_p": 0.9, "seed": 2, "repetition_penalty": 1.1},
        {"temperature": 0.0, "frequency_penalty": 0.3, "min_tokens": 60, "ignore_eos": True},
    ],
    ids=str,
)
def test_outputs_have_the_same_bits_with_speculation(
    program: Program, params: dict[str, Any]
) -> None:
    settings = SamplingParams(max_tokens=120, logprobs=3, **params)
    prompts = [[n + 40, n + 41, n + 42, n + 43, n + 44] * 3 for n in range(0, 60, 15)]
    requests = [Request(prompt, settings) for prompt in prompts]
    assert len(requests) == N_SEQUENCES
    alone = [outputs(program, [request], speculate=False)[0][0] for request in requests]
    together, engine = outputs(program, requests, speculate=True)
    assert [said(got) for got in together] == [said(got) for got in alone]
    assert engine.n_drafted > engine.n_accepted > 0, "both right and wrong drafts were run"
