"""The arena: values whose lives do not meet share their bytes."""

from __future__ import annotations

import pytest

from foreknown.graph.ir import Graph, Node, Symbol, make
from foreknown.plan.layout import ALIGNMENT
from foreknown.plan.memory import arena_bytes, plan_memory
from foreknown.plan.phases import fuse, held, meetings
from foreknown.plan.plan import Limits, make_plan
from foreknown.targets.cpu.source import generate
from tests.decoders import decoder
from tests.targets.op_cases import weight, x

MAX_TOKENS, MAX_ROWS = 32, 4


def chain(length: int, width: int = 64) -> Graph:
    h = x(width)
    for i in range(length):
        h = make("tanh", make("linear", h, weight(f"w{i}", width, width)))
    return Graph("chain", {"logits": h})


def test_a_chain_of_any_length_needs_the_memory_of_a_link() -> None:
    """A product, the row made of it, and the next product: no meeting lies between the three."""
    row = 64 * 4 * MAX_TOKENS
    sizes = {
        n: make_plan(chain(n), Limits(64, MAX_TOKENS, MAX_ROWS)).arena_bytes for n in (2, 5, 20)
    }
    assert sizes[5] == sizes[20] == 3 * row


@pytest.mark.parametrize("layers", ["am", "awmer", "am" * 6])
def test_the_arena_is_smaller_than_the_sum_of_what_it_holds(layers: str) -> None:
    plan = make_plan(decoder(layers), Limits(64, MAX_TOKENS, MAX_ROWS))
    total = sum(b.bytes for b in plan.buffers)
    assert plan.arena_bytes < 0.7 * total
    # never below what is alive at once
    stages = range(max(b.dies for b in plan.buffers) + 1)
    alive = max(sum(b.bytes for b in plan.buffers if b.born <= s <= b.dies) for s in stages)
    assert alive <= plan.arena_bytes <= 1.3 * alive


def test_deeper_models_need_no_larger_arena() -> None:
    limits = Limits(64, MAX_TOKENS, MAX_ROWS)
    two, many = (make_plan(decoder("am" * n), limits).arena_bytes for n in (2, 12))
    assert two == many


def test_buffers_hold_all_rows_and_lie_on_cache_lines() -> None:
    graph = decoder()
    phases = fuse(graph)
    results = [held(n) for n in graph.outputs.values()]
    buffers = plan_memory(phases, results, max_tokens=MAX_TOKENS, max_rows=MAX_ROWS)
    crossing = [v for p in phases for v in p.outputs]
    assert sorted(map(id, crossing)) == sorted(id(b.value) for b in buffers)
    for b in buffers:
        rows = MAX_TOKENS if b.value.rows is Symbol.T else MAX_ROWS
        item = 1 if b.value.dtype == "bool" else 4
        assert b.offset % ALIGNMENT == b.bytes % ALIGNMENT == 0
        assert b.bytes >= rows * b.value.row_size * item
    assert arena_bytes(buffers) == max(b.offset + b.bytes for b in buffers)


def test_results_live_to_the_end() -> None:
    first = make("tanh", x(4))
    last: Node = make("linear", first, weight("w", 4, 4))
    plan = make_plan(Graph("g", {"early": first, "logits": last}), Limits(64, 8, 8))
    early = next(b for b in plan.buffers if b.value is first)
    assert early.dies > max(meetings(plan.phases).values())


def test_a_rolled_decoder_does_not_grow_with_depth() -> None:
    """Functions and their text stay the same; only the tables of offsets and calls grow."""
    limits = Limits(64, MAX_TOKENS, MAX_ROWS)
    sources = {n: generate(make_plan(decoder("awme" * n), limits)) for n in (2, 4, 12)}
    counts = {n: len(set(s.functions)) for n, s in sources.items()}
    assert counts[2] == counts[4] == counts[12]

    def functions(n: int) -> str:
        lines = sources[n].text.splitlines()
        return "\n".join(line for line in lines if not line.startswith(("static const", "    {")))

    size = {n: len(functions(n)) for n in sources}
    assert abs(size[12] - size[2]) < 100  # figures in comments have more digits
    grown = len(sources[12].text) - len(sources[4].text)
    assert grown / (8 * 4) < 1200  # bytes of table for each layer more
