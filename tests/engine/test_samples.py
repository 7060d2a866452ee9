"""Several answers to one prompt: computed once, drawn on their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.errors import RequestError
from tests.engine.company import alone, run, said

NewProgram = Callable[..., Any]
PROMPT = [n * 11 % 40 for n in range(37)]


@pytest.mark.parametrize("n_prompt", [1, 16, 17, 32, 37])
def test_samples_share_the_prompt_and_take_one_token_each(
    new_program: NewProgram, n_prompt: int
) -> None:
    program = new_program(max_rows=8, n_blocks=40)
    engine = Engine(program)
    params = SamplingParams(max_tokens=5, seed=3, logprobs=1)
    request = Request(PROMPT[:n_prompt], params, samples=6)
    names = engine.add_samples(request)
    assert engine.stats().waiting == 6
    outputs = run(engine)
    expected = alone(lambda: Engine(new_program()), request)
    assert [said([o for o in outputs if o.request_id == n]) for n in names] == expected
    assert len({str(answer) for answer in expected}) > 4
    chunks = [24, n_prompt - 24] if n_prompt > 24 else [n_prompt]
    assert program.batches == [*chunks, 6, 6, 6, 6, 5]
    assert engine.stats().prefix_asked == n_prompt
    assert sum(o.n_cached for o in outputs) == 0, "the prompt counts once"


def test_samples_that_wait_for_their_prompt_delay_nobody(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_tokens=10))
    engine.add_samples(Request(PROMPT, SamplingParams(max_tokens=2), samples=3))
    other = engine.add(Request([1, 2], SamplingParams(max_tokens=1)))
    ended = []
    for _ in range(4):
        ended += [o.request_id for o in engine.step() if o.finish_reason]
    assert ended == [other], "with what the prompt's last chunk left"


@pytest.mark.parametrize("n_steps", [0, 1, 2, 3, 4])
def test_the_others_go_on_without_the_first(new_program: NewProgram, n_steps: int) -> None:
    params = SamplingParams(max_tokens=6, seed=3)
    request = Request(PROMPT, params, samples=4)
    expected = alone(lambda: Engine(new_program()), request)
    engine = Engine(new_program(max_tokens=16))
    names = engine.add_samples(request)
    outputs = []
    for _ in range(n_steps):
        outputs += engine.step()
        engine.check_integrity()
    assert engine.cancel(names[0])
    assert engine.cancel(names[2])
    engine.check_integrity()
    outputs += run(engine)
    for i in (1, 3):
        assert said([o for o in outputs if o.request_id == names[i]]) == expected[i]
    assert sum(engine.program.batches) <= 2 * len(PROMPT) + 4 * 6  # type: ignore[attr-defined]


def test_names_and_refusals(new_program: NewProgram) -> None:
    engine = Engine(new_program())
    assert engine.add_samples(Request([1], id="a", samples=2)) == ["a-0", "a-1"]
    with pytest.raises(RequestError, match="'a-1' is in use"):
        engine.add(Request([1], id="a-1"))
    for samples in (0, -1, True, 1.5, 10**9):
        with pytest.raises(RequestError, match="samples is"):
            engine.add(Request([1], samples=samples))  # type: ignore[arg-type]
    assert engine.stats().waiting == 2


def test_a_seed_at_the_end_of_its_range_goes_on_at_the_start(new_program: NewProgram) -> None:
    def answers(seed: int, samples: int) -> list[list[tuple[object, ...]]]:
        engine = Engine(new_program())
        request = Request([1], SamplingParams(max_tokens=9, seed=seed), samples=samples)
        names = engine.add_samples(request)
        outputs = run(engine)
        return [said([o for o in outputs if o.request_id == name]) for name in names]

    assert answers(2**64 - 1, 2)[1] == answers(0, 1)[0]
