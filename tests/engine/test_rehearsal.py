"""One scheduler, two clocks: what a rehearsal tells is what the engine does."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Request, SamplingParams
from foreknown.engine.promises import Objective
from foreknown.engine.rehearsal import Arrival, Beginning, Rehearsal, Traffic, rehearse
from foreknown.engine.snapshot import Capacity
from foreknown.errors import DoesNotFit
from tests.engine.reality import (
    Came,
    Linear,
    Reality,
    forget_prefixes,
    new_reality,
    random_arrivals,
    random_price,
)

CONTEXT = 128


def assert_same(came: list[Came], told: Rehearsal) -> None:
    assert len(came) == len(told.outcomes)
    for real, outcome in zip(came, told.outcomes, strict=True):
        assert outcome.arrival is real.arrival
        assert (real.times_ns == []) == outcome.refused
        if outcome.refused:
            continue
        first_ns, last_ns = real.times_ns[0], real.times_ns[-1]
        assert outcome.first_ns == pytest.approx(first_ns, rel=1e-6, abs=1000)
        assert outcome.last_ns == pytest.approx(last_ns, rel=1e-6, abs=1000)


def assert_told(reality: Reality, price: Linear, arrivals: list[Arrival]) -> Rehearsal:
    told = rehearse(arrivals, reality.program.capacity, price)
    assert_same(reality.serve(arrivals), told)
    assert told.n_steps == len(reality.program.batches)
    if told.outcomes:
        assert told.end_ns == pytest.approx(reality.program.clock.now, rel=1e-6, abs=1000)
    return told


def sizes_of_steps(least_tokens: int) -> st.SearchStrategy[dict[str, int]]:
    """How much an engine may do at once."""
    return st.fixed_dictionaries(
        {
            "max_tokens": st.integers(least_tokens, 40),
            "max_rows": st.integers(1, 6),
            "n_blocks": st.integers(8, 24),
        }
    )


def random_reality(
    library: ctypes.CDLL, random: np.random.Generator, sizes: dict[str, int]
) -> tuple[Reality, Linear]:
    """An engine of a random price, that learns nothing and shares no prefixes."""
    price = random_price(random)
    reality = new_reality(library, price, learns=False, context=CONTEXT, **sizes)
    forget_prefixes(reality.engine)
    return reality, price


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 14),
    sizes=sizes_of_steps(3),
    seed=st.integers(0, 2**32),
)
def test_the_engine_does_what_the_rehearsal_told(
    library: ctypes.CDLL, n: int, sizes: dict[str, int], seed: int
) -> None:
    """Also where blocks run out and sequences give way to others."""
    random = np.random.default_rng(seed)
    reality, price = random_reality(library, random, sizes)
    arrivals = random_arrivals(random, n, price.step / 1e6)
    assert_told(reality, price, arrivals)


def test_sequences_that_gave_way_are_told_too(library: ctypes.CDLL) -> None:
    price = Linear(1013.7, 91.3, 17.9, 1.37)
    reality = new_reality(library, price, learns=False, n_blocks=9, max_rows=4, context=CONTEXT)
    forget_prefixes(reality.engine)
    arrivals = [Arrival(11_111 * i, 20 + i, 60) for i in range(6)]
    assert_told(reality, price, arrivals)
    assert reality.engine.stats().preemptions > 0


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 10), max_tokens=st.integers(3, 40), seed=st.integers(0, 2**32))
def test_an_engine_that_learns_finds_nothing_to_correct(
    library: ctypes.CDLL, n: int, max_tokens: int, seed: int
) -> None:
    """Where steps take what they were told to, prompts come in the same chunks."""
    random = np.random.default_rng(seed)
    price = replace(random_price(random), row=0.0, attended=0.0, kept=0.0)
    reality = new_reality(library, price, max_tokens=max_tokens, n_blocks=200, context=CONTEXT)
    assert_told(reality, price, random_arrivals(random, n, price.step / 1e6))
    assert reality.engine.drift.ratio == pytest.approx(1, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 12), max_tokens=st.integers(8, 60), seed=st.integers(0, 2**32))
def test_prefixes_that_were_computed_are_found_in_both(
    library: ctypes.CDLL, n: int, max_tokens: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    price = random_price(random)
    reality = new_reality(
        library,
        price,
        learns=False,
        max_tokens=max_tokens,
        vocab_size=120,
        n_blocks=200,
        context=256,
    )
    step_s = price.step / 1e6
    arrivals = random_arrivals(random, n, step_s, n_prefixes=4, least_output=1)
    told = assert_told(reality, price, arrivals)
    found = [real.n_cached for real in reality.came]
    assert found == [outcome.n_cached for outcome in told.outcomes]


@settings(max_examples=60, deadline=None)
@given(
    n_prompt=st.integers(1, 70),
    n_samples=st.integers(1, 6),
    rewindable=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_samples_share_their_prompt_in_both(
    library: ctypes.CDLL, n_prompt: int, n_samples: int, rewindable: bool, seed: int
) -> None:
    """The first computes it; the others its last token, or what no block can be copied of."""
    price = random_price(np.random.default_rng(seed))
    sizes = {"max_tokens": 40, "max_rows": 8, "n_blocks": 80, "context": CONTEXT}
    reality = new_reality(library, price, learns=False, rewindable=rewindable, **sizes)
    params = SamplingParams(max_tokens=9, temperature=0, ignore_eos=True)
    reality.engine.add_samples(Request([5] * n_prompt, params, samples=n_samples))
    while reality.engine.has_work:
        reality.engine.step()
    traffic = Traffic(reality.program.capacity, price)
    traffic.draw(Arrival(0, n_prompt, 9, prefix=tuple(range(n_prompt // 16))), n_samples)
    told = traffic.end()
    assert told.n_steps == len(reality.program.batches)
    assert told.end_ns == pytest.approx(reality.program.clock.now, rel=1e-6, abs=1000)


def test_a_prefix_is_computed_once_while_its_blocks_are_kept() -> None:
    price = Linear(1000, 100)
    first = Arrival(0, 40, 2, prefix=(7, 8))
    same = Arrival(10**9, 40, 2, prefix=(7, 8))
    other = Arrival(2 * 10**9, 40, 2, prefix=(9, 8))
    told = rehearse([first, same, other], Capacity(64, 4, 100, CONTEXT), price)
    assert [outcome.n_cached for outcome in told.outcomes] == [0, 32, 0]
    waited = [outcome.first_ns - outcome.arrival.time_ns for outcome in told.outcomes]
    assert waited[0] == waited[2] == 5_000_000
    assert waited[1] == 1_800_000
    # with few blocks, another's blocks push them out
    between = Arrival(10**8, 40, 2)
    few = rehearse([first, between, same], Capacity(64, 4, 3, CONTEXT), price)
    assert few.outcomes[2].n_cached == 0


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 14),
    sizes=sizes_of_steps(8),
    load=st.floats(0.3, 4),
    seed=st.integers(0, 2**32),
)
def test_the_engine_promises_what_the_rehearsal_does(
    library: ctypes.CDLL,
    n: int,
    sizes: dict[str, int],
    load: float,
    seed: int,
) -> None:
    """The same requests are refused, and what is promised is kept at the same times."""
    random = np.random.default_rng(seed)
    reality, price = random_reality(library, random, sizes)
    drift = reality.engine.drift
    drift.margin, drift.stall_s = 0.1, 0.0
    drift.observe = lambda *_: None  # type: ignore[method-assign]
    step_ms = price.step / 1e3
    # a promised end or pace holds prompts back by how late it is, which a leap does not follow
    arrivals = [
        replace(one, objective=Objective(ttft_ms=step_ms * float(random.uniform(2, 20 * load))))
        for one in random_arrivals(random, n, price.step / 1e6)
    ]
    told = rehearse(arrivals, reality.program.capacity, price, margin=0.1)
    assert_same(reality.serve(arrivals), told)
    kept = [None if real.refusal else real.kept for real in reality.came]
    assert kept == [outcome.kept for outcome in told.outcomes]


def test_nobody_came() -> None:
    told = rehearse([], Capacity(8, 2, 8, CONTEXT), Linear(1000))
    assert told == Rehearsal((), 0, 0, 0)


def test_all_at_the_same_time_are_told_in_their_order() -> None:
    told = rehearse(
        [Arrival(5_000_000, 4, 1) for _ in range(3)], Capacity(4, 8, 8, CONTEXT), Linear(1000)
    )
    assert [outcome.first_ns for outcome in told.outcomes] == [6_000_000, 7_000_000, 8_000_000]
    assert (told.n_steps, told.busy_ns, told.end_ns) == (3, 3_000_000, 8_000_000)


def test_whoever_wants_no_output_has_it_when_its_prompt_is_read() -> None:
    told = rehearse([Arrival(0, 20, 0)], Capacity(8, 2, 8, CONTEXT), Linear(1000))
    (outcome,) = told.outcomes
    assert outcome.first_ns == outcome.last_ns == told.end_ns == 3_000_000
    wanted = Arrival(0, 20, 0, Objective(deadline_ms=5.1, tpot_ms=0.01))
    told = rehearse([wanted], Capacity(8, 2, 8, CONTEXT), Linear(1000))
    assert told.outcomes[0].kept


def test_time_that_nobody_asks_for_is_not_busy() -> None:
    arrivals = [Arrival(0, 4, 3), Arrival(10**9, 4, 3)]
    told = rehearse(arrivals, Capacity(8, 2, 8, CONTEXT), Linear(1000))
    assert told.busy_ns == 6_000_000
    assert told.end_ns == 10**9 + 3_000_000


@pytest.mark.parametrize(
    ("arrival", "n_blocks"), [(Arrival(0, 100, 29), 100), (Arrival(0, 30, 3), 2)]
)
def test_what_can_never_run_is_refused_by_its_number(arrival: Arrival, n_blocks: int) -> None:
    capacity = Capacity(8, 2, n_blocks, CONTEXT)
    with pytest.raises(DoesNotFit, match=r"request 1 has \d+ tokens"):
        rehearse([Arrival(0, 10, 1), arrival], capacity, Linear(1000))


def test_progress_counts_those_who_came() -> None:
    seen: list[int] = []
    arrivals = [Arrival(i, 4, 1) for i in range(5)]
    rehearse(arrivals, Capacity(8, 2, 8, CONTEXT), Linear(1000), progress=seen.append)
    assert seen == [1, 2, 3, 4, 5]


def test_what_a_request_takes_beside_its_steps_delays_it_and_those_after_it() -> None:
    capacity, price = Capacity(64, 8, 64, CONTEXT, True), Linear(1000.0, token=10.0)
    begins = Beginning(request_s=50e-6, idle_s=200e-6)
    arrivals = [Arrival(0, 16, 4), Arrival(0, 16, 4), Arrival(10**9, 16, 4)]
    told = rehearse(arrivals, capacity, price)
    later = rehearse(arrivals, capacity, price, beginning=begins)
    delays = [b.first_ns - a.first_ns for a, b in zip(told.outcomes, later.outcomes, strict=True)]
    assert delays == [
        300_000,
        300_000,
        250_000,
    ]  # two that came together, and one to an idle engine
    assert later.end_ns - told.end_ns == 250_000
    assert later.busy_ns - told.busy_ns == 550_000
    assert later.n_steps == told.n_steps
