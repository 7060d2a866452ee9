"""What was computed once is found again, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.integrity import IntegrityError
from foreknown.graph.batch import BLOCK_TOKENS
from tests.engine.company import run, said

NewProgram = Callable[..., Any]


def ask(
    engine: Engine, prompt: list[int], n: int = 1, **more: Any
) -> tuple[list[int], list[tuple[object, ...]], int]:
    """Sizes of the steps that a request took, what it said, and tokens that were found."""
    program: Any = engine.program
    program.batches.clear()
    engine.add(Request(prompt, SamplingParams(max_tokens=n, temperature=0), **more))
    outputs = run(engine)
    return list(program.batches), said(outputs), outputs[-1].n_cached


def random_prompt(n: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 40, n).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 18, 31, 32, 33, 64, 70])
def test_an_equal_prompt_takes_one_token(new_program: NewProgram, n: int) -> None:
    program = new_program(max_tokens=96)
    engine = Engine(program)
    first, expected, found = ask(engine, random_prompt(n))
    assert (first, found) == ([n], 0)
    again, said_again, found = ask(engine, random_prompt(n))
    assert (again, found) == ([1], n - 1)
    assert said_again == expected


@pytest.mark.parametrize("n", [1, 16, 17, 32, 33, 64, 70])
def test_one_state_for_a_block_is_shared_by_whole_blocks(recurrent: NewProgram, n: int) -> None:
    engine = Engine(recurrent(max_tokens=96))
    _, expected, _ = ask(engine, random_prompt(n))
    again, said_again, found = ask(engine, random_prompt(n))
    whole = (n - 1) // BLOCK_TOKENS * BLOCK_TOKENS
    assert (again, found) == ([n - whole], whole)
    assert said_again == expected


def test_a_conversation_goes_on_where_it_was(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_tokens=96))
    prompt = random_prompt(20)
    _, outputs, _ = ask(engine, prompt, n=9)
    text = [*prompt, *(token for token, *_ in outputs)]
    steps, _, found = ask(engine, [*text, 1, 2, 3])  # type: ignore[list-item]
    assert found == len(text) - 1, "the last token was never computed"
    assert steps == [4]


@settings(max_examples=80, deadline=None)
@given(
    prompts=st.lists(
        st.tuples(st.integers(0, 40), st.lists(st.integers(0, 1), max_size=20)),
        min_size=1,
        max_size=8,
    ),
    n_blocks=st.integers(4, 12),
)
def test_at_least_common_whole_blocks_are_found_while_there_is_room(
    new_program: NewProgram, prompts: list[tuple[int, list[int]]], n_blocks: int
) -> None:
    program = new_program(max_tokens=96, context=63, n_blocks=n_blocks)
    engine, past = Engine(program), []
    for n, more in prompts:
        prompt = [3, *random_prompt(n), *more]
        steps, outputs, found = ask(engine, prompt)
        common = max((_common(prompt, other) for other in past), default=0)
        assert found <= min(common, len(prompt) - 1)
        if sum(-(-(len(p) + 1) // 16) for p in past) <= n_blocks:
            assert found >= min(common, len(prompt) - 1) // 16 * 16
        assert steps == [len(prompt) - found]
        fresh = Engine(new_program(max_tokens=96))
        assert outputs == ask(fresh, prompt)[1]
        past.append(prompt)
    asked, found = engine.stats().prefix_asked, engine.stats().prefix_found
    assert asked == sum(map(len, past))
    assert found <= asked


def _common(one: list[int], other: list[int]) -> int:
    n = 0
    while n < min(len(one), len(other)) and one[n] == other[n]:
        n += 1
    return n


def test_nobody_finds_what_has_another_salt(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_tokens=96))
    prompt = random_prompt(40)
    assert ask(engine, prompt, salt="a")[2] == 0
    assert ask(engine, prompt, salt="b")[2] == 0
    assert ask(engine, prompt)[2] == 0
    assert ask(engine, prompt, salt="a")[2] == 39


def test_what_was_let_go_longest_ago_is_lent_first_and_ends_before_beginnings(
    new_program: NewProgram,
) -> None:
    engine = Engine(new_program(max_tokens=96, n_blocks=8, context=128))
    one, two = random_prompt(47, seed=1), random_prompt(47, seed=2)
    ask(engine, one)
    ask(engine, two)
    assert engine.stats().cached_blocks == 6
    ask(engine, random_prompt(47, seed=3))  # two blank blocks, and the end of the first prompt
    assert ask(engine, one)[2] == 32
    assert ask(engine, two)[2] == 32, "its end was let go before what the first began with"
    ask(engine, random_prompt(90, seed=4))
    ask(engine, random_prompt(90, seed=5))
    assert ask(engine, one)[2] == ask(engine, two)[2] == 0


def test_a_block_that_others_hold_is_not_lent(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_tokens=96, n_blocks=6))
    prompt = random_prompt(33)
    params = SamplingParams(max_tokens=12, temperature=0)
    names = [engine.add(Request(prompt, params))]
    engine.step()
    names += [engine.add(Request(prompt, params)) for _ in range(2)]
    engine.step()
    assert engine.stats().held_blocks == 5, "two whole blocks, and one for each"
    outputs = run(engine)
    ends = [said([o for o in outputs if o.request_id == name])[-10:] for name in names]
    assert ends[0] == ends[1] == ends[2]


def test_whoever_gave_way_finds_what_is_left_of_it(new_program: NewProgram) -> None:
    engine = Engine(new_program(max_tokens=96, n_blocks=6))
    params = SamplingParams(max_tokens=40, temperature=0)
    for seed in range(2):
        engine.add(Request(random_prompt(33, seed), params))
    run(engine)
    assert engine.scheduler.n_preemptions
    assert sum(engine.program.batches) < 2 * (33 + 40) + 33  # type: ignore[attr-defined]


def test_a_copy_waits_for_a_step_that_failed(new_program: NewProgram) -> None:
    """What is to be copied is held until then, and let go if nobody wants it any more."""
    program = new_program(max_tokens=96, n_blocks=6)
    engine = Engine(program)
    prompt = random_prompt(40)
    _, expected, _ = ask(engine, prompt)
    works, program.copy_block = program.copy_block, _fails
    for is_cancelled in (True, False):
        name = engine.add(Request(prompt, SamplingParams(max_tokens=1, temperature=0)))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                engine.step()
            engine.check_integrity()
        assert engine.stats().held_blocks == 4
        if is_cancelled:
            engine.cancel(name)
            engine.check_integrity()
            assert engine.stats().held_blocks == 0
            assert [o.finish_reason for o in run(engine)] == ["cancelled"]
    program.copy_block = works
    assert said(run(engine)) == expected
    assert engine.stats().held_blocks == 0


def _fails(source: int, destination: int) -> None:
    raise KeyboardInterrupt


# ---- the checker itself must be able to fail ----------------------------------------------


def claim_what_is_not_computed(engine: Engine) -> None:
    blocks, sequence = engine.scheduler.blocks, engine.scheduler.running[0]
    sequence.n_computed += 16
    blocks.register(sequence)
    sequence.n_computed -= 16


def claim_a_tail_too_long(engine: Engine) -> None:
    sequence = engine.scheduler.running[0]
    engine.scheduler.blocks.register_tail(sequence, sequence.n_tokens)


def keep_a_digest_of_a_blank_block(engine: Engine) -> None:
    engine.scheduler.blocks.prefixes.register(b"?", engine.scheduler.blocks.blank[0])


def lose_a_digest(engine: Engine) -> None:
    engine.scheduler.blocks.prefixes.blocks.popitem()


def forget_a_block_that_is_kept(engine: Engine) -> None:
    blocks = engine.scheduler.blocks
    blocks.prefixes.forget(next(iter(blocks.cached)))


def swap_digests(engine: Engine) -> None:
    blocks = engine.scheduler.blocks
    one, two = blocks.tables[engine.scheduler.running[0].table, :2].tolist()
    digests, known = blocks.prefixes.digests, blocks.prefixes.blocks
    digests[one], digests[two] = digests[two], digests[one]
    known.update({d: b for b in (one, two) for d in digests[b]})


def copy_without_holding(engine: Engine) -> None:
    blocks = engine.scheduler.blocks
    one, two = blocks.tables[engine.scheduler.running[0].table, :2].tolist()
    blocks.copies[one] = two


@pytest.mark.parametrize(
    "damage",
    [
        claim_what_is_not_computed,
        claim_a_tail_too_long,
        keep_a_digest_of_a_blank_block,
        lose_a_digest,
        forget_a_block_that_is_kept,
        swap_digests,
        copy_without_holding,
    ],
)
def test_integrity_notices(new_program: NewProgram, damage: Callable[[Engine], None]) -> None:
    engine = Engine(new_program())
    ask(engine, random_prompt(30, seed=1))
    engine.add(Request(random_prompt(41), SamplingParams(temperature=0)))
    for _ in range(3):
        engine.step()
    engine.check_integrity()
    damage(engine)
    with pytest.raises(IntegrityError):
        engine.check_integrity()
