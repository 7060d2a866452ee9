"""The engine as a whole: law 3 over any mix, no lost block, every request ends."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Engine, Output, Request, SamplingParams
from foreknown.engine.block_manager import BlockManager
from foreknown.engine.integrity import IntegrityError
from foreknown.engine.scheduler import Scheduler
from foreknown.errors import ForeknownError, RequestError
from tests.engine.company import Told, alone, assert_same_in_company, said
from tests.engine.conftest import ByteDetokenizer

NewProgram = Callable[..., Any]

PARAMS = st.builds(
    SamplingParams,
    max_tokens=st.integers(1, 40),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.sampled_from([0, 5]),
    repetition_penalty=st.sampled_from([1.0, 1.2]),
    frequency_penalty=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 99),
    logprobs=st.sampled_from([None, 2]),
    min_tokens=st.sampled_from([0, 1]),
)
BEGINNING = [n * 7 % 40 for n in range(40)]
PROMPTS = st.one_of(
    st.lists(st.integers(0, 39), min_size=1, max_size=50),
    st.builds(
        lambda n, more: [*BEGINNING[:n], *more],
        st.integers(1, 40),
        st.lists(st.integers(0, 2), max_size=8),
    ),
)
SETTINGS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"samples": st.integers(2, 4)}),
    st.fixed_dictionaries({"prompt_logprobs": st.integers(0, 2), "samples": st.integers(1, 2)}),
    st.fixed_dictionaries({"embed": st.sampled_from(["mean", "last", "first"])}),
)
REQUESTS = st.lists(
    st.builds(
        lambda prompt, params, user, settings: Request(
            prompt, params, user=user, salt=user[:1], **settings
        ),
        PROMPTS,
        PARAMS,
        st.sampled_from(["", "a", "ab", "c"]),
        SETTINGS,
    ),
    min_size=1,
    max_size=9,
)


@settings(max_examples=100, deadline=None)
@given(
    requests=REQUESTS,
    kind=st.sampled_from(["new_program", "recurrent"]),
    max_tokens=st.integers(1, 24),
    max_rows=st.integers(1, 5),
    n_blocks=st.integers(6, 14),
    each=st.sampled_from([0.0, 0.1, 1.0]),
    data=st.data(),
)
def test_outputs_are_the_same_in_any_company(
    new_program: NewProgram,
    recurrent: NewProgram,
    requests: list[Request],
    kind: str,
    max_tokens: int,
    max_rows: int,
    n_blocks: int,
    each: float,
    data: st.DataObject,
) -> None:
    """Any mix, chunks, cached prefixes, samples that share a prompt, and preemption."""
    end_ids = (7, 8)
    make = new_program if kind == "new_program" else recurrent
    expected = [
        answer
        for request in requests
        for answer in alone(lambda: Engine(make(max_tokens=96), end_ids=end_ids), request)
    ]
    program = make(max_tokens=max_tokens, max_rows=max_rows, n_blocks=n_blocks)
    engine = Engine(
        program,
        end_ids=end_ids,
        clock=StillClock(),
        price=Told(lambda n_tokens, n_rows: 1 + each * (n_tokens - 1)),
    )
    assert_same_in_company(engine, requests, expected, data)


class StillClock:
    """No step takes any time: what is told of steps holds."""

    def now_ns(self) -> int:
        return 0


def test_decoding_and_prompt_chunks_share_steps(new_program: NewProgram) -> None:
    program = new_program(max_tokens=10)
    engine = Engine(program, price=Told(lambda n_tokens, n_rows: 1.0))
    params = SamplingParams(max_tokens=4, temperature=0)
    engine.add(Request([1, 2], params))
    engine.step()
    engine.add(Request(list(range(25)), params))
    while engine.has_work:
        engine.step()
    # 2 of the first prompt; then one decoding token beside chunks of 9, 9 and 7 of the other.
    assert program.batches == [2, 10, 10, 8, 1, 1, 1]


def test_the_youngest_gives_way_when_blocks_run_out(new_program: NewProgram) -> None:
    engine = Engine(new_program(n_blocks=6, max_rows=3))
    params = SamplingParams(max_tokens=60, temperature=0)
    names = [engine.add(Request([i] * 10, params)) for i in range(3)]
    finished = []
    while engine.has_work:
        finished += [o.request_id for o in engine.step() if o.finish_reason]
        engine.check_integrity()
    assert finished == names, "first come, first finished"
    assert engine.scheduler.n_preemptions > 0


def test_refused_requests_leave_nothing(new_program: NewProgram) -> None:
    engine = Engine(new_program())
    wrong = [
        (Request([]), "the prompt is empty"),
        (Request([0] * 96), "the prompt has 96 tokens"),
        (Request([40]), "token 40 of the prompt"),
        (Request([-1]), "token -1 of the prompt"),
        (Request([2**70]), "not a list of token ids"),
        (Request([1.5]), "not a list of token ids"),  # type: ignore[list-item]
        (Request(["a"]), "not a list of token ids"),  # type: ignore[list-item]
        (Request([[1], [1, 2]]), "not a list of token ids"),  # type: ignore[list-item]
        (Request([1], SamplingParams(max_tokens=96)), "max_tokens is 96"),
        (Request([1], SamplingParams(min_tokens=96)), "min_tokens is 96"),
        (Request([1], SamplingParams(logit_bias={40: 1})), "logit_bias"),
        (Request([1], SamplingParams(stop=("a",))), "without a tokenizer"),
    ]
    for request, message in wrong:
        with pytest.raises(RequestError, match=message):
            engine.add(request)
    engine.add(Request([1], id="a"))
    with pytest.raises(RequestError, match="in use"):
        engine.add(Request([1], id="a"))
    with pytest.raises(RequestError):
        list(engine.generate([Request([1], id="b"), Request([])]))
    assert engine.cancel("a")
    assert not engine.cancel("a")
    assert not engine.cancel("b")
    assert [(o.request_id, o.finish_reason) for o in engine.step()] == [
        ("b", "cancelled"),
        ("a", "cancelled"),
    ]
    assert not engine.has_work
    engine.check_integrity()


def test_without_max_tokens_the_context_is_filled(new_program: NewProgram) -> None:
    outputs = list(Engine(new_program()).generate([Request([1] * 30)]))
    assert len(outputs) == 96 - 30
    assert outputs[-1].finish_reason == "length"


def test_an_abandoned_generation_is_cancelled(new_program: NewProgram) -> None:
    engine = Engine(new_program())
    generation = engine.generate([Request([1, 2, 3])])
    next(generation)
    del generation
    gc.collect()
    engine.check_integrity()
    assert engine.scheduler.blocks.n_free == 24


def test_broken_logits_end_their_own_request_only(new_program: NewProgram) -> None:
    program = new_program()
    program.broken_after = 5
    engine = Engine(program)
    long = engine.add(Request([1, 2, 3]))
    short = engine.add(Request([1, 2, 3], SamplingParams(max_tokens=2)))
    last = {}
    while engine.has_work:
        for output in engine.step():
            last[output.request_id] = output
    engine.check_integrity()
    assert last[short].finish_reason == "length"
    assert last[long].finish_reason == "error"
    assert isinstance(last[long].error, ForeknownError)
    with pytest.raises(ForeknownError, match="NaN"):
        list(engine.generate([Request([1, 2, 3])]))
    engine.check_integrity()


def test_a_failed_step_can_be_run_again(new_program: NewProgram) -> None:
    expected = said(list(Engine(new_program()).generate([Request([1, 2], SamplingParams(seed=4))])))
    program = new_program()
    engine = Engine(program)
    works, calls = program.step, iter(range(10**6))

    def fails_now_and_then(batch: object) -> Any:
        if next(calls) % 3 == 1:
            raise KeyboardInterrupt
        return works(batch)

    program.step = fails_now_and_then
    engine.add(Request([1, 2], SamplingParams(seed=4)))
    outputs: list[Output] = []
    while engine.has_work:
        try:
            outputs += engine.step()
        except KeyboardInterrupt:
            engine.check_integrity()
    assert said(outputs) == expected


def test_times_come_from_the_given_clock(new_program: NewProgram) -> None:
    class Counting:
        now = 0

        def now_ns(self) -> int:
            self.now += 5
            return self.now

    outputs = list(
        Engine(new_program(), clock=Counting()).generate(
            [Request([1], SamplingParams(max_tokens=3))]
        )
    )
    times = [output.time_ns for output in outputs]
    assert times == sorted(times)
    assert times[-1] < 100


def test_unseeded_requests_differ_and_seeded_ones_repeat(new_program: NewProgram) -> None:
    def run(seed: int | None) -> list[int | None]:
        params = SamplingParams(max_tokens=30, seed=seed)
        return [o.token for o in Engine(new_program()).generate([Request([1], params)])]

    assert run(3) == run(3)
    assert run(-1) == run(2**64 - 1)
    assert run(None) != run(None)


def test_what_ended_an_answer_is_told(new_program: NewProgram) -> None:
    def ended(**params: Any) -> Any:
        engine = Engine(new_program(), end_ids=(), new_detokenizer=ByteDetokenizer)
        settings: dict[str, Any] = {"temperature": 0, "max_tokens": 20, **params}
        outputs = list(engine.generate([Request([1, 2], SamplingParams(**settings))]))
        assert all(o.stopped_by is None for o in outputs[:-1])
        return outputs[-1].stopped_by, [o.token for o in outputs]

    by, tokens = ended()
    assert (by, len(tokens)) == (None, 20)
    assert ended(stop_token_ids=(tokens[5],))[0] == tokens[5]
    assert ended(stop=("never", chr(tokens[4])))[0] == chr(tokens[4])


def test_the_engine_tells_what_it_is_doing(new_program: NewProgram) -> None:
    class Ticking:
        now = 0

        def now_ns(self) -> int:
            self.now += 500_000_000
            return self.now

    engine = Engine(new_program(max_rows=2), clock=Ticking())
    for n in range(3):
        engine.add(Request([n] * 20, SamplingParams(max_tokens=4, seed=1)))
    engine.add_samples(Request([3] * 20, SamplingParams(max_tokens=4, seed=1), samples=2))
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.total_blocks) == (0, 5, 24)
    engine.step()
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.held_blocks) == (2, 3, 4)
    assert (stats.step_tokens, stats.step_seconds) == (24, 0.5)
    while engine.has_work:
        engine.step()
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.held_blocks) == (0, 0, 0)
    assert stats.cached_blocks == 9
    assert (stats.prefix_asked, stats.prefix_found, stats.preemptions) == (80, 0, 0)


# ---- the checker itself must be able to fail ----------------------------------------------


def lose_a_block(s: Scheduler) -> None:
    s.blocks.blank.pop()


def free_a_held_block(s: Scheduler) -> None:
    s.blocks.blank.append(int(s.blocks.tables[s.running[0].table, 0]))


def share_without_counting(s: Scheduler) -> None:
    first, second = s.running[0].table, s.running[1].table
    s.blocks.tables[first, 0] = s.blocks.tables[second, 0]


def lose_a_table(s: Scheduler) -> None:
    s.blocks.free_tables.pop()


def swap_order(s: Scheduler) -> None:
    s.running.reverse()


def forget_a_sequence(s: Scheduler) -> None:
    s.running.pop()


def skip_tokens(s: Scheduler) -> None:
    s.running[0].n_computed += 100


def take_a_block_too_many(s: Scheduler) -> None:
    BlockManager.append(s.blocks, s.running[0])


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_block,
        free_a_held_block,
        share_without_counting,
        lose_a_table,
        swap_order,
        forget_a_sequence,
        skip_tokens,
        take_a_block_too_many,
    ],
)
def test_integrity_notices(new_program: NewProgram, damage: Callable[[Scheduler], None]) -> None:
    engine = Engine(new_program())
    for _ in range(2):
        engine.add(Request([1] * 20))
    for _ in range(3):
        engine.step()
    engine.check_integrity()
    damage(engine.scheduler)
    with pytest.raises(IntegrityError):
        engine.check_integrity()


def test_prompts_may_be_arrays(new_program: NewProgram) -> None:
    prompt = np.arange(5, dtype=np.int64)
    params = SamplingParams(seed=1, max_tokens=3)
    one = said(list(Engine(new_program()).generate([Request(prompt, params)])))  # type: ignore[arg-type]
    assert one == said(list(Engine(new_program()).generate([Request([0, 1, 2, 3, 4], params)])))
