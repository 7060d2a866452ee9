"""Requests that arrive and go at any time, and what each must say whoever else is there."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from foreknown.engine import Engine, Output, Request


def said(outputs: list[Output]) -> list[tuple[object, ...]]:
    """All but whose and when."""
    return [(o.token, o.text, o.logprob, o.top_logprobs, o.finish_reason) for o in outputs]


def assert_same_in_company(
    engine: Engine,
    requests: Sequence[Request],
    expected: Sequence[list[tuple[object, ...]]],
    data: st.DataObject,
) -> None:
    """Each request says what is expected of it, or the beginning of that if it is cancelled.

    Args:
        data: draws when requests arrive and which are cancelled.
    """
    arriving = list(enumerate(requests))
    names: dict[str, int] = {}
    got: list[list[Output]] = [[] for _ in requests]
    cancelled = set()
    while arriving or engine.has_work:
        for _ in range(data.draw(st.integers(0, 3)) if engine.has_work else 1):
            if arriving:
                index, request = arriving.pop(0)
                names[engine.add(request)] = index
        if data.draw(st.integers(0, 30)) == 0 and names:
            name = data.draw(st.sampled_from(sorted(names)))
            if engine.cancel(name):
                cancelled.add(names[name])
        for output in engine.step():
            got[names[output.request_id]].append(output)
        engine.check_integrity()
    for index, outputs in enumerate(got):
        if index in cancelled:
            assert outputs[-1].finish_reason == "cancelled"
            assert said(outputs[:-1]) == expected[index][: len(outputs) - 1]
        else:
            assert said(outputs) == expected[index]
    assert len(engine.scheduler.blocks.free_blocks) == engine.scheduler.blocks.n_blocks
