"""The main job on real trained weights: greedy tokens as transformers chooses them in f32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foreknown.artifact import load_program, open_artifact
from foreknown.engine import Engine, Request, SamplingParams

LOGPROB_TOLERANCE = 1e-4  # natural logarithm; f32 in another order of additions stays below 1e-5


@pytest.mark.parametrize("name", ["stories260K", "babyllama"])
def test_greedy_tokens_are_those_of_transformers(
    name: str, shared_data: Path, made_once: Callable[[str, Callable[[Path], None]], Path]
) -> None:
    from foreknown.artifact.build import compile_checkpoint

    source = shared_data / "models" / name
    compiled = made_once(f"golden-{name}", lambda place: void(compile_checkpoint(source, place)))
    cases = json.loads((source / "golden.json").read_text())["cases"]
    loaded = load_program(open_artifact(compiled), sequences=len(cases))
    with loaded.program as program:
        program.poison()
        engine = Engine(program)
        requests = [
            Request(
                case["prompt_ids"],
                SamplingParams(max_tokens=len(case["greedy_ids"]), temperature=0.0, logprobs=0),
                id=str(number),
            )
            for number, case in enumerate(cases)
        ]
        tokens: dict[str, list[int]] = {r.id: [] for r in requests}
        logprobs: dict[str, list[float]] = {r.id: [] for r in requests}
        for output in engine.generate(requests):  # all cases in one batch
            if output.token is not None and output.logprob is not None:
                tokens[output.request_id].append(output.token)
                logprobs[output.request_id].append(output.logprob)
        engine.check_integrity()
    for number, case in enumerate(cases):
        assert tokens[str(number)] == case["greedy_ids"]
        error = np.abs(np.array(logprobs[str(number)]) - np.array(case["logprobs"])).max()
        assert error < LOGPROB_TOLERANCE


def void(_: object) -> None:
    """A result that nobody wants."""
