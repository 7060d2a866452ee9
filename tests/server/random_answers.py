"""A model without sense: any token that its constraint allows, until the end is sought."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreknown.checkpoint import Tokenizer
from foreknown.engine.constraint import Constraint

LONGEST = 600
_CLOSING = (b'"', b"}", b"]")


def token_ids(mask: NDArray[np.uint32]) -> NDArray[np.intp]:
    """The tokens of a mask."""
    bits = np.unpackbits(mask.astype("<u4").view(np.uint8), bitorder="little")
    return np.flatnonzero(bits)


def obeys(constraint: Constraint, tokenizer: Tokenizer, text: str) -> bool:
    """Whether a text is a whole answer."""
    for token in tokenizer.encode(text, add_special_tokens=False):
        if token not in token_ids(constraint.allowed()):
            return False
        constraint.accept(token)
    special = tokenizer.special_ids
    return constraint.complete or not special.isdisjoint(token_ids(constraint.allowed()))


class RandomModel:
    """Draws tokens over one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_ids: set[int]) -> None:
        self._tokenizer, self._end_ids = tokenizer, end_ids
        tokens = [tokenizer.token_bytes(token) for token in range(vocab_size)]
        self._distance = np.array([self._to_the_end(token) for token in tokens])

    def _to_the_end(self, token: bytes) -> int:
        """How far a token leads away from the end of JSON."""
        if token in _CLOSING:
            return 0
        return {b"[": 3, b"{": 4}.get(token[:1], 1 if token[:1].isalnum() else 2)

    def answer(self, constraint: Constraint, seed: int, free: int) -> str | None:
        """A whole answer; None if it came to no end.

        Args:
            free: tokens after which the end is sought.
        """
        random = np.random.default_rng(seed)
        tokens: list[int] = []
        while not constraint.complete:
            allowed = token_ids(constraint.allowed())
            assert len(allowed), "an answer that is not complete can go on"
            ends = np.isin(allowed, list(self._end_ids))
            if ends.all() or (ends.any() and (len(tokens) >= free or random.random() < 0.2)):
                assert set(allowed[ends]) == self._end_ids, "any end is as good as another"
                break
            allowed = allowed[~ends]
            if len(tokens) >= free or random.random() < 0.3:
                distance = self._distance[allowed]
                allowed = allowed[distance == distance.min()]
            token = int(random.choice(allowed))
            constraint.accept(token)
            tokens.append(token)
            if len(tokens) > LONGEST:
                return None
        return self._tokenizer.decode(tokens)
