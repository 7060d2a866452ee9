"""How far a model strays from a reference: divergence, perplexity, first choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Passage:
    """A piece of text as tokens, and for each whether the model is judged on foretelling it."""

    tokens: tuple[int, ...]
    judged: tuple[bool, ...]

    def positions(self) -> NDArray[np.intp]:
        """Where the next token is one to judge."""
        return np.flatnonzero(self.judged[1:])


@dataclass(frozen=True)
class Divergence:
    """Of a model from a reference, over all judged positions of a text.

    Attributes:
        kl: mean of the Kullback-Leibler divergence of the model from the reference, in nats.
        perplexity: exponential of the mean negative log-likelihood of the text's own next token.
        same_choice: share of positions where both hold the same token for the likeliest.
        largest_difference: of any log-probability.
    """

    kl: float
    perplexity: float
    same_choice: float
    largest_difference: float


def divergence(
    passages: Sequence[Passage], reference: Iterable[Logits], found: Iterable[Logits]
) -> Divergence:
    """Compare logits [n, vocabulary] of each passage with the reference's."""
    kl, loss, same, largest = [], [], [], 0.0
    for passage, expected, given in zip(passages, reference, found, strict=True):
        positions = passage.positions()
        p, q = log_softmax(expected[positions]), log_softmax(given[positions])
        targets = np.asarray(passage.tokens)[positions + 1]
        kl.append((np.exp(p) * (p - q)).sum(1))
        loss.append(-q[np.arange(len(q)), targets])
        same.append(p.argmax(1) == q.argmax(1))
        largest = max(largest, float(np.abs(p - q).max(initial=0)))
    return Divergence(
        kl=float(np.concatenate(kl).mean()),
        perplexity=float(np.exp(np.concatenate(loss).mean())),
        same_choice=float(np.concatenate(same).mean()),
        largest_difference=largest,
    )


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """Log-probabilities of each row, in f64 so that none of the difference is ours."""
    exact = logits.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(1, keepdims=True))
    return exact
