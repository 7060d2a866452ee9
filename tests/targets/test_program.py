"""A compiled program in this process: its life, its times, and what it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foreknown.errors import ArtifactError
from foreknown.graph.batch import Batch, single
from foreknown.targets.cpu.program import Program
from tests.decoders import VOCABULARY, decoder
from tests.executors import Compiled, assert_same_bits, compiled, random_weights

TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8]


@pytest.fixture(scope="module")
def small() -> Compiled:
    graph = decoder("awmer", stored="f32")  # the same program as law 3's
    return compiled(graph, random_weights(graph, seed=1))


def test_a_program_can_be_closed_and_opened_again(small: Compiled) -> None:
    found = []
    for _ in range(3):
        with small.program(n_blocks=2) as program:
            found.append(program.step(single(TEXT)).copy())
        program.close()  # a second time does no harm
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


def test_programs_side_by_side_share_nothing(small: Compiled) -> None:
    with small.program(n_blocks=2) as one, small.program(n_blocks=2, n_threads=1) as two:
        one.step(single(TEXT[:9]))
        two.step(single(TEXT[::-1][:9]))
        found = one.step(single(TEXT[9:], 9)).copy()
        two.step(single(TEXT[9:], 9))
    with small.program(n_blocks=2) as program:
        expected = program.step(single(TEXT)).copy()
    assert_same_bits(found, expected[9:])


def test_zeroed_and_poisoned_memory_give_the_same_bits(small: Compiled) -> None:
    """A step reads nothing that no step wrote."""
    found = []
    for poison in (False, True):
        with small.program(n_blocks=2, poison=poison) as program:
            found.append(program.step(single(TEXT)).copy())
    assert_same_bits(found[1], found[0])


def test_every_phase_is_timed(small: Compiled) -> None:
    with small.program(n_blocks=2) as program:
        logits, times = program.timed_step(single(TEXT))
        assert times.shape == (len(small.plan.phases),)
        assert (times >= 0).all()
        assert times.sum() > 0
        assert_same_bits(logits.copy(), program.step(single(TEXT)).copy())


def test_batches_of_any_layout_are_taken(small: Compiled) -> None:
    """Strided and 64-bit arrays are made plain before native code sees them."""
    plain = single(TEXT)
    wide = {
        name: np.repeat(getattr(plain, name), 2, axis=-1)[..., ::2].astype(np.int64)
        for name in ("tokens", "positions", "sequence", "block_tables", "rows")
    }
    with small.program(n_blocks=2) as program:
        expected = program.step(plain).copy()
        assert_same_bits(program.step(Batch(**wide)).copy(), expected)


def test_the_largest_step_at_the_end_of_the_context(small: Compiled) -> None:
    limits = small.plan.limits
    rng = np.random.default_rng(0)
    text = [int(t) for t in rng.integers(0, VOCABULARY, limits.context)]
    with small.program(n_blocks=limits.context // 16) as program:
        for start in range(0, limits.context, limits.max_tokens):
            found = program.step(single(text[start : start + limits.max_tokens], start))
        assert found.shape == (limits.max_rows, VOCABULARY)
        assert np.isfinite(found).all()


def test_a_file_that_is_no_program(small: Compiled, tmp_path: Path) -> None:
    file = tmp_path / "program.so"
    file.write_bytes(b"not an object")
    with pytest.raises(ArtifactError, match="could not be loaded") as raised:
        Program(file, small.weights, small.sizes, n_blocks=1, n_threads=1)
    assert raised.value.where == str(file)
