"""Blocks and scheduling without a program: what a step may hold, and who goes first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine.block_manager import BlockManager, blocks_for
from foreknown.engine.chunk import Chunk
from foreknown.engine.chunking import Chunking
from foreknown.engine.detokenizer import NoText
from foreknown.engine.integrity import check_integrity
from foreknown.engine.progress import SequenceState
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.engine.step_times import StepTimes


def sequence(number: int, n_prompt: int, max_tokens: int, user: str = "") -> Sequence:
    return Sequence(
        request_id=str(number),
        number=number,
        arrival_ns=0,
        prompt=np.zeros(n_prompt, np.int32),
        max_tokens=max_tokens,
        params=SamplingParams(),
        stop_ids=frozenset(),
        seed=0,
        detokenizer=NoText(),
        user=user,
    )


def scheduler(
    n_blocks: int, max_tokens: int, max_rows: int, max_blocks: int = 8
) -> Scheduler[Sequence]:
    return Scheduler(BlockManager(n_blocks, max_rows, max_blocks), max_tokens, max_rows)


def compute(chunks: list[Chunk[Sequence]]) -> None:
    """What a step does to its sequences."""
    for chunk in chunks:
        gives_token = chunk.gives_token
        chunk.sequence.n_computed += chunk.n_tokens
        if gives_token:
            chunk.sequence.append(0)


@settings(deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 38)), min_size=1, max_size=12),
    n_blocks=st.integers(8, 30),
    max_tokens=st.integers(1, 40),
    max_rows=st.integers(1, 6),
    chance=st.integers(0, 2**32),
)
def test_every_sequence_ends_and_no_step_is_too_large(
    lengths: list[tuple[int, int]],
    n_blocks: int,
    max_tokens: int,
    max_rows: int,
    chance: int,
) -> None:
    random = np.random.default_rng(chance)
    schedule = scheduler(n_blocks, max_tokens, max_rows)
    ends = {}
    for number, (n_prompt, n_output) in enumerate(lengths):
        ends[number] = n_prompt + n_output
        schedule.add(sequence(number, n_prompt, n_output, user=str(random.integers(3))))
    steps = 0
    while schedule.has_work:
        chunks = schedule.schedule(0)
        check_integrity(schedule)
        assert chunks, "work, but nothing to do"
        assert sum(chunk.n_tokens for chunk in chunks) <= max_tokens
        assert len({chunk.sequence.number for chunk in chunks}) == len(chunks) <= max_rows
        for chunk in chunks:
            last = chunk.sequence.n_computed + chunk.n_tokens
            assert chunk.sequence.state is SequenceState.RUNNING
            assert 0 < last <= chunk.sequence.n_tokens
            assert blocks_for(last) <= chunk.sequence.n_blocks
        decoding = {s.number for s in schedule.running if s.n_pending == 1}
        assert decoding <= {chunk.sequence.number for chunk in chunks}, "nobody's token waits"
        first = min(s.order for s in (*schedule.running, *schedule.waiting))
        assert first in {chunk.sequence.order for chunk in chunks}, "the first advances"
        compute(chunks)
        for one in [*schedule.running, *schedule.waiting]:
            if one.n_tokens == ends[one.number] or random.random() < 0.01:
                schedule.finish(one)
                schedule.finish(one)  # again, to no effect
        steps += 1
        assert steps < 20_000
    check_integrity(schedule)
    assert schedule.blocks.n_free == n_blocks


def test_decoding_comes_before_prompts_and_the_longest_waiting_before_the_rest() -> None:
    schedule = scheduler(n_blocks=40, max_tokens=20, max_rows=4)
    for number in range(5):
        schedule.add(sequence(number, 12, 8))
    steps = []
    for _ in range(4):
        chunks = schedule.schedule(0)
        steps.append([(chunk.sequence.number, chunk.n_tokens) for chunk in chunks])
        compute(chunks)
    assert steps == [
        [(0, 12), (1, 8)],
        [(0, 1), (1, 4), (2, 12), (3, 3)],
        [(0, 1), (1, 1), (2, 1), (3, 9)],
        [(0, 1), (1, 1), (2, 1), (3, 1)],
    ]


def test_a_sequence_that_would_give_way_at_once_does_not_start() -> None:
    schedule = scheduler(n_blocks=2, max_tokens=64, max_rows=2)
    schedule.add(sequence(0, 8, 8))
    schedule.add(sequence(1, 16, 8))
    assert [chunk.sequence.number for chunk in schedule.schedule(0)] == [0]


def test_a_prompt_that_a_step_has_no_room_for_holds_no_blocks() -> None:
    schedule = scheduler(n_blocks=20, max_tokens=64, max_rows=4)
    told = lambda step: float(step.tokens)  # noqa: E731  (one token more is too much)
    schedule.chunking = Chunking(StepTimes(told, 1))
    schedule.add(sequence(0, 1, 20))
    compute(schedule.schedule(0))
    for number in (1, 2):
        schedule.add(sequence(number, 9, 8))
    chunks = schedule.schedule(0)
    assert [(chunk.sequence.number, chunk.n_tokens) for chunk in chunks] == [(0, 1), (1, 4)]
    assert [waiting.number for waiting in schedule.waiting] == [2]
