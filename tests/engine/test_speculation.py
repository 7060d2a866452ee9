"""Speculation changes when tokens come, and nothing else (law 3); and it is never slower."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Engine, Output, Request, SamplingParams
from foreknown.engine.native_sampling import RowSampling, Sampler
from foreknown.graph.batch import BLOCK_TOKENS
from tests.engine.company import Told, assert_same_in_company, said
from tests.engine.conftest import ByteDetokenizer, StepClock

Repeating = Callable[..., Any]

LETTERS = st.characters(min_codepoint=0, max_codepoint=39)
PARAMS = st.builds(
    SamplingParams,
    max_tokens=st.integers(1, 60),
    temperature=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    top_k=st.sampled_from([0, 5]),
    top_p=st.sampled_from([1.0, 0.7]),
    min_p=st.sampled_from([0.0, 0.1]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 1.1]),
    presence_penalty=st.sampled_from([0.0, 0.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.0, -0.3]),
    logit_bias=st.dictionaries(st.integers(0, 39), st.sampled_from([-100.0, 3.0]), max_size=2),
    seed=st.integers(0, 99),
    stop=st.lists(st.text(LETTERS, min_size=1, max_size=3), max_size=2).map(tuple),
    stop_token_ids=st.sampled_from([(), (3,)]),
    ignore_eos=st.booleans(),
    min_tokens=st.sampled_from([0, 0, 1]),
    logprobs=st.sampled_from([None, 0, 2]),
)
PROMPTS = st.lists(st.integers(0, 39), min_size=1, max_size=8).flatmap(
    lambda phrase: st.integers(1, 4).map(lambda times: phrase * times)
)
REQUESTS = st.lists(st.builds(Request, PROMPTS, PARAMS), min_size=1, max_size=6)
FREE = lambda n_tokens: 1.0  # noqa: E731  (any draft is worth it)


def new_engine(program: Any, seconds: Callable[[int], float], **settings: Any) -> Engine:
    """An engine on a clock that goes by `seconds`, and is told so unless told otherwise."""
    program.clock = StepClock(seconds)
    told = settings.pop("step_seconds", seconds)
    settings = {"new_detokenizer": ByteDetokenizer, **settings}
    return Engine(program, clock=program.clock, price=Told(lambda n, rows: told(n)), **settings)


@settings(max_examples=80, deadline=None)
@given(
    requests=REQUESTS,
    memory=st.sampled_from([1, 1, 2, 100]),
    max_tokens=st.integers(1, 24),
    max_rows=st.integers(1, 16),
    n_blocks=st.integers(6, 14),
    each=st.sampled_from([0.0, 0.05, 0.3]),
    data=st.data(),
)
def test_outputs_are_the_same_with_and_without(
    repeating: Repeating,
    requests: list[Request],
    memory: int,
    max_tokens: int,
    max_rows: int,
    n_blocks: int,
    each: float,
    data: st.DataObject,
) -> None:
    end_ids = (7,)
    plain = new_engine(
        repeating(memory=memory, max_tokens=96), FREE, end_ids=end_ids, speculate=False
    )
    expected = [said(list(plain.generate([request]))) for request in requests]
    assert plain.n_drafted == 0

    sizes = {"max_tokens": max_tokens, "max_rows": max_rows, "n_blocks": n_blocks}
    program = repeating(memory=memory, **sizes)
    engine = new_engine(program, lambda n: 1 + each * (n - 1), end_ids=end_ids)
    assert_same_in_company(engine, requests, expected, data)
    assert engine.n_accepted <= engine.n_drafted


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"logprobs": 3},
        {"temperature": 0.5, "seed": 5, "logprobs": 0},
        {"frequency_penalty": -0.5, "logprobs": 2},
        {"repetition_penalty": 0.9},
        {"min_tokens": 40, "stop_token_ids": tuple(range(40))[::2]},
        {"logit_bias": {5: 2.0}},
    ],
    ids=str,
)
def test_drafts_are_right_under_every_kind_of_sampling(
    repeating: Repeating, params: dict[str, Any]
) -> None:
    """The other test is of chance; in this one drafts are known to have been right."""
    request = Request([1, 2, 3], SamplingParams(max_tokens=80, **{"temperature": 0.0, **params}))
    expected = said(list(new_engine(repeating(), FREE, speculate=False).generate([request])))
    engine = new_engine(repeating(), FREE)
    assert said(list(engine.generate([request]))) == expected
    assert engine.n_accepted > 10
    assert engine.n_steps == len(expected) - engine.n_accepted


@pytest.mark.parametrize("penalty", [0.2, 0.7, -0.2])
def test_penalties_see_what_the_same_step_chose_before(
    repeating: Repeating, penalty: float
) -> None:
    """Few tokens, so that a step's drafts hold the same one more than once."""
    for seed in range(12):
        params = SamplingParams(
            max_tokens=60, temperature=0.3, seed=seed, frequency_penalty=penalty, logprobs=0
        )
        request = Request([1, 2, seed % 5], params)
        plain = new_engine(repeating(vocab_size=5), FREE, speculate=False)
        engine = new_engine(repeating(vocab_size=5), FREE)
        assert said(list(engine.generate([request]))) == said(list(plain.generate([request])))
        assert engine.n_accepted > 0


def test_what_min_tokens_forbid_may_come_within_a_step(repeating: Repeating) -> None:
    """Whichever of a step's tokens is the first that may end the text."""
    reasons = set()
    for start in range(32):
        params = SamplingParams(
            max_tokens=60,
            temperature=0,
            min_tokens=20 + start % 8,
            stop_token_ids=tuple(range(1, 40, 2)),
        )
        request = Request([1, 2, start], params)
        expected = said(list(new_engine(repeating(), FREE, speculate=False).generate([request])))
        engine = new_engine(repeating(), FREE)
        assert said(list(engine.generate([request]))) == expected
        assert engine.n_accepted > 0
        reasons.add(expected[-1][4])
    assert reasons == {"stop", "length"}


@pytest.mark.parametrize("how", ["token", "text", "length"])
def test_a_sequence_ends_among_right_drafts(repeating: Repeating, how: str) -> None:
    """The prompt is what the model says anyway, with what will end it: drafts go beyond."""
    params = SamplingParams(max_tokens=48, temperature=0)
    loop = [o.token for o in new_engine(repeating(), FREE).generate([Request([1], params)])]
    prompt = [token for token in loop if token is not None]
    for n in range(1, 9):
        more = SamplingParams(max_tokens=30, temperature=0)
        after = [o.token for o in new_engine(repeating(), FREE).generate([Request(prompt, more)])]
        last = after[n]
        assert last is not None
        ends: dict[str, Any] = {
            "token": {"max_tokens": 30, "stop_token_ids": (last,)},
            "text": {"max_tokens": 30, "stop": (chr(last),)},
            "length": {"max_tokens": n},
        }
        request = Request(prompt, SamplingParams(temperature=0, **ends[how]))
        expected = said(list(new_engine(repeating(), FREE, speculate=False).generate([request])))
        engine = new_engine(repeating(), FREE)
        assert said(list(engine.generate([request]))) == expected
        assert not engine.has_work
        engine.check_integrity()


def test_the_context_is_filled_to_its_end(repeating: Repeating) -> None:
    engine = new_engine(repeating(context=64, n_blocks=6), FREE)
    outputs = list(engine.generate([Request([1, 2] * 8, SamplingParams(temperature=0))]))
    assert len(outputs) == 48
    assert outputs[-1].finish_reason == "length"
    assert engine.n_accepted > 30


def test_text_that_repeats_itself_takes_few_steps(repeating: Repeating) -> None:
    params = SamplingParams(max_tokens=400, temperature=0)
    sizes = {"context": 512, "n_blocks": 32}
    engine = new_engine(repeating(**sizes), lambda n: 1 + 0.05 * (n - 1))
    outputs = list(engine.generate([Request([1, 2, 3], params)]))
    assert len(outputs) == 400
    assert engine.n_steps < 400 / 5


def test_random_text_is_left_alone(repeating: Repeating) -> None:
    params = SamplingParams(max_tokens=1500, temperature=1.0, seed=1)
    program = repeating(memory=1600, vocab_size=200, context=1600, n_blocks=100)
    engine = new_engine(program, lambda n: 1 + 0.3 * (n - 1))
    list(engine.generate([Request([1, 2, 3], params)]))
    assert engine.n_drafted <= 15
    assert program.clock.now < 1500 * 1.01


STAIRS = st.lists(st.floats(0, 1.2), min_size=15, max_size=15)


@settings(max_examples=40, deadline=None)
@given(
    told=STAIRS,
    real=STAIRS,
    memory=st.sampled_from([1, 2, 3]),
    temperature=st.sampled_from([0.3, 0.6, 1.0]),
    seed=st.integers(0, 99),
)
def test_it_is_not_slower_even_where_every_forecast_is_wrong(
    repeating: Repeating,
    told: list[float],
    real: list[float],
    memory: int,
    temperature: float,
    seed: int,
) -> None:
    """1 % of the time and some steps at the start, in which the machine is found to be other."""
    sizes = {"vocab_size": 12, "context": 640, "n_blocks": 40, "max_rows": 16, "memory": memory}
    program = repeating(**sizes)
    engine = new_engine(
        program,
        lambda n: 0.01 * (1 + sum(real[: n - 1])),
        step_seconds=lambda n: 0.01 * (1 + sum(told[: n - 1])),
    )
    params = SamplingParams(max_tokens=600, temperature=temperature, seed=seed)
    assert len(list(engine.generate([Request([1, 2, 3], params)]))) == 600
    assert program.clock.now <= 0.01 * (600 * 1.01 + 9)


def test_several_sequences_share_what_a_step_has_room_for(repeating: Repeating) -> None:
    params = SamplingParams(max_tokens=60, temperature=0)
    requests = [Request([n, n + 1, n + 2], params) for n in range(5)]
    plain = new_engine(repeating(n_blocks=30, max_rows=8), FREE, speculate=False)
    expected = [said(list(plain.generate([request]))) for request in requests]
    for max_rows, max_tokens in ((5, 24), (6, 24), (16, 24), (40, 24), (40, 7), (40, 5)):
        program = repeating(n_blocks=30, max_rows=max_rows, max_tokens=max_tokens)
        engine = new_engine(program, FREE)
        names = [engine.add(request) for request in requests]
        got: dict[str, list[Output]] = {name: [] for name in names}
        while engine.has_work:
            for output in engine.step():
                got[output.request_id].append(output)
            engine.check_integrity()
        assert [said(got[name]) for name in names] == expected
        if max_rows > 5 and max_tokens > 6:
            assert engine.n_accepted > 0


def test_drafts_take_no_block_that_is_not_free(repeating: Repeating) -> None:
    """Two sequences fill all blocks: nobody gives way to a draft, and drafts still come."""
    n_blocks = 8
    params = SamplingParams(max_tokens=BLOCK_TOKENS * n_blocks // 2 - 3, temperature=0)
    requests = [Request([n, 2, 3], params) for n in (1, 9)]
    engine = new_engine(repeating(n_blocks=n_blocks, max_rows=32), FREE)
    for request in requests:
        engine.add(request)
    while engine.has_work:
        engine.step()
        engine.check_integrity()
    assert engine.scheduler.n_preemptions == 0
    assert engine.n_accepted > 50


def test_drafts_take_no_block_that_somebody_waits_for(repeating: Repeating) -> None:
    engine = new_engine(repeating(n_blocks=6, max_rows=32), FREE)
    engine.add(Request([1, 2, 3] * 4, SamplingParams(max_tokens=80, temperature=0)))
    while engine.scheduler.blocks.n_free > 4:
        engine.step()
    engine.add(Request([5] * 70, SamplingParams(max_tokens=4, temperature=0)))
    held = engine.scheduler.running[0].n_blocks
    for _ in range(20):
        before = engine.scheduler.blocks.n_free
        chunks = engine.scheduler.schedule(0)
        if not engine.scheduler.waiting:
            break
        assert engine.scheduler.blocks.n_free >= before - 1
        for sequence, n_tokens, drafts in chunks:
            last = sequence.n_computed + n_tokens + len(drafts)
            assert last <= max(held, sequence.n_blocks) * BLOCK_TOKENS
            assert sequence.n_blocks == -(-sequence.n_tokens // BLOCK_TOKENS)
        engine.scheduler.settle()
        engine.step()


def test_prompts_get_half_of_what_decoding_leaves(repeating: Repeating) -> None:
    engine = new_engine(repeating(max_tokens=9), FREE)
    engine.add(Request([1, 2] * 8, SamplingParams(max_tokens=60, temperature=0)))
    while not engine.n_accepted:
        engine.step()
    engine.add(Request(list(range(30)), SamplingParams(max_tokens=4, temperature=0)))
    decoding, prompt = engine.scheduler.schedule(0)
    assert (len(decoding.drafts), prompt.n_tokens) == (4, 4)


def test_a_program_that_cannot_go_back_is_never_given_drafts(repeating: Repeating) -> None:
    engine = new_engine(repeating(rewindable=False), FREE)
    list(engine.generate([Request([1, 2] * 8, SamplingParams(max_tokens=60, temperature=0))]))
    assert (engine.n_steps, engine.n_drafted) == (60, 0)


def test_a_failed_step_with_drafts_can_be_run_again(repeating: Repeating) -> None:
    request = Request([1, 2, 3], SamplingParams(max_tokens=80, temperature=0, logprobs=1))
    expected = said(list(new_engine(repeating(), FREE, speculate=False).generate([request])))
    program = repeating()
    engine = new_engine(program, FREE)
    works, calls = program.step, iter(range(10**6))

    def fails_every_other_time(batch: object) -> Any:
        logits = works(batch)
        if next(calls) % 2:
            raise KeyboardInterrupt
        return logits

    program.step = fails_every_other_time
    engine.add(request)
    outputs: list[Output] = []
    while engine.has_work:
        try:
            outputs += engine.step()
        except KeyboardInterrupt:
            engine.check_integrity()
    assert said(outputs) == expected
    assert engine.n_accepted > 10


def test_an_abandoned_generation_frees_the_blocks_of_its_drafts(repeating: Repeating) -> None:
    engine = new_engine(repeating(), FREE)
    generation = engine.generate([Request([1, 2] * 8, SamplingParams(temperature=0))])
    for _ in range(40):
        next(generation)
    generation.close()
    engine.check_integrity()
    assert engine.scheduler.blocks.n_free == engine.program.n_blocks
    assert not engine.has_work or engine.step()


@pytest.mark.parametrize(
    ("n_requests", "most"),
    [
        pytest.param(1, 12, id="alone: half of the step's room, eleven drafts"),
        pytest.param(2, 8, id="beside another: seven drafts"),
    ],
)
def test_tokens_of_one_step_come_at_one_time(
    repeating: Repeating, n_requests: int, most: int
) -> None:
    engine = new_engine(repeating(), FREE)
    for _ in range(n_requests):
        engine.add(Request([1, 2] * 8, SamplingParams(max_tokens=60, temperature=0)))
    n_outputs: list[int] = []
    while engine.has_work:
        outputs = engine.step()
        assert len({output.time_ns for output in outputs}) == 1
        of_each = Counter(output.request_id for output in outputs)
        n_outputs += of_each.values() if len(of_each) == n_requests else ()
    assert max(n_outputs) == most


def test_a_row_can_be_sampled_again_with_a_longer_history(repeating: Repeating) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (4, 40)).astype(np.float32)
    params = SamplingParams(frequency_penalty=2.0, temperature=0, logprobs=2)
    prompt = np.array([1], np.int32)
    sampling = RowSampling(params, 0, (), prompt, 4)
    library = repeating().library
    sampler = Sampler(library, 40, 4)
    first = sampler.sample(logits, [sampling] * 4, range(4))
    before = (sampler.tokens.copy(), sampler.logprobs.copy(), sampler.top_logprobs(1, 2))
    for _ in range(3):
        sampling.record(first[2])
    again = sampler.sample_again(2)
    alone = Sampler(library, 40, 1)
    assert [again] == alone.sample(logits[2:3], [sampling], [2])
    assert again != first[2]
    assert sampler.logprobs[2] == alone.logprobs[0]
    assert sampler.top_logprobs(2, 2) == alone.top_logprobs(0, 2)
    others = [0, 1, 3]
    np.testing.assert_array_equal(sampler.tokens[others], before[0][others])
    np.testing.assert_array_equal(sampler.logprobs[others], before[1][others])
    assert sampler.top_logprobs(1, 2) == before[2]
