"""What a scheduler may use, and where it stands: all that is needed to run it ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from foreknown.engine.chunk import Chunk, P
from foreknown.engine.rehearsed import Rehearsed
from foreknown.engine.scheduler import Scheduler


@dataclass(frozen=True)
class Capacity:
    """What a scheduler may use.

    Attributes:
        max_tokens: tokens of the largest step.
        max_rows: rows of logits of the largest step.
        n_blocks: of state, of 16 tokens.
        context: tokens of the longest sequence.
        tails: whether a block that is not full can be shared, by a copy.
    """

    max_tokens: int
    max_rows: int
    n_blocks: int
    context: int
    tails: bool = True


@dataclass(frozen=True)
class Snapshot:
    """A scheduler after the step that it is in.

    Attributes:
        now_ns: when that step ends, as forecast.
        sequences: copies of all that run, or wait, or were promised a time and have not come yet.
        followers: by the number of a sequence, those who wait for it to compute a shared prompt.
    """

    now_ns: int
    sequences: tuple[Rehearsed, ...] = ()
    followers: Mapping[int, tuple[Rehearsed, ...]] = field(default_factory=dict)


def take_snapshot(
    scheduler: Scheduler[P],
    copy: Callable[[P], Rehearsed],
    *,
    now_ns: int,
    in_step: Iterable[Chunk[P]] = (),
    expected: Iterable[Rehearsed] = (),
) -> Snapshot:
    """Where a scheduler stands when the step that it is in is done.

    Args:
        now_ns: when that will be.
        in_step: what it computes now.
        expected: who was promised a time and has not come yet.
    """
    copies = {one.number: copy(one) for one in (*scheduler.running, *scheduler.waiting)}
    for chunk in in_step:
        one = copies.get(chunk.sequence.number)
        if one is not None:
            _advance(one, chunk.n_tokens, now_ns)
    followers = {
        number: tuple(copy(one) for one in own) for number, own in scheduler.followers.items()
    }
    left = (one for one in copies.values() if not _is_done(one))
    return Snapshot(now_ns, (*left, *expected), followers)


def _advance(one: Rehearsed, n_tokens: int, now_ns: int) -> None:
    """What a step will have done to a sequence, at the least: no draft is right.

    Whether it came in time is not judged: nothing that is decided now can change it.
    """
    gives_token = n_tokens == one.n_pending
    one.n_computed += n_tokens
    if gives_token and one.max_tokens:
        one.n_tokens += 1
        if one.first_ns < 0:
            one.first_ns = now_ns


def _is_done(one: Rehearsed) -> bool:
    return one.n_output == one.max_tokens and (one.max_tokens > 0 or not one.n_pending)
