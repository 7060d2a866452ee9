"""Steps for nobody: a few, short ones, and no trace of them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.warming import MOST_TOKENS, WARM_S, warm_up
from tests.engine.conftest import FakeProgram
from tests.engine.reality import Linear


def price(step_s: float) -> Linear:
    return Linear(step_s * 1e6)


@pytest.mark.parametrize(
    ("step_s", "n_steps"),
    [(1e-5, MOST_TOKENS), (WARM_S / 3.5, 3), (WARM_S * 0.9, 1), (WARM_S * 1.1, 0), (1.0, 0)],
)
def test_as_many_steps_as_are_short(library: ctypes.CDLL, step_s: float, n_steps: int) -> None:
    program: Any = FakeProgram(library)
    assert warm_up(program, price(step_s)) == n_steps
    assert len(program.batches) == n_steps


@pytest.mark.parametrize(("context", "n_blocks"), [(3, 24), (96, 1), (2, 24)])
def test_no_more_than_there_is_room_for(library: ctypes.CDLL, context: int, n_blocks: int) -> None:
    program: Any = FakeProgram(library, context=context, n_blocks=n_blocks)
    longest = min(context, n_blocks * 16)
    assert warm_up(program, price(1e-6)) == min(longest - 2, MOST_TOKENS)


def test_who_comes_afterwards_has_the_same_bits(library: ctypes.CDLL) -> None:
    def answer(*, warm: bool) -> list[tuple[int | None, float | None]]:
        program: Any = FakeProgram(library)
        if warm:
            assert warm_up(program, price(1e-6))
        engine = Engine(program, price=price(1e-6))
        params = SamplingParams(max_tokens=20, temperature=0.9, seed=3, logprobs=0)
        outputs = list(engine.generate([Request([0, 0, 7], params)]))
        assert outputs[-1].n_cached == 0
        return [(output.token, output.logprob) for output in outputs]

    assert answer(warm=True) == answer(warm=False)


def test_a_broken_model_is_no_concern_of_it(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    program: Any = FakeProgram(library)
    step = program.step

    def spoiled(batch: Any) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = step(batch)
        return np.full_like(logits, np.nan)

    monkeypatch.setattr(program, "step", spoiled)
    assert warm_up(program, price(1e-6)) == 1
