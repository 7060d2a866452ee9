"""Law 9: the memory map has a checker that shares no code with its planner, and it finds every
kind of damage. (Block tables have theirs in tests/engine, schedules in tests/plan/test_phases.)
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import foreknown.plan.check_memory as checker
import foreknown.plan.memory as planner
from foreknown.errors import PlanError
from foreknown.graph.ir import Graph, Node
from foreknown.plan.check_memory import check_memory
from foreknown.plan.memory import Buffer, plan_memory
from foreknown.plan.phases import Phase, fuse, held
from tests.decoders import decoder
from tests.graph.random_graphs import graphs

SIZES = {"max_tokens": 24, "max_rows": 5}


def planned(graph: Graph) -> tuple[tuple[Phase, ...], tuple[Buffer, ...], list[Node]]:
    phases = fuse(graph)
    results = [held(n) for n in graph.outputs.values()]
    return phases, plan_memory(phases, results, **SIZES), results


@cache
def example() -> tuple[tuple[Phase, ...], tuple[Buffer, ...], list[Node]]:
    return planned(decoder("awmer"))


def accepted(buffers: Sequence[Buffer]) -> bool:
    phases, _, results = example()
    try:
        check_memory(phases, buffers, results, **SIZES)
    except PlanError:
        return False
    return True


def meet(buffers: Sequence[Buffer]) -> bool:
    """Whether two values share a byte while both are needed, found by brute force.

    A value is needed from the moment that it is written to the last at which it is read. Stages
    between two meetings of the threads are one moment: a lone token's threads run ahead in them.
    """
    phases, _, results = example()
    ends = {p.stage for p in phases if p.kind != "rows"}
    moment = {p.stage: sum(end < p.stage for end in ends) for p in phases}
    lives: dict[Node, tuple[int, int]] = {}
    for phase in phases:
        for value in phase.outputs:
            lives[value] = moment[phase.stage], moment[phase.stage]
    for phase in phases:
        for value in phase.inputs:
            lives[value] = lives[value][0], max(lives[value][1], moment[phase.stage])
    for value in results:
        lives[value] = lives[value][0], 10**6
    for i, a in enumerate(buffers):
        for b in buffers[:i]:
            (born_a, dies_a), (born_b, dies_b) = lives[a.value], lives[b.value]
            in_time = born_a <= dies_b and born_b <= dies_a
            in_space = a.offset < b.offset + b.bytes and b.offset < a.offset + a.bytes
            if in_time and in_space:
                return True
    return False


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_every_plan_is_accepted(graph: Graph) -> None:
    phases, buffers, results = planned(graph)
    check_memory(phases, buffers, results, **SIZES)


def moved(buffers: Sequence[Buffer], i: int, offset: int) -> list[Buffer]:
    return [replace(b, offset=offset) if j == i else b for j, b in enumerate(buffers)]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 400))
def test_a_shifted_buffer_is_refused_exactly_when_values_meet(which: int, lines: int) -> None:
    _, buffers, _ = example()
    changed = moved(buffers, which % len(buffers), lines * 64)
    assert accepted(changed) is not meet(changed)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_buffers_put_on_each_other_are_refused(first: int, second: int) -> None:
    _, buffers, _ = example()
    i, j = first % len(buffers), second % len(buffers)
    changed = moved(buffers, i, buffers[j].offset)
    assume(meet(changed))
    assert not accepted(changed)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 63))
def test_a_buffer_off_its_cache_line_is_refused(which: int, bytes_off: int) -> None:
    _, buffers, _ = example()
    i = which % len(buffers)
    assert not accepted(moved(buffers, i, buffers[i].offset + bytes_off))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_buffer_that_is_too_small_is_refused(which: int, missing: int) -> None:
    _, buffers, _ = example()
    i = which % len(buffers)
    small = replace(buffers[i], bytes=buffers[i].bytes - 64 * (missing % 8 + 1))
    assert not accepted([*buffers[:i], small, *buffers[i + 1 :]])


@pytest.mark.parametrize("i", range(len(example()[1])))
def test_a_missing_buffer_is_refused(i: int) -> None:
    _, buffers, _ = example()
    assert not accepted([*buffers[:i], *buffers[i + 1 :]])


def test_a_buffer_before_the_arena_is_refused() -> None:
    _, buffers, _ = example()
    assert not accepted(moved(buffers, 0, -64))


def test_a_value_read_before_it_is_written_is_refused() -> None:
    phases, buffers, results = example()
    for i, phase in enumerate(phases):
        if not phase.outputs or phase is phases[-1]:
            continue
        late = replace(phase, stage=phases[-1].stage + 1)
        changed = [*phases[:i], late, *phases[i + 1 :]]
        with pytest.raises(PlanError):
            check_memory(changed, buffers, results, **SIZES)


def test_a_phase_that_never_runs_is_noticed() -> None:
    phases, buffers, results = example()
    for i, phase in enumerate(phases):
        if phase.outputs:
            with pytest.raises(PlanError):
                check_memory([*phases[:i], *phases[i + 1 :]], buffers, results, **SIZES)


def test_a_result_that_is_overwritten_is_refused() -> None:
    """Values of earlier stages may lie where the result will; later ones may not."""
    phases, buffers, results = example()
    last = next(i for i, b in enumerate(buffers) if b.value is results[0])
    reader = phases[-1].inputs[0]
    at = next(b.offset for b in buffers if b.value is reader)
    assert not accepted(moved(buffers, last, at))


def test_planner_and_checker_share_no_code() -> None:
    """The checker may know what a buffer is, and nothing else of the planner."""
    source = Path(str(checker.__file__)).read_text()
    found = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == planner.__name__
        for alias in node.names
    }
    assert found == {"Buffer"}
    assert "check_memory" not in Path(str(planner.__file__)).read_text().split('"""', 2)[2]
