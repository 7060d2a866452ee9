"""What the engine says of requests that have not come, and keeps for those it promised a time."""

from __future__ import annotations

import ctypes
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Beams, Engine, NotPromised, Objective, Request, SamplingParams
from foreknown.engine.rehearsal import Arrival
from foreknown.errors import RequestError
from tests.engine.company import run
from tests.engine.conftest import FakeProgram
from tests.engine.reality import (
    Linear,
    Reality,
    new_reality,
    random_arrivals,
    random_price,
    request_of,
)

PRICE = Linear(1000, 100)
EASY = Objective(deadline_ms=10_000)


def new(library: ctypes.CDLL, price: Linear = PRICE, **sizes: int) -> Reality:
    return new_reality(library, price, learns=False, **sizes)


def n_expected(engine: Engine) -> int:
    assert engine._foresight is not None
    return engine._foresight.n_expected


def ask(n_prompt: int, n_output: int, name: str = "asked", **more: object) -> Request:
    params = SamplingParams(max_tokens=n_output, temperature=0, ignore_eos=True)
    return Request([1] * n_prompt, params, id=name, salt=name, **more)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    n_before=st.integers(0, 6),
    n_steps=st.integers(0, 12),
    n_prompt=st.integers(1, 60),
    n_output=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)
def test_what_is_foreseen_is_what_comes(
    library: ctypes.CDLL, n_before: int, n_steps: int, n_prompt: int, n_output: int, seed: int
) -> None:
    """Where all have their greatest lengths and nobody comes after it."""
    random = np.random.default_rng(seed)
    price = random_price(random)
    reality = new(library, price, n_blocks=200, max_rows=4, context=128)
    engine = reality.engine
    for i, before in enumerate(random_arrivals(random, n_before, 0.01, n_users=1)):
        engine.add(request_of(100 + i, before, 40))
    for _ in range(n_steps):
        if engine.has_work:
            engine.step()
    request = ask(n_prompt, n_output, user="user 0")
    start_ns = engine.clock.now_ns()
    foreseen = engine.foresee(request)
    assert foreseen == engine.foresee(request), "asking changes nothing"
    engine.add(request)
    outputs = [output for output in run(engine) if output.request_id == "asked"]
    first_ms, last_ms = ((o.time_ns - start_ns) / 1e6 for o in (outputs[0], outputs[-1]))
    assert foreseen.ttft_ms == pytest.approx(first_ms, rel=1e-6)
    assert foreseen.total_ms == pytest.approx(last_ms, rel=1e-6)
    assert 0 < foreseen.low_ms <= foreseen.total_ms < foreseen.high_ms
    if not n_before:
        tpot_ms = (last_ms - first_ms) / max(n_output - 1, 1)
        assert foreseen.tpot_ms == pytest.approx(tpot_ms, rel=1e-6, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    n_prompt=st.integers(1, 80),
    n_output=st.integers(1, 20),
    samples=st.integers(2, 4),
    rewindable=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_of_several_answers_one_computes_the_prompt(
    library: ctypes.CDLL, n_prompt: int, n_output: int, samples: int, rewindable: bool, seed: int
) -> None:
    price = random_price(np.random.default_rng(seed))
    engine = new(
        library, price, n_blocks=200, max_rows=4, context=128, rewindable=rewindable
    ).engine
    request = ask(n_prompt, n_output, samples=samples)
    foreseen = engine.foresee(request)
    start_ns = engine.clock.now_ns()
    engine.add(request)
    times: dict[str, list[float]] = {}
    for output in run(engine):
        times.setdefault(output.request_id, []).append((output.time_ns - start_ns) / 1e6)
    assert len(times) == samples
    assert foreseen.ttft_ms == pytest.approx(max(one[0] for one in times.values()), rel=1e-6)
    assert foreseen.total_ms == pytest.approx(max(one[-1] for one in times.values()), rel=1e-6)


def test_what_is_foreseen_in_the_midst_of_a_step_begins_after_it(library: ctypes.CDLL) -> None:
    reality = new(library, Linear(10_000))
    seen = []

    def meanwhile(end_ns: int) -> None:
        reality.program.clock.now += 4_000_000
        seen.append(reality.engine.foresee(ask(4, 1)))
        reality.program.clock.now -= 4_000_000

    reality.engine.add(ask(4, 1, "first"))
    reality.program.meanwhile = meanwhile
    reality.engine.step()
    # six milliseconds are left of the step, which is the last of whoever is in it
    assert seen[0].total_ms == pytest.approx(16.0)


def test_what_was_promised_is_seen_before_it_comes(library: ctypes.CDLL) -> None:
    engine = new(library, max_rows=1).engine
    alone = engine.foresee(ask(4, 50)).total_ms
    wanted = Objective(deadline_ms=1.4 * alone)
    engine.reserve(ask(4, 50, "promised", objective=wanted))
    assert engine.foresee(ask(4, 50)).total_ms == pytest.approx(2 * alone, rel=0.2)
    with pytest.raises(NotPromised, match="beside what was promised before"):
        engine.reserve(ask(4, 50, objective=wanted))
    engine.release("promised")
    assert engine.foresee(ask(4, 50)).total_ms == pytest.approx(alone)
    engine.reserve(ask(4, 50, objective=wanted))


def test_what_was_promised_is_seen_while_it_comes(library: ctypes.CDLL) -> None:
    engine = new(library, max_rows=1).engine
    wanted = Objective(deadline_ms=1.4 * engine.foresee(ask(4, 50)).total_ms)
    coming = ask(4, 50, "promised", objective=wanted)
    engine.reserve(coming)
    asked = []

    def build_grammar() -> None:
        with pytest.raises(NotPromised, match="beside what was promised before"):
            engine.reserve(ask(4, 50, objective=wanted))
        asked.append(n_expected(engine))

    engine.add(replace(coming, new_constraint=build_grammar))
    assert asked == [1]
    assert n_expected(engine) == 0


def test_what_cannot_be_queued_after_all_gives_its_time_back(library: ctypes.CDLL) -> None:
    engine = new(library).engine
    coming = ask(4, 5, "promised", objective=EASY)
    engine.reserve(coming)

    def build_grammar() -> None:
        raise RequestError("the grammar fails")

    with pytest.raises(RequestError, match="the grammar fails"):
        engine.add(replace(coming, new_constraint=build_grammar))
    assert n_expected(engine) == 0


@pytest.mark.parametrize("of", ["embedding", "beams"])
def test_what_comes_whole_has_its_first_token_with_the_last(library: ctypes.CDLL, of: str) -> None:
    engine = new(library, Linear(1000, 100), context=128).engine
    request = ask(12, 30, beams=Beams(2)) if of == "beams" else ask(40, 1, embed="mean")
    foreseen = engine.foresee(request)
    assert foreseen.ttft_ms == foreseen.total_ms
    assert foreseen.tpot_ms == 0
    with pytest.raises(NotPromised) as refused:
        engine.reserve(replace(request, objective=Objective(ttft_ms=0.9 * foreseen.total_ms)))
    earliest = refused.value.earliest
    assert earliest.ttft_ms == earliest.total_ms
    wanted = Objective(ttft_ms=earliest.ttft_ms + 0.001)
    engine.add(replace(request, objective=wanted))
    start_ns = engine.clock.now_ns()
    assert all((o.time_ns - start_ns) / 1e6 <= wanted.ttft_ms for o in run(engine))


def test_bookings_go_where_their_requests_go(library: ctypes.CDLL) -> None:
    engine = new(library, n_blocks=40).engine
    for name in "abc":
        engine.reserve(ask(4, 5, name, objective=EASY))
    assert n_expected(engine) == 3
    engine.release("a")
    engine.release("a")  # again, to no effect
    engine.release("nobody")
    assert n_expected(engine) == 2
    engine.add(ask(4, 5, "b", objective=EASY))
    assert n_expected(engine) == 1
    assert engine.scheduler.waiting[0].commitment is not None
    engine.add(ask(4, 5, "d", objective=EASY))  # without a booking it makes its own
    assert n_expected(engine) == 1
    engine.add(ask(4, 5, "", objective=EASY))
    assert n_expected(engine) == 1
    assert engine.cancel("b")
    engine.release("c")
    assert len({output.request_id for output in run(engine)}) == 3
    assert n_expected(engine) == 0
    assert engine.blocks.n_free == 40


def test_what_is_refused_is_not_queued_or_booked(library: ctypes.CDLL) -> None:
    engine = new(library).engine
    with pytest.raises(NotPromised) as refused:
        engine.add(ask(4, 50, objective=Objective(deadline_ms=2)))
    assert refused.value.never
    assert not engine.has_work
    assert n_expected(engine) == 0
    with pytest.raises(RequestError, match="longer than the model's context"):
        engine.reserve(ask(500, 5, objective=EASY))
    assert n_expected(engine) == 0


def test_without_a_price_nothing_is_promised_or_foreseen(library: ctypes.CDLL) -> None:
    engine = Engine(FakeProgram(library))
    for act in (engine.foresee, engine.reserve, engine.add):
        with pytest.raises(RequestError, match="what steps take is not known"):
            act(ask(4, 5, objective=EASY))
    engine.release("asked")
    assert not engine.has_work


KINDS = {
    "samples": ask(20, 8, samples=3),
    "beams": ask(20, 8, beams=Beams(width=3, n=2)),
    "mean": replace(ask(20, 8), embed="mean"),
    "last": replace(ask(20, 8), embed="last"),
    "scores": ask(20, 8, prompt_logprobs=1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_request_can_be_promised(library: ctypes.CDLL, kind: str) -> None:
    reality = new(library, max_rows=6)
    engine = reality.engine
    engine.drift.observe = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(NotPromised) as refused:
        engine.reserve(replace(KINDS[kind], objective=Objective(deadline_ms=0.1)))
    deadline_ms = 1.5 * refused.value.earliest.total_ms
    request = replace(KINDS[kind], objective=Objective(deadline_ms=deadline_ms))
    engine.reserve(request)
    names = engine.add_samples(request)
    for i in range(3):  # they take what the promise leaves
        engine.add(ask(20, 8, f"other {i}"))
    outputs = [output for output in run(engine) if output.request_id in names]
    assert {output.request_id for output in outputs if output.finish_reason} == set(names)
    assert all(output.error is None for output in outputs)
    assert outputs[-1].time_ns <= deadline_ms * 1e6
    assert n_expected(engine) == 0


def test_idle_time_is_not_held_against_the_machine(library: ctypes.CDLL) -> None:
    reality = new(library, Linear(10_000))
    for i in range(40):
        reality.engine.add(ask(4, 8, str(i)))
        run(reality.engine)
        reality.program.clock.now += 5_000_000_000
    drift = reality.engine.drift
    assert drift.ratio == pytest.approx(1.0)
    assert drift.stall_s < 0.01
    assert not drift.has_drifted


def test_a_slower_machine_promises_later_and_keeps_it(library: ctypes.CDLL) -> None:
    reality = new(library, Linear(10_000, 300), max_rows=6, n_blocks=60)
    engine = reality.engine
    before = engine.foresee(ask(4, 40)).total_ms
    reality.program.slowness = lambda number: 1.4
    engine.add(ask(4, 90, "a"))
    engine.add(ask(4, 90, "b"))
    run(engine)
    engine.add(ask(4, 90, "c"))
    run(engine)
    assert engine.drift.has_drifted
    assert engine.drift.ratio == pytest.approx(1.4, rel=1e-3)
    assert engine.foresee(ask(4, 40)).total_ms == pytest.approx(1.4 * before, rel=1e-3)
    start_ns = engine.clock.now_ns()
    wanted = Objective(deadline_ms=1.6 * before)
    arrivals = [Arrival(start_ns + i * 40_000_000, 4, 40, wanted) for i in range(20)]
    came = reality.serve(arrivals)
    assert any(one.promise for one in came)
    assert any(one.refusal for one in came)
    assert all(one.kept for one in came if one.promise)


def test_a_server_that_only_refuses_comes_to_trust_its_machine_again(library: ctypes.CDLL) -> None:
    """Who is refused does no work, which could show that the machine is as told."""
    reality = new(library, Linear(10_000))
    engine = reality.engine
    wanted = Objective(deadline_ms=2 * engine.foresee(ask(4, 20)).total_ms)
    reality.program.slowness = lambda number: 40
    engine.add(ask(4, 20, "slow"))
    run(engine)
    with pytest.raises(NotPromised) as refused:
        engine.reserve(ask(4, 20, objective=wanted))
    assert not refused.value.never
    assert 59_000 < refused.value.forgotten_ms <= 60_000
    reality.program.slowness = lambda number: 1
    reality.program.clock.now += 61_000_000_000
    with pytest.raises(NotPromised, match="promised before"):
        engine.reserve(ask(4, 20, objective=wanted))
    assert engine.drift.ratio == 1, "but it may be slow again"
    reality.program.clock.now += 240_000_000_000
    engine.reserve(ask(4, 20, objective=wanted))


def test_many_threads_may_ask_while_one_steps(library: ctypes.CDLL) -> None:
    """Books balance throughout, and every booking is taken or given back."""
    reality = new(library, Linear(500, 20, 10, 0.1), n_blocks=60, max_rows=6)
    engine, stop = reality.engine, threading.Event()
    ready: list[Request] = []
    failures: list[BaseException] = []

    def book() -> None:
        random = np.random.default_rng()
        for number in range(10**6):
            if stop.is_set():
                return
            n_output = int(random.integers(1, 20))
            objective = Objective(deadline_ms=float(random.uniform(5, 200)))
            request = ask(int(random.integers(1, 40)), n_output, str(number), objective=objective)
            try:
                engine.reserve(request)
            except NotPromised:
                continue
            if random.random() < 0.5:
                engine.release(request.id)
            else:
                ready.append(request)

    def foresee() -> None:
        while not stop.is_set():
            assert engine.foresee(ask(10, 10, "seen")).total_ms > 0
            engine.stats()

    def guarded(act: object) -> None:
        try:
            act()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(act,)) for act in (book, foresee)]
    for thread in threads:
        thread.start()
    end, n_free = time.monotonic() + 0.6, 0
    while time.monotonic() < end:
        while ready:
            engine.add(ready.pop(0))
        if n_free < 3 and len(engine.scheduler.waiting) < 3:
            engine.add(ask(10, 30, f"free {(n_free := n_free + 1)}"))
        engine.step()
        engine.check_integrity()
    stop.set()
    for thread in threads:
        thread.join()
    for request in ready:
        engine.add(request)
    run(engine)
    assert failures == []
    assert n_expected(engine) == 0
    assert engine.blocks.n_free == 60
