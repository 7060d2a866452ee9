"""Guesses what comes next: what came, the last time, after what stands at the text's end now.

Knows nothing of models and their costs: it looks at one sequence's own tokens, prompt and output
alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.acceptance import Acceptance

_LONGEST = 32
"""A match that is looked up is not measured further back; followed, it grows without end."""

_REVISED = 8
"""A match so long that is lost is one with a text that is being revised: where a run of at most 32
tokens has given way to another of the same length, it goes on, worth so many tokens more."""

_AWAITED = 1
"""What a lost match is worth that may go on now; one that is found anew has two tokens or more."""

_BASE = 0x1E3779B9
_MASK = 2**30 - 1  # what Python holds in one digit
_SQUARE = _BASE * _BASE & _MASK


class SuffixMatcher:
    """The longest recent match of a text's end within the text, kept as the text grows.

    A match that goes on is followed; where it ends, the latest places of the last 4 and of the
    last 2 tokens are looked up by their hashes. Where a long one ended and nothing else is found,
    it goes on with the first token that is again the one in its place, which is awaited until
    then. Each token takes the same few operations, however long the text is.

    Attributes:
        length: how many tokens at the end are the same as those at the match; 0 without one.
    """

    __slots__ = (
        *("_aligned", "_fours", "_more", "_next", "_pair_hashes", "_pairs", "_patience"),
        *("_tokens", "length"),
    )

    def __init__(self, tokens: NDArray[np.int32]) -> None:
        before = tokens[:-1]
        pairs, fours = _hashes(before)
        ends = range(1, len(before) + 1)
        self.length = self._more = 0
        self._next = 0  # the place after the match
        self._aligned = 0  # the place after a lost match, had it gone on
        self._patience = 0  # so many tokens may still be the first with which it does
        self._tokens: list[int] = before.tolist()
        self._pairs = dict(zip(pairs, ends, strict=True))  # hash of two tokens → their latest end
        self._fours = dict(zip(fours, ends, strict=True))
        self._pair_hashes = [0, 0, *pairs[-2:]][-2:]  # up to the last two places
        self.extend(tokens[-1:].tolist())

    def extend(self, new: list[int]) -> list[tuple[int, bool]]:
        """Take more tokens; gives what each match was worth and whether it proposed the token."""
        tokens, pairs, fours = self._tokens, self._pairs, self._fours
        length, match, more = self.length, self._next, self._more
        aligned, patience = self._aligned, self._patience
        before, last = self._pair_hashes
        proposals = []
        for token in new:
            goes_on = patience > 0 and tokens[aligned] == token
            if length:
                right = tokens[match] == token
                proposals.append((length + more, right))
                if right:
                    length, match = length + 1, match + 1
                else:
                    if length + more >= _REVISED:
                        aligned, patience, goes_on = match, _LONGEST, False
                    length = match = more = 0
            elif patience:
                proposals.append((_AWAITED, goes_on))
            pair = ((tokens[-1] if tokens else 0) * _BASE + token) & _MASK
            four = (before * _SQUARE + pair) & _MASK
            before, last = last, pair
            tokens.append(token)
            end = len(tokens)
            pair_end, pairs[pair] = pairs.get(pair), end
            four_end, fours[four] = fours.get(four), end
            if patience:
                aligned, patience = aligned + 1, patience - 1
            if length < 4:
                for earlier in (four_end, pair_end):
                    if earlier is not None:
                        common = self._common(earlier, end)
                        if common > max(length, 1):
                            length, match, more = common, earlier, 0
                if goes_on and not length:
                    length, match, more = self._common(aligned, end), aligned, _REVISED
        self.length, self._next, self._pair_hashes = length, match, [before, last]
        self._more, self._aligned, self._patience = more, aligned, patience
        return proposals

    @property
    def worth(self) -> int:
        """As many tokens as the match is trusted for: its own; more if it goes on after an
        exchanged run; one where that is awaited; 0 without any."""
        return self.length + self._more if self.length else _AWAITED * (self._patience > 0)

    def n_told(self, n_tokens: int) -> int:
        """Of so many tokens, how many are proposed; of what is awaited only the first: if it comes,
        the others are soon believed."""
        return n_tokens if self.length else min(n_tokens, self.worth)

    def propose(self, n_tokens: int) -> list[int]:
        """What comes next if the text goes on as it did after the match; nothing without one.

        A match that reaches up to the text's end is a text that repeats itself: so does this.
        """
        n_told = self.n_told(n_tokens)
        if not n_told:
            return []
        start = self._next if self.length else self._aligned
        after = self._tokens[start : start + n_told]
        return (after * -(-n_told // len(after)))[:n_told]

    def _common(self, earlier: int, end: int) -> int:
        """How many tokens before two places agree; hashes alone may be equal by chance."""
        tokens, n = self._tokens, 0
        while n < _LONGEST and n < earlier and tokens[earlier - 1 - n] == tokens[end - 1 - n]:
            n += 1
        return n


class Drafter:
    """One sequence's guesses, and how likely they are to be right.

    Reads the sequence's tokens when it is asked to, one by one or many at once: what it knows
    then is the same.

    Attributes:
        n_read: tokens of the sequence that are known here.
        chance: that the first draft is right; 0 if there is none.
    """

    __slots__ = ("acceptance", "chance", "matcher", "n_read")

    def __init__(self, tokens: NDArray[np.int32]) -> None:
        self.matcher = SuffixMatcher(tokens)
        self.acceptance = Acceptance()
        self.n_read = len(tokens)
        self.chance = self.acceptance.chance(self.matcher.worth)

    def read(self, tokens: NDArray[np.int32]) -> None:
        """Take the tokens that have come since, and learn from each, guessed in a step or not."""
        for worth, right in self.matcher.extend(tokens[self.n_read :].tolist()):
            self.acceptance.learn(worth, right)
        self.n_read = len(tokens)
        self.chance = self.acceptance.chance(self.matcher.worth)

    def survival(self, n_drafts: int) -> list[float]:
        """The chances that the first 1, 2, … drafts are all right; empty if there are none."""
        return self.acceptance.survival(self.matcher.worth, self.matcher.n_told(n_drafts))

    def propose(self, n_drafts: int) -> list[int]:
        """The next tokens, as they were at the match."""
        return self.matcher.propose(n_drafts)


def _hashes(tokens: NDArray[np.int32]) -> tuple[list[int], list[int]]:
    """At each place, those of the 2 and of the 4 tokens up to there; before the first are zeros."""
    padded = np.concatenate([np.zeros(3, np.uint64), tokens.astype(np.uint64)])
    base = np.uint64(_BASE)
    pairs = padded[:-1] * base + padded[1:]
    fours = pairs[:-2] * np.uint64(_SQUARE) + pairs[2:]
    return (pairs[2:] & np.uint64(_MASK)).tolist(), (fours & np.uint64(_MASK)).tolist()
