"""The record of a deep plan follows from two shallower ones, or is not told at all."""

from __future__ import annotations

import random
from typing import Any

from foreknown.artifact.extend import Outlined, extended
from foreknown.targets.cpu.program import Sizes

KINDS = ("rows", "linear", "attend")


def phases(kinds: list[str]) -> tuple[dict[str, Any], ...]:
    """A record in which the stage grows by one at each product."""
    stage, made = 0, []
    for kind in kinds:
        stage += kind == "linear"
        made.append({"stage": stage, "kind": kind, "function": f"f_{kind}", "cost": len(kind)})
    return tuple(made)


def outlined(kinds: list[str], periods: int, arena_bytes: int = 100) -> Outlined:
    sizes = Sizes(
        vocab_size=10,
        context=64,
        max_tokens=16,
        max_rows=4,
        arena_bytes=arena_bytes,
        scratch_bytes=8,
        own_bytes=8,
        block_bytes=7 + 64 * periods,
        logits_offset=0,
        n_phases=len(kinds),
        rewindable=True,
        hidden_offset=0,
        hidden_size=0,
    )
    return Outlined(phases(kinds), sizes, 1000 + 300 * periods)


def test_a_whole_follows_from_its_parts() -> None:
    chosen = random.Random()
    for _ in range(200):
        head, period, tail = (chosen.choices(KINDS, k=chosen.randint(1, 5)) for _ in range(3))
        periods = chosen.randint(2, 30)

        def of(n: int) -> Outlined:
            return outlined(head + period * n + tail, n)  # noqa: B023

        assert extended(of(1), of(2), periods - 2) == of(periods)


def test_a_longer_one_that_is_no_continuation_tells_nothing() -> None:
    one, two = ["rows", "linear", "attend"], ["rows", "linear", "linear", "attend", "attend"]
    assert extended(outlined(one, 1), outlined(two, 2), 3) is None
    assert extended(outlined(one, 1), outlined(one, 2), 3) is None


def test_what_is_added_must_be_what_was_there() -> None:
    one, two = ["rows", "linear"], ["rows", "attend", "linear"]
    assert extended(outlined(one, 1), outlined(two, 2), 3) is None


def test_an_arena_that_grows_tells_nothing() -> None:
    one, two = ["rows", "linear", "rows"], ["rows", "linear", "linear", "rows"]
    assert extended(outlined(one, 1), outlined(two, 2), 3) is not None
    assert extended(outlined(one, 1), outlined(two, 2, arena_bytes=128), 3) is None
