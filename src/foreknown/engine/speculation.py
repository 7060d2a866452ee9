"""Decides how many drafts are worth a step, and what they are.

A draft is a guess of a token that is to come. A step computes a sequence's last token and its
drafts at once; each row of logits gives the token that really comes next, and so tells whether
the draft in its place was right. Tokens are never other than without drafts, only sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from operator import itemgetter

from foreknown.engine.draft import Drafter
from foreknown.engine.sequence import Sequence
from foreknown.engine.step_times import StepTimes

MAX_DRAFTS, LONE_DRAFTS = 7, 15
"""Of one sequence in one step, beside others and without: with its last token, 8 and 16 rows. With
15 for each of several, answers came late (log 58)."""

MARGIN = 1.05
"""Drafts must promise so many times the tokens a second of a step without: estimates err."""

LOOK_SECONDS = 40e-6
"""What a look in vain at one sequence takes, with caches full of other things."""
ALLOWANCE = 0.003
"""Share of the time of steps without drafts that may go into looks and wrong drafts."""
MOST_CREDIT, MOST_DEBT = 8, 4
"""Steps without drafts whose time may be lost after a success, or must be earned back."""
OUTLIER = 2
"""A step with drafts that took longer than so many times what was expected counts as so many."""

_WEIGHED_EVERY = 64
"""After so many steps without drafts it is weighed anew what a draft must promise."""


class Speculation:
    """Drafts for the decoding sequences of a step.

    Keeps account of the time that drafts win, and of what looking for them and running wrong
    ones takes: when that has cost more than it won, and more than a small share of all time,
    it waits. So text without repetition is hardly slowed, even where every estimate is wrong.

    Args:
        times: what steps take.
    """

    def __init__(self, times: StepTimes) -> None:
        self.times = times
        self._credit = inf  # seconds; until the first step shows what one takes
        self._context: float | None = None  # of steps lately; None: nobody knows
        self._n_plain_steps = 0
        self._least_chances: dict[int, float] = {}

    @property
    def has_credit(self) -> bool:
        """Whether a look may be had now."""
        return self._credit >= 0

    def look(self, sequences: list[Sequence]) -> list[tuple[int, Drafter]]:
        """Those of the decoding sequences, by index, whose drafts can be worth it: mostly none."""
        least = self._least_chance(len(sequences))
        promising = []
        for index, sequence in enumerate(sequences):
            if not sequence.may_draft:
                continue
            drafter = sequence.drafter
            if drafter is None:  # a prompt is read when its sequence first decodes
                drafter = sequence.drafter = Drafter(sequence.tokens[: sequence.n_tokens])
            drafter.read(sequence.tokens[: sequence.n_tokens])
            if drafter.chance > least:
                promising.append((index, drafter))
        if not promising:
            self._credit -= LOOK_SECONDS * len(sequences)
        return promising

    def depths(
        self, drafters: list[Drafter], limits: list[int], n_plain: int, room: int
    ) -> list[int]:
        """How many drafts each of the promising ones should have; see `choose_depths`.

        Args:
            limits: drafts that each may have.
        """
        survivals = [
            drafter.survival(limit) for drafter, limit in zip(drafters, limits, strict=True)
        ]
        depths = choose_depths(survivals, n_plain, room, self._seconds)
        if not any(depths):
            self._credit -= 2 * LOOK_SECONDS * n_plain
        return depths

    def observe(
        self,
        n_tokens: int,
        n_drafts: int,
        n_outputs: int,
        seconds: float,
        context: Callable[[], float],
    ) -> None:
        """Take note of what a step of decode tokens took and gave.

        Args:
            n_tokens: with its drafts.
            context: says how many positions a token attended to, in the mean.
        """
        if seconds <= 0:
            return
        if n_drafts:
            self._context = context()
            self._observe_drafts(n_tokens, n_drafts, n_outputs, seconds)
            return
        self._credit = min(self._credit + ALLOWANCE * seconds, MOST_CREDIT * seconds)
        found = self.times.observe_plain(n_tokens, seconds, context)
        self._context = self._context if found is None else found
        self._n_plain_steps += 1
        if self._n_plain_steps % _WEIGHED_EVERY == 1:
            self._least_chances.clear()

    def _seconds(self, n_tokens: int) -> float:
        return self.times.seconds(n_tokens, self._context)

    def _observe_drafts(self, n_tokens: int, n_drafts: int, n_outputs: int, seconds: float) -> None:
        n_plain = n_tokens - n_drafts
        plain = self._seconds(n_plain)
        counted = min(seconds, OUTLIER * self._seconds(n_tokens))
        credit = self._credit + n_outputs / n_plain * plain - counted
        self._credit = max(min(credit, MOST_CREDIT * plain), -MOST_DEBT * plain)
        self.times.observe(n_tokens, seconds, self._context)
        self._least_chances.clear()

    def _least_chance(self, n_plain: int) -> float:
        """Of a first draft: if none is likelier, no number of drafts can be worth it."""
        least = self._least_chances.get(n_plain)
        if least is None:
            plain = self._seconds(n_plain)
            most = most_drafts(n_plain)
            numbers = (*range(1, most), *range(most, most * n_plain + 1, most))
            least = self._least_chances[n_plain] = min(
                (MARGIN * self._seconds(n_plain + n) / plain - 1) * n_plain / n for n in numbers
            )
        return least


def most_drafts(n_plain: int) -> int:
    """Of each sequence in a step of so many tokens without drafts."""
    return LONE_DRAFTS if n_plain == 1 else MAX_DRAFTS


def choose_depths(
    survivals: list[list[float]], n_plain: int, room: int, seconds: Callable[[int], float]
) -> list[int]:
    """How many drafts each sequence should have.

    The likeliest come first, whosever they are; of these, as many as give the most expected
    tokens a second, or none.

    Args:
        survivals: for each sequence the chances that its first 1, 2, … drafts are all right, so
            never growing.
        n_plain: tokens of the step without drafts, each of which gives one more.
        room: drafts at most, all together.
        seconds: tokens of a step → what it takes.
    """
    chances = [(chance, owner) for owner, own in enumerate(survivals) for chance in own]
    chances.sort(key=itemgetter(0), reverse=True)  # stable: each sequence's stay in order
    expected, best, n_best = float(n_plain), MARGIN * n_plain / seconds(n_plain), 0
    for n_drafts, (chance, _) in enumerate(chances[:room], 1):
        expected += chance
        rate = expected / seconds(n_plain + n_drafts)
        if rate > best:
            best, n_best = rate, n_drafts
    depths = [0] * len(survivals)
    for _, owner in chances[:n_best]:
        depths[owner] += 1
    return depths
