"""Prompts come in chunks that spare those who decode, whatever steps really take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.chunking import LEAST, STRETCH, Chunking
from foreknown.engine.step_times import StepTimes, about, unmeasured
from foreknown.engine.step_times import Told as ToldSteps
from foreknown.plan.price import StepShape, decode_shape, prompt_shape
from tests.engine.company import Told
from tests.engine.conftest import StepClock

Repeating = Callable[..., Any]
CONTEXT = 100


def chunking(told: Callable[[int, int], float]) -> Chunking:
    """Where contexts cost nothing."""
    return of_steps(lambda step: told(step.tokens, step.rows))


def of_steps(told: ToldSteps) -> Chunking:
    return Chunking(StepTimes(told, CONTEXT))


def most(sizes: Chunking, n_decoding: int, room: int = 512) -> int:
    return sizes.most(decode_shape(n_decoding, CONTEXT), 0, room)


def observe(sizes: Chunking, n_decoding: int, n_tokens: int, seconds: float) -> None:
    decoding = decode_shape(n_decoding, CONTEXT)
    sizes.observe(decoding, beside(decoding, 0, n_tokens - n_decoding), seconds)


def beside(decoding: StepShape, start: int, n_tokens: int) -> StepShape:
    return decoding.beside(prompt_shape(start, start + n_tokens, 1))


def test_with_nobody_decoding_there_is_all_the_room() -> None:
    assert most(chunking(lambda n, rows: float(n)), 0) == 512


@given(
    n_decoding=st.integers(1, 64),
    room=st.integers(1, 512),
    fixed=st.floats(0.1, 100),
    row=st.floats(0, 1),
)
def test_chunks_keep_the_limit_and_use_it(
    n_decoding: int, room: int, fixed: float, row: float
) -> None:
    def told(n_tokens: int, n_rows: int) -> float:
        return fixed + n_tokens + row * n_rows

    n_most = most(chunking(told), n_decoding, room)
    limit = STRETCH * told(n_decoding, n_decoding)
    assert min(LEAST, room) <= n_most <= room
    assert n_most <= LEAST or told(n_decoding + n_most, n_decoding + 1) <= limit * 1.001
    assert n_most == room or told(n_decoding + n_most + 1, n_decoding + 1) > limit * 0.999


def test_the_clock_corrects_what_was_told() -> None:
    sizes = of_steps(unmeasured)
    first = most(sizes, 4)
    assert first <= 4
    for _ in range(200):  # tokens are nearly free
        sizes.decode.observe(4, 1.0)
        n_tokens = 4 + most(sizes, 4)
        observe(sizes, 4, n_tokens, 1 + n_tokens / 200)
    assert 85 <= most(sizes, 4) <= 105
    for _ in range(400):  # no longer
        sizes.decode.observe(4, 1.0)
        n_tokens = 4 + most(sizes, 4)
        observe(sizes, 4, n_tokens, 1 + n_tokens / 20)
    assert 4 <= most(sizes, 4) <= 8


@settings(max_examples=60, deadline=None)
@given(
    token=st.floats(0.005, 0.5),
    told_token=st.floats(0.005, 0.5),
    n_decoding=st.integers(1, 6),
    speculate=st.booleans(),
)
def test_a_prompt_never_stretches_a_gap_beyond_twice(
    repeating: Repeating, token: float, told_token: float, n_decoding: int, speculate: bool
) -> None:
    """Also where the forecast is wrong, once a few steps have shown it."""
    program = repeating(
        context=1100, n_blocks=400, max_tokens=256, max_rows=16, memory=100, vocab_size=200
    )
    clock = StepClock(lambda n_tokens: 0.01 * (1 + token * (n_tokens - 1)))
    program.clock = clock
    engine = Engine(
        program,
        clock=clock,
        speculate=speculate,
        price=Told(lambda n, rows: 0.01 * (1 + told_token * (n - 1))),
    )
    for i in range(n_decoding):
        engine.add(Request([i], SamplingParams(max_tokens=1000, seed=i)))
    for _ in range(30):
        engine.step()
    for n in range(3):
        engine.add(Request([n] * 300, SamplingParams(max_tokens=2, seed=1)))
    plain = clock.seconds(n_decoding)
    slow = n_steps = 0
    while len(engine.scheduler.running) > n_decoding or engine.scheduler.waiting:
        before = clock.now
        engine.step()
        n_steps += 1
        least = clock.seconds(n_decoding + LEAST)  # a prompt must come to an end, too
        slow += clock.now - before > 1.001 * max(2 * plain, least)
        assert n_steps < 2000
    assert slow <= 8


@given(
    each=st.floats(0.01, 0.1),
    attended=st.floats(0, 1e-4),
    n_decoding=st.integers(1, 16),
    context=st.integers(1, 4000),
    start=st.integers(0, 4000),
)
def test_it_is_told_by_what_is_attended_to(
    each: float, attended: float, n_decoding: int, context: int, start: int
) -> None:
    """Of a long prompt a step bears fewer tokens than of a short one."""

    def told(step: StepShape) -> float:
        return 1 + each * step.tokens + attended * step.attended

    decoding = decode_shape(n_decoding, context)
    n_most = of_steps(told).most(decoding, start, 512)
    rounded = decode_shape(n_decoding, about(context))
    longer = beside(rounded, about(start), n_most)
    assert n_most == LEAST or told(longer) <= STRETCH * told(rounded) * 1.001
    longer = beside(rounded, about(start), n_most + 1)
    assert n_most == 512 or told(longer) > STRETCH * told(rounded) * 0.999
    assert n_most <= of_steps(told).most(decoding, 0, 512)


@given(st.integers(0, 1 << 40))
def test_contexts_are_rounded_up_by_half_at_most(context: int) -> None:
    assert context <= about(context) <= 1.5 * context
    assert about(about(context)) == about(context)


@given(st.lists(st.floats(0.85, 1.2), min_size=40, max_size=40))
def test_what_was_told_stands_while_the_clock_agrees(jitters: list[float]) -> None:
    """So that prompts come in the chunks in which they were foreseen to."""

    def told(n_tokens: int, n_rows: int) -> float:
        return 1 + n_tokens / 20

    sizes = chunking(told)
    before = most(sizes, 4)
    for jitter in jitters:
        observe(sizes, 4, 4 + before, jitter * told(4 + before, 5))
        assert most(sizes, 4) == before


def test_drafts_count_in_the_same_limit(repeating: Repeating) -> None:
    """A step's drafts and chunk together are no more than the chunk alone might be."""
    told = lambda n, rows: 1 + 0.1 * (n - 1)  # noqa: E731
    program = repeating(max_tokens=64, context=400, n_blocks=80, max_rows=32)
    program.clock = clock = StepClock(lambda n: told(n, n))
    engine = Engine(program, clock=clock, price=Told(told))
    engine.add(Request([1, 2] * 8, SamplingParams(max_tokens=300, temperature=0)))
    while engine.n_accepted < 20:
        engine.step()
    drafted = engine.n_drafted
    engine.add(Request([n % 40 for n in range(104)], SamplingParams(max_tokens=1)))
    n_before = len(program.batches)
    while len(engine.scheduler.running) > 1 or engine.scheduler.waiting:
        engine.step()
    assert max(program.batches[n_before:]) <= 1 + 5
    assert engine.n_drafted > drafted


def test_tokens_that_take_no_chunk_are_not_held_back(repeating: Repeating) -> None:
    """Samples that share a prompt start at once, however little a step may be stretched."""
    program = repeating(n_blocks=40)
    program.clock = clock = StepClock(lambda n: float(n))
    engine = Engine(program, clock=clock, price=Told(lambda n, rows: float(n)), speculate=False)
    engine.add(Request([9], SamplingParams(max_tokens=60)))
    engine.step()
    engine.add_samples(Request([1, 2], SamplingParams(max_tokens=9), samples=8))
    for _ in range(3):
        engine.step()
    assert program.batches == [1, 3, 9, 9]


def test_asked_again_it_takes_little_time() -> None:
    calls = 0

    def told(n_tokens: int, n_rows: int) -> float:
        nonlocal calls
        calls += 1
        return 1.0 + n_tokens / 50

    sizes = chunking(told)
    for _ in range(1000):
        most(sizes, 5)
    assert calls < 30
    for context in range(2, 4000):  # there are few that count
        sizes.most(decode_shape(5, context), context // 2, 512)
    assert calls < 2000


def test_a_burst_of_a_neighbour_is_soon_forgotten() -> None:
    def told(n_tokens: int, n_rows: int) -> float:
        return 1 + n_tokens / 20

    sizes = chunking(told)
    for _ in range(50):
        observe(sizes, 4, 4 + most(sizes, 4), told(4 + most(sizes, 4), 5))
    before = most(sizes, 4)
    for _ in range(5):
        observe(sizes, 4, 4 + most(sizes, 4), 50.0)
    assert most(sizes, 4) >= LEAST
    for _ in range(40):
        observe(sizes, 4, 4 + most(sizes, 4), told(4 + most(sizes, 4), 5))
    assert most(sizes, 4) >= 0.9 * before


def test_a_first_step_that_took_no_longer_does_not_make_prompts_free() -> None:
    """Who decoded alone before it met with cold caches."""

    def told(n_tokens: int, n_rows: int) -> float:
        return 1 + n_tokens / 20

    sizes = chunking(told)
    before = most(sizes, 4)
    sizes.decode.observe(4, 2.0)
    observe(sizes, 4, 4 + before, 0.9)
    assert most(sizes, 4) <= 2 * before


def test_what_is_far_too_low_is_learned_in_a_few_steps() -> None:
    """Everybody's next token waits for each of them."""

    def real(n_tokens: int) -> float:
        return 1 + n_tokens / 10

    sizes = chunking(lambda n, rows: 1 + n / 1000)
    for _ in range(200):  # tokens are nearly free
        sizes.decode.observe(4, 1.0)
        observe(sizes, 4, 4 + most(sizes, 4), 1.0)
    assert most(sizes, 4) > 400
    n_long = 0
    for _ in range(100):
        sizes.decode.observe(4, real(4))
        n_tokens = 4 + most(sizes, 4)
        observe(sizes, 4, n_tokens, real(n_tokens))
        n_long += real(n_tokens) > 2 * STRETCH * real(4)
    assert n_long <= 30
    assert real(4 + most(sizes, 4)) <= 1.1 * STRETCH * real(4)


@pytest.mark.parametrize("n", [1, 7, 64])
def test_a_clock_that_stands_still_teaches_nothing(n: int) -> None:
    sizes = chunking(lambda n_tokens, n_rows: 1.0 + n_tokens)
    before = most(sizes, n)
    for _ in range(20):
        observe(sizes, n, n + 5, 0.0)
    assert most(sizes, n) == before
