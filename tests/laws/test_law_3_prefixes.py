"""Law 3, for shared state: compiled models say the same, bit for bit, whether their prompt was
computed, found, or shared with other samples and beams.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foreknown.artifact import load_program, open_artifact
from foreknown.engine import Beams, Engine, Request, SamplingParams
from foreknown.targets.cpu.program import Program
from tests.decoders import VOCABULARY, decoder
from tests.engine.company import alone, run, said
from tests.executors import Compiled, compiled, random_weights

TEXT = [n * 7 % 60 + 2 for n in range(70)]
LENGTHS = (5, 16, 21, 37, 48, 70)


@pytest.fixture(scope="module")
def bundled(bundled_artifact: Path) -> Iterator[Program]:
    loaded = load_program(open_artifact(bundled_artifact), sequences=4, n_threads=1)
    with loaded.program as program:
        program.poison()
        yield program


@pytest.fixture(scope="module", params=["f32", "bf16"])
def recurrent(request: pytest.FixtureRequest) -> Compiled:
    """Attention, a window, and a recurrence that keeps one state a block."""
    graph = decoder("awr", stored=request.param)
    return compiled(graph, random_weights(graph, seed=2))


def requests(**more: Any) -> list[Request]:
    """Prompts that begin alike and part within a block or at its end, each of them twice."""
    params = SamplingParams(max_tokens=12, seed=5, logprobs=2, ignore_eos=True)
    prompts = [TEXT[:n] for n in LENGTHS] + [[*TEXT[:n], 1] for n in LENGTHS]
    return [Request(prompt, params, **more) for prompt in prompts * 2]


def assert_same(program: Program, given: list[Request]) -> Engine:
    """Alone, with nothing cached, and one after the other and all at once with everything."""
    expected = [alone(lambda: Engine(program, speculate=False), one) for one in given]
    program.poison()
    engine = Engine(program)
    for one, answers in zip(given, expected, strict=True):
        names = engine.add_samples(one)
        outputs = run(engine)
        assert [said([o for o in outputs if o.request_id == n]) for n in names] == answers
    all_names = [engine.add_samples(one) for one in given]
    outputs = run(engine)
    for names, answers in zip(all_names, expected, strict=True):
        assert [said([o for o in outputs if o.request_id == n]) for n in names] == answers
    return engine


def test_found_prompts_have_the_same_bits(bundled: Program) -> None:
    stats = assert_same(bundled, requests()).stats()
    assert stats.prefix_found > stats.prefix_asked * 0.8


def test_samples_have_the_same_bits(bundled: Program) -> None:
    assert_same(bundled, requests(samples=3)[: len(LENGTHS)])


def test_beams_find_the_same_bits(bundled: Program) -> None:
    assert_same(bundled, requests(beams=Beams(3, n=2))[: len(LENGTHS)])


@pytest.mark.parametrize("mode", ["mean", "last", "first"])
def test_embeddings_have_the_same_bits(bundled: Program, mode: str) -> None:
    assert_same(bundled, requests(embed=mode))


def test_log_probabilities_of_prompts_have_the_same_bits(bundled: Program) -> None:
    assert_same(bundled, requests(prompt_logprobs=2)[: len(LENGTHS)])


def test_a_state_of_the_whole_past_is_shared_by_blocks(recurrent: Compiled) -> None:
    assert max(TEXT) < VOCABULARY
    with recurrent.program(n_blocks=40) as program:
        program.rewindable = False
        stats = assert_same(program, requests(samples=2)).stats()
    assert stats.prefix_found > stats.prefix_asked * 0.5
