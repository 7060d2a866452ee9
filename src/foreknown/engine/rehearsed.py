"""A generation on the virtual clock: its progress, and when its tokens come."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence as Names

from foreknown.engine.progress import Progress
from foreknown.engine.promises import MS, Commitment

_INF = math.inf


class Rehearsed(Progress):
    """A generation whose answer has `max_tokens` tokens, whatever they be.

    Attributes:
        prefix: names of the blocks that its prompt begins with; equal names, equal text.
        names: of those, the ones that it has computed now; None: another holds the block of that
            name.
        follows: whether another computed its whole prompt just before it.
        arrival_ns: when it was asked for.
        first_ns: when its first token came; -1: not yet.
        last_ns: when its last token came; -1: not yet.
        early_ns: by how much its tokens came before what was promised, at the least.
        ahead_ns: by how much they were ahead of the pace that was promised, at the least.
        slowest_ns: the slowest pace that they had, if one was promised: the greatest mean from one
            token to the next over those that had come.
    """

    __slots__ = (
        "_each",
        "_whole",
        "ahead_ns",
        "arrival_ns",
        "early_ns",
        "first_ns",
        "follows",
        "last_ns",
        "names",
        "prefix",
        "slowest_ns",
    )

    def __init__(
        self,
        number: int,
        n_prompt: int,
        max_tokens: int,
        arrival_ns: int,
        *,
        user: str = "",
        prefix: Names[int] = (),
        commitment: Commitment | None = None,
        reads_each: bool = False,
        comes_whole: bool = False,
    ) -> None:
        super().__init__(number, n_prompt, max_tokens, user=user, commitment=commitment)
        self.prefix, self.names, self.follows = prefix, list[int | None](), False
        self.arrival_ns = arrival_ns
        self.first_ns = self.last_ns = -1
        self.early_ns = self.ahead_ns = _INF
        self.slowest_ns = 0.0
        self._each, self._whole = reads_each, comes_whole

    @property
    def reads_each(self) -> bool:
        return self._each

    @property
    def comes_whole(self) -> bool:
        return self._whole

    def follow(self, leader: Progress) -> None:
        self.follows = True

    @property
    def ttft_ms(self) -> float:
        """From its arrival to its first token."""
        first_ns = self.last_ns if self._whole else self.first_ns
        return (first_ns - self.arrival_ns) / MS

    @property
    def total_ms(self) -> float:
        """From its arrival to its last token."""
        return (self.last_ns - self.arrival_ns) / MS

    @property
    def tpot_ms(self) -> float:
        """From one token to the next, in the mean; 0 for a single one, and if all come at once."""
        if self._whole:
            return 0.0
        return (self.last_ns - self.first_ns) / MS / max(self.max_tokens - 1, 1)

    def again(self) -> Rehearsed:
        """A copy, to be run ahead from here."""
        return rehearsed(self, self.arrival_ns, self.first_ns, self.prefix)

    def wanting(self, commitment: Commitment | None) -> Rehearsed:
        """A copy that has not come yet, and would be promised something else."""
        copy = self.again()
        copy.commitment = commitment
        return copy

    def spare_s(self, allowance_s: float) -> float:
        """Seconds by which all of it may come later, and so much later still, if it must be safe.

        A pace is a mean: of a whole answer it is safe like an end, before that nothing is added.
        """
        return min(self.early_ns / 1e9 - allowance_s, self.ahead_ns / 1e9)

    def came(self, now_ns: int, *, is_last: bool) -> None:
        """Take note of a token that came."""
        if self.first_ns < 0:
            self.first_ns = now_ns
        if is_last:
            self.last_ns = now_ns
        if self.commitment is not None:
            n_output, due = self.n_tokens - self.n_prompt, self.commitment
            self.early_ns = min(self.early_ns, due.early_ns(n_output, now_ns, is_last=is_last))
            if due.pace_ns is not None and n_output > 1:
                pace_ns = (now_ns - self.first_ns) / (n_output - 1)
                self.slowest_ns = max(self.slowest_ns, pace_ns)
                ahead_ns = due.ahead_ns(n_output, self.first_ns, now_ns)
                self.ahead_ns = min(self.ahead_ns, ahead_ns)
                if is_last:  # of a whole answer the pace is an end like any other
                    self.early_ns = min(self.early_ns, ahead_ns)


def rehearsed(
    one: Progress,
    arrival_ns: int,
    first_ns: int = -1,
    prefix: Names[int] = (),
    _new: Callable[[type[Rehearsed]], Rehearsed] = Rehearsed.__new__,
) -> Rehearsed:
    """A generation as far as it has come, to be run ahead from here.

    Every decision about a promise makes one of each that runs, so it is done without a constructor.

    Args:
        first_ns: when its first token came; -1: not yet.
    """
    copy = _new(Rehearsed)
    copy.number, copy.user, copy.order = one.number, one.user, one.order
    copy.commitment, copy.state, copy.asks = one.commitment, one.state, one.asks
    copy.n_prompt, copy.max_tokens, copy.longest = one.n_prompt, one.max_tokens, one.longest
    n_tokens, n_computed = one.n_tokens, one.n_computed
    copy.n_tokens, copy.n_blocks, copy.n_cached = n_tokens, one.n_blocks, 0
    # a beam may have nothing to compute while it waits for others
    copy.n_computed = n_computed if n_computed < n_tokens else n_tokens - 1
    copy.has_started = True  # its turn was taken note of elsewhere
    copy.arrival_ns, copy.first_ns, copy.last_ns = arrival_ns, first_ns, -1
    copy.early_ns = copy.ahead_ns = _INF
    copy.slowest_ns = 0.0
    copy.prefix, copy.names, copy.follows = prefix, [], False
    copy._each, copy._whole = one.reads_each, one.comes_whole
    return copy
