"""Beam search finds what a plain account of it finds, alone and in company, and always ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Beams, Engine, Output, Request, SamplingParams
from foreknown.errors import RequestError
from tests.engine.company import alone, assert_same_in_company, run, said
from tests.engine.conftest import ByteDetokenizer

NewProgram = Callable[..., Any]
ENDS = (7, 8)


def expected_answers(
    program: Any, prompt: list[int], beams: Beams, max_tokens: int, stop: tuple[str, ...] = ()
) -> list[tuple[list[int], str]]:
    """The best answers and why each ended, by the definition; with no engine at all."""

    def ends(tokens: list[int]) -> bool:
        text = bytes(tokens).decode("utf-8", "replace")
        return tokens[-1] in ENDS or any(s in text for s in stop)

    live: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[tuple[float, list[int], str]] = []
    for n in range(1, max_tokens + 1):
        candidates = []
        for tokens, score in live:
            logits = program._logits_after(np.array([*prompt, *tokens], np.int32))
            shifted = logits.astype(np.float64) - logits.max()
            logprobs = shifted - np.log(np.exp(shifted).sum())
            candidates += [(score + p, [*tokens, t]) for t, p in enumerate(logprobs)]
        candidates.sort(key=lambda c: -c[0])
        live = []
        for rank, (score, tokens) in enumerate(candidates[: 2 * beams.width]):
            if len(live) == beams.width:
                break
            if ends(tokens):
                if rank < beams.width:
                    finished.append((score / n**beams.length_penalty, tokens, "stop"))
            else:
                live.append((tokens, score))
        if len(finished) >= beams.width or not live:
            break
    else:
        finished += [(s / max_tokens**beams.length_penalty, t, "length") for t, s in live]
    finished.sort(key=lambda f: -f[0])
    return [(tokens, reason) for _, tokens, reason in finished[: beams.n]]


def found_answers(engine: Engine, request: Request) -> list[tuple[list[int], str]]:
    names = engine.add_samples(request)
    outputs: dict[str, list[Output]] = {name: [] for name in names}
    for output in run(engine):
        outputs[output.request_id].append(output)
    answers = []
    for name in names:
        tokens = [o.token for o in outputs[name]]
        assert all(o.finish_reason is None for o in outputs[name][:-1])
        answers.append((tokens, outputs[name][-1].finish_reason))
    return answers  # type: ignore[return-value]


@settings(max_examples=80, deadline=None)
@given(
    prompt=st.lists(st.integers(0, 39), min_size=1, max_size=40),
    width=st.integers(1, 5),
    penalty=st.sampled_from([0.0, 1.0, 2.0, -1.0]),
    max_tokens=st.integers(1, 40),
    sharpness=st.sampled_from([0.3, 1.0, 3.0]),
    stop=st.sampled_from([(), (), ("\x05",), ("\x01\x02", "\x03")]),
    max_step=st.integers(5, 24),
)
def test_answers_are_those_of_the_definition(
    new_program: NewProgram,
    prompt: list[int],
    width: int,
    penalty: float,
    max_tokens: int,
    sharpness: float,
    stop: tuple[str, ...],
    max_step: int,
) -> None:
    program = new_program(max_rows=6, n_blocks=30, max_tokens=max_step)
    raw = program._logits_after
    program._logits_after = lambda past: raw(past) * np.float32(sharpness)
    beams = Beams(width, penalty, n=width)
    params = SamplingParams(max_tokens=max_tokens, stop=stop)
    engine = Engine(program, end_ids=ENDS, new_detokenizer=ByteDetokenizer)
    expected = expected_answers(program, prompt, beams, max_tokens, stop)
    found = found_answers(engine, Request(prompt, params, beams=beams))
    assert found[: len(expected)] == expected
    assert all(reason == "error" for _, reason in found[len(expected) :])
    assert engine.scheduler.blocks.n_free == program.n_blocks
    assert not engine.has_work


BEAMS = st.builds(Beams, st.integers(1, 3), st.sampled_from([0.0, 1.0]))
PROMPTS = st.integers(1, 36).map(lambda n: [i * 7 % 40 for i in range(n)])
REQUESTS = st.lists(
    st.builds(
        lambda prompt, beams, n, params: Request(
            prompt,
            params,
            beams=None if beams is None else replace(beams, n=min(n, beams.width)),
        ),
        PROMPTS,
        st.one_of(st.none(), BEAMS),
        st.integers(1, 3),
        st.builds(
            SamplingParams,
            max_tokens=st.integers(1, 24),
            seed=st.integers(0, 9),
            logprobs=st.sampled_from([None, 0, 2]),
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(
    requests=REQUESTS,
    max_tokens=st.integers(3, 24),
    max_rows=st.integers(3, 6),
    n_blocks=st.integers(12, 16),
    data=st.data(),
)
def test_searches_find_the_same_in_company(
    new_program: NewProgram,
    requests: list[Request],
    max_tokens: int,
    max_rows: int,
    n_blocks: int,
    data: st.DataObject,
) -> None:
    def lone() -> Engine:
        return Engine(new_program(max_tokens=96, n_blocks=40), end_ids=ENDS)

    expected = [answer for request in requests for answer in alone(lone, request)]
    program = new_program(max_tokens=max_tokens, max_rows=max_rows, n_blocks=n_blocks)
    assert_same_in_company(Engine(program, end_ids=ENDS), requests, expected, data)


def test_beams_share_what_they_have_in_common(new_program: NewProgram) -> None:
    """After the prompt, one token for each beam and step, whoever its parent is."""
    program = new_program(max_rows=6, n_blocks=30)
    engine = Engine(program)
    request = Request(
        [n % 40 for n in range(20)], SamplingParams(max_tokens=20), beams=Beams(4, n=2)
    )
    found = found_answers(engine, request)
    assert [len(tokens) for tokens, _ in found] == [20, 20]
    assert program.batches == [20] + [4] * 19
    assert program.copies, "beams part within a block"


def test_log_probabilities_come_with_the_answers(new_program: NewProgram) -> None:
    engine = Engine(new_program(n_blocks=30), end_ids=ENDS)
    params = SamplingParams(max_tokens=9, logprobs=2)
    request = Request([1, 2, 3], params, beams=Beams(3, n=1), prompt_logprobs=1)
    outputs = list(engine.generate([request]))
    plain = SamplingParams(max_tokens=9, logprobs=2, temperature=0)
    for n, output in enumerate(outputs):
        forced = Request([1, 2, 3, *(o.token for o in outputs[:n])], plain)  # type: ignore[list-item]
        first = next(iter(engine.generate([forced])))
        assert output.top_logprobs == first.top_logprobs
        assert output.logprob is not None
    assert [len(o.prompt_logprobs) for o in outputs] == [3] + [0] * (len(outputs) - 1)


def test_two_searches_that_hold_everything_still_end(new_program: NewProgram) -> None:
    """Each waits for beams that have no row to run in, or no blocks: the later one gives way."""
    for sizes in ({"max_rows": 4, "n_blocks": 40}, {"max_rows": 8, "n_blocks": 13}):
        engine = Engine(new_program(**sizes))
        params = SamplingParams(max_tokens=30)
        request = Request([1, 2, 3, 4], params, beams=Beams(4))
        expected = alone(lambda: Engine(new_program(n_blocks=40)), request)
        names = [*engine.add_samples(request), *engine.add_samples(request)]
        outputs = run(engine)
        for name in names:
            assert said([o for o in outputs if o.request_id == name]) == expected[0]


def test_a_search_is_cancelled_as_a_whole(new_program: NewProgram) -> None:
    engine = Engine(new_program(n_blocks=30))
    names = engine.add_samples(Request([1, 2], SamplingParams(max_tokens=50), beams=Beams(3, n=2)))
    other = engine.add(Request([1, 2], SamplingParams(max_tokens=4)))
    for _ in range(3):
        engine.step()
    assert engine.cancel(names[1])
    assert not engine.cancel(names[0])
    engine.check_integrity()
    assert len(engine.scheduler.running) == 1
    reasons = {o.request_id: o.finish_reason for o in run(engine)}
    assert reasons == {names[0]: "cancelled", names[1]: "cancelled", other: "length"}


def test_broken_logits_end_a_search_with_an_error(new_program: NewProgram) -> None:
    program = new_program(n_blocks=30)
    program.broken_after = 12
    engine = Engine(program)
    names = engine.add_samples(Request([1, 2], SamplingParams(max_tokens=50), beams=Beams(3, n=2)))
    outputs = run(engine)
    assert [(o.request_id, o.finish_reason) for o in outputs] == [(n, "error") for n in names]
    assert engine.scheduler.blocks.n_free == 30


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request([1], beams=Beams(0)), "width of beams is 0"),
        (Request([1], beams=Beams(5)), "width of beams is 5"),
        (Request([1], beams=Beams(2, n=3)), "n of beams is 3"),
        (Request([1], beams=Beams(2, float("nan"))), "length_penalty"),
        (Request([1], SamplingParams(max_tokens=90), beams=Beams(4)), "at most 79 tokens"),
        (Request([1], SamplingParams(min_tokens=2), beams=Beams(2)), "min_tokens"),
        (Request([1], SamplingParams(logit_bias={1: 1}), beams=Beams(2)), "logit_bias"),
        (Request([1], SamplingParams(presence_penalty=1), beams=Beams(2)), "a penalty"),
        (Request([1], samples=2, beams=Beams(2)), "samples"),
        (Request([1], new_constraint=lambda: None, beams=Beams(2)), "a constraint"),  # type: ignore[arg-type, return-value]
    ],
)
def test_what_has_no_meaning_is_refused(
    new_program: NewProgram, request_: Request, message: str
) -> None:
    engine = Engine(new_program(n_blocks=20))
    with pytest.raises(RequestError, match=message):
        engine.add(request_)
    assert not engine.has_work


def test_a_program_that_cannot_go_back_has_no_beams(recurrent: NewProgram) -> None:
    with pytest.raises(RequestError, match="cannot part"):
        Engine(recurrent()).add(Request([1], SamplingParams(max_tokens=4), beams=Beams(2)))
