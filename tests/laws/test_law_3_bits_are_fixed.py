"""Law 3: every logit and hidden state has the same bits under any batch mix, chunking, number of
threads, restart, instruction set and compiler. Comparisons are of bits, never of closeness.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.graph.batch import Batch
from foreknown.passes.pipeline import Formats, optimise
from foreknown.targets.cpu.program import Program
from foreknown.targets.cpu.toolchain import TARGETS, can_run, compiler
from tests.decoders import VOCABULARY, decoder
from tests.executors import (
    Array,
    Compiled,
    Mix,
    assert_same_bits,
    blocks_of,
    by_token,
    compiled,
    interpreter,
    random_weights,
)
from tests.targets.qemu import qemu, run_under_qemu

LENGTHS = (77, 20, 1, 33)
MIX = Mix(LENGTHS, seed=3, vocab_size=VOCABULARY)
STORED = ("f32", "bf16", "int8", "int4")


@cache
def program_of(stored: str) -> Compiled:
    """Weights in f32 or bf16; or wider ones in few bits, with state to go with them."""
    if stored in {"int8", "int4"}:
        formats = Formats(stored, "bf16" if stored == "int8" else "int8")
        graph = optimise(decoder("awmer", wide=True), context=128, formats=formats)
    else:
        graph = decoder("awmer", stored=stored)
    return compiled(graph, random_weights(graph, seed=1))


def results(program: Program, step: Batch) -> Array:
    """Of each selected row its logits, then its hidden state."""
    logits = program.step(step)
    return np.concatenate([logits, program.hidden(len(step.rows))], axis=1)


def computed(
    stored: str, steps: tuple[Batch, ...], *, n_threads: int = 2, target: str = "host"
) -> dict[tuple[int, int], Array]:
    """Results of every token, computed in memory that starts full of NaN."""
    made = program_of(stored)
    with made.program(n_blocks=blocks_of(steps), n_threads=n_threads, target=target) as program:
        return by_token(steps, [results(program, step) for step in steps])


@cache
def alone(stored: str) -> dict[tuple[int, int], Array]:
    """Each sequence by itself, in chunks as large as a step may be, on one thread."""
    return computed(stored, MIX.steps(0, whole=True), n_threads=1)


def assert_same(
    found: dict[tuple[int, int], Array], expected: dict[tuple[int, int], Array]
) -> None:
    assert found.keys() == expected.keys()
    for token, value in expected.items():
        assert_same_bits(found[token], value)


@pytest.mark.parametrize("stored", STORED)
def test_the_program_means_what_the_interpreter_means(stored: str) -> None:
    """What follows compares a program with itself; here is that it computes the right thing.

    1e-5 of the largest logit: sums of f32 over 40 to 77 terms, through five layers. Where rows
    are rounded to 8 bits such a difference may fall on two sides of a half, and is then one code:
    2 % of the largest logit (the operations themselves are held to 1e-5 in tests/targets).
    """
    tolerance = 2e-2 if stored in {"int8", "int4"} else 1e-5
    graph = program_of(stored).graph
    steps = MIX.steps(5)
    found = interpreter(graph, random_weights(graph, seed=1), steps)
    every = [np.concatenate([r["logits"], r["hidden"]], axis=1) for r in found]
    expected = by_token(steps, every)
    largest = max(float(np.abs(v).max()) for v in expected.values())
    for token, value in alone(stored).items():
        np.testing.assert_allclose(value, expected[token], rtol=0, atol=tolerance * largest)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(STORED),
    st.integers(0, 2**32 - 1),
    st.integers(1, 64),
    st.booleans(),
    st.sampled_from([1, 2, 3]),
)
def test_any_mix_and_chunking_gives_the_same_bits(
    stored: str, seed: int, max_tokens: int, interleave: bool, n_threads: int
) -> None:
    steps = MIX.steps(seed, max_tokens=max_tokens, interleave=interleave)
    assert_same(computed(stored, steps, n_threads=n_threads), alone(stored))


def test_token_by_token_gives_the_same_bits() -> None:
    assert_same(computed("f32", MIX.steps(1, max_tokens=1)), alone("f32"))


def test_a_selected_row_does_not_depend_on_which_others_are_selected() -> None:
    steps = MIX.steps(7, max_tokens=40)
    made = program_of("f32")
    with made.program(n_blocks=blocks_of(steps)) as program:
        for step in steps:
            last = np.array([len(step.tokens) - 1], np.int32)
            one = Batch(step.tokens, step.positions, step.sequence, step.block_tables, last)
            (found,) = results(program, one)
            token = int(step.sequence[-1]), int(step.positions[-1])
            assert_same_bits(found, alone("f32")[token])


def test_a_step_without_selected_rows_still_keeps_the_past() -> None:
    made = program_of("f32")
    steps = MIX.steps(8, max_tokens=40)
    none = np.zeros(0, np.int32)
    with made.program(n_blocks=blocks_of(steps)) as program:
        for step in steps[:-1]:
            silent = Batch(step.tokens, step.positions, step.sequence, step.block_tables, none)
            assert program.step(silent).shape == (0, VOCABULARY)
        found = by_token(steps[-1:], [results(program, steps[-1])])
    for token, value in found.items():
        assert_same_bits(value, alone("f32")[token])


def test_speculated_tokens_that_are_run_again_leave_no_trace() -> None:
    """A rejected draft is overwritten where a model has no recurrence to roll back."""
    graph = decoder("awme", name="speculated")
    made = compiled(graph, random_weights(graph, seed=1))
    text = MIX.texts[0][:40]
    table = np.arange(3, dtype=np.int32)[None]

    def step(tokens: Array, start: int) -> Batch:
        n = len(tokens)
        every = np.arange(n, dtype=np.int32)
        return Batch(tokens, every + np.int32(start), every * 0, table, every)

    with made.program(n_blocks=3) as program:
        expected = program.step(step(text, 0)).copy()
    with made.program(n_blocks=3) as program:
        found = [program.step(step(text[:20], 0)).copy()]
        draft = np.concatenate([text[20:22], (text[22:26] + 1) % VOCABULARY])
        found.append(program.step(step(draft.astype(np.int32), 20)).copy()[:2])
        found.append(program.step(step(text[22:], 22)).copy())
    assert_same_bits(np.concatenate(found), expected)


def test_a_shared_prefix_gives_the_same_bits() -> None:
    """Two block tables whose first blocks are the same ones: a prefix-cache hit."""
    graph = decoder("awme", name="prefix")
    made = compiled(graph, random_weights(graph, seed=1))
    text = MIX.texts[0][:50]
    tables = np.array([[0, 1, 2, 3], [0, 1, 4, 5]], np.int32)

    def step(sequence: int, start: int, stop: int) -> Batch:
        positions = np.arange(start, stop, dtype=np.int32)
        owner = np.full(stop - start, sequence, np.int32)
        return Batch(text[start:stop], positions, owner, tables, positions - np.int32(start))

    with made.program(n_blocks=6) as program:
        expected = program.step(step(0, 0, 50)).copy()
        found = program.step(step(1, 32, 50)).copy()
    assert_same_bits(found, expected[32:])


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("chunk", [1, 9])
def test_a_copied_block_goes_on_with_the_same_bits(stored: str, chunk: int) -> None:
    """A prefix-cache hit in the middle of a block: state of every kind, in every format."""
    text = MIX.texts[0][:50]
    tables = np.array([[1, 2, 3, 7], [1, 2, 5, 0]], np.int32)

    def step(sequence: int, tokens: Array, start: int) -> Batch:
        every = np.arange(len(tokens), dtype=np.int32)
        owner = np.full(len(tokens), sequence, np.int32)
        return Batch(tokens, every + np.int32(start), owner, tables, every)

    def goes_on(program: Program, sequence: int, tokens: Array, start: int) -> Array:
        cuts = range(start, len(tokens), chunk)
        parts = [step(sequence, tokens[cut : cut + chunk], cut) for cut in cuts]
        return np.concatenate([results(program, part) for part in parts])

    other = np.concatenate([text[:38], (text[38:] + 1) % VOCABULARY]).astype(np.int32)
    expected = []
    for tokens in (text, other):
        with program_of(stored).program(n_blocks=8) as program:
            expected.append(results(program, step(0, tokens, 0))[38:])
    with program_of(stored).program(n_blocks=8) as program:
        program.step(step(0, text[:38], 0))
        program.copy_block(3, 5)
        assert_same_bits(goes_on(program, 1, other, 38), expected[1])
        assert_same_bits(goes_on(program, 0, text, 38), expected[0])


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
def test_any_number_of_threads_gives_the_same_bits(n_threads: int) -> None:
    assert_same(computed("bf16", MIX.steps(2), n_threads=n_threads), alone("bf16"))


@pytest.mark.parametrize("target", [t for t in TARGETS if t.startswith("x86")])
@pytest.mark.parametrize("stored", STORED)
def test_instruction_sets_give_the_same_bits(stored: str, target: str) -> None:
    if not can_run(TARGETS[target]):
        pytest.skip(f"this machine lacks instructions of {target}")
    assert_same(computed(stored, MIX.steps(4), target=target), alone(stored))


@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_other_compilers_give_the_same_bits(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    expected = alone("f32")
    monkeypatch.setenv("FOREKNOWN_CC", command)
    assert compiler(TARGETS["x86-64-v3"])[0] == command
    for target in ("x86-64-v3", "host"):
        if target == "host" or can_run(TARGETS[target]):
            assert_same(computed("f32", MIX.steps(6), target=target), expected)


@pytest.mark.skipif(qemu() is None, reason="qemu-aarch64 is not installed")
@pytest.mark.parametrize("stored", STORED)
def test_arm_gives_the_same_bits(stored: str, tmp_path: Path) -> None:
    steps = MIX.steps(9)
    found = run_under_qemu(program_of(stored), steps, tmp_path, n_threads=2)
    expected = {token: row[:VOCABULARY] for token, row in alone(stored).items()}
    assert_same(by_token(steps, found), expected)
