"""Prompts come in chunks that spare those who decode, whatever steps really take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.chunking import LEAST, STRETCH, Chunking
from foreknown.engine.step_times import StepTimes, unmeasured
from tests.engine.company import Told
from tests.engine.conftest import StepClock

Repeating = Callable[..., Any]


def chunking(told: Callable[[int, int], float]) -> Chunking:
    return Chunking(StepTimes(lambda n: told(n, n)), told)


def test_with_nobody_decoding_there_is_all_the_room() -> None:
    assert chunking(lambda n, rows: float(n)).most(0, 512) == 512


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

    most = chunking(told).most(n_decoding, room)
    limit = STRETCH * told(n_decoding, n_decoding)
    assert min(LEAST, room) <= most <= room
    assert most <= LEAST or told(n_decoding + most, n_decoding + 1) <= limit * 1.001
    assert most == room or told(n_decoding + most + 1, n_decoding + 1) > limit * 0.999


def test_the_clock_corrects_what_was_told() -> None:
    sizes = chunking(unmeasured)
    first = sizes.most(4, 512)
    assert first <= 4
    for _ in range(200):  # tokens are nearly free
        sizes.decode.observe(4, 1.0)
        n_tokens = 4 + sizes.most(4, 512)
        sizes.observe(4, n_tokens, 1 + n_tokens / 200)
    assert 85 <= sizes.most(4, 512) <= 105
    for _ in range(400):  # no longer
        sizes.decode.observe(4, 1.0)
        n_tokens = 4 + sizes.most(4, 512)
        sizes.observe(4, n_tokens, 1 + n_tokens / 20)
    assert 4 <= sizes.most(4, 512) <= 8


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
        sizes.most(5, 512)
    assert calls < 30


def test_a_burst_of_a_neighbour_is_soon_forgotten() -> None:
    def told(n_tokens: int, n_rows: int) -> float:
        return 1 + n_tokens / 20

    sizes = chunking(told)
    for _ in range(50):
        sizes.observe(4, 4 + sizes.most(4, 512), told(4 + sizes.most(4, 512), 5))
    before = sizes.most(4, 512)
    for _ in range(5):
        sizes.observe(4, 4 + sizes.most(4, 512), 50.0)
    assert sizes.most(4, 512) >= LEAST
    for _ in range(40):
        sizes.observe(4, 4 + sizes.most(4, 512), told(4 + sizes.most(4, 512), 5))
    assert sizes.most(4, 512) >= 0.9 * before


def test_a_first_step_that_took_no_longer_does_not_make_prompts_free() -> None:
    """Who decoded alone before it met with cold caches."""

    def told(n_tokens: int, n_rows: int) -> float:
        return 1 + n_tokens / 20

    sizes = chunking(told)
    before = sizes.most(4, 512)
    sizes.decode.observe(4, 2.0)
    sizes.observe(4, 4 + before, 0.9)
    assert sizes.most(4, 512) <= 2 * before


def test_what_is_far_too_low_is_learned_in_a_few_steps() -> None:
    """Everybody's next token waits for each of them."""

    def real(n_tokens: int) -> float:
        return 1 + n_tokens / 10

    sizes = chunking(lambda n, rows: 1 + n / 1000)
    for _ in range(200):  # tokens are nearly free
        sizes.decode.observe(4, 1.0)
        sizes.observe(4, 4 + sizes.most(4, 512), 1.0)
    assert sizes.most(4, 512) > 400
    n_long = 0
    for _ in range(100):
        sizes.decode.observe(4, real(4))
        n_tokens = 4 + sizes.most(4, 512)
        sizes.observe(4, n_tokens, real(n_tokens))
        n_long += real(n_tokens) > 2 * STRETCH * real(4)
    assert n_long <= 30
    assert real(4 + sizes.most(4, 512)) <= 1.1 * STRETCH * real(4)


@pytest.mark.parametrize("n", [1, 7, 64])
def test_a_clock_that_stands_still_teaches_nothing(n: int) -> None:
    sizes = chunking(lambda n_tokens, n_rows: 1.0 + n_tokens)
    before = sizes.most(n, 512)
    for _ in range(20):
        sizes.observe(n, n + 5, 0.0)
    assert sizes.most(n, 512) == before
