"""How likely the next token is the one that a match proposes, learned from one sequence."""

from __future__ import annotations

_FIRST_CHANCES = (0.0, 0.15, 0.3, 0.55, 0.75, 0.85)
"""By the bits of a match's length (awaited, 2 to 3 tokens, 4 to 7, 8 to 15, more), before anything
is known: text that repeats itself is to be noticed at once, and short matches mean little."""

_TOP = len(_FIRST_CHANCES) - 1
_PRIOR_COUNT = 6
"""Observations that the first chances are worth."""
_MEMORY = 32
"""Observations after which old ones fade: texts change."""


class Acceptance:
    """Chances that grow with the length of the match.

    Every token that comes teaches something, whether its proposal was run as a draft or not.
    """

    __slots__ = ("_chances", "_counts")

    def __init__(self) -> None:
        self._chances = list(_FIRST_CHANCES)
        self._counts = [_PRIOR_COUNT] * len(_FIRST_CHANCES)

    def learn(self, length: int, right: bool) -> None:
        """What came of the proposal of a match of this length."""
        kind = length.bit_length()
        if kind > _TOP:
            kind = _TOP
        count = self._counts[kind]
        if count < _MEMORY:
            count = self._counts[kind] = count + 1
        self._chances[kind] += (right - self._chances[kind]) / count

    def chance(self, length: int) -> float:
        """That the next token is the one proposed."""
        return self._chances[min(length.bit_length(), _TOP)]

    def survival(self, length: int, n_drafts: int) -> list[float]:
        """The chances that the first 1, 2, … n_drafts proposals are all right.

        Each right one makes the match longer, and so the next one likelier.
        """
        chances, survival, whole = self._chances, [], 1.0
        for grown in range(length, length + n_drafts):
            whole *= chances[min(grown.bit_length(), _TOP)]
            survival.append(whole)
        return survival
