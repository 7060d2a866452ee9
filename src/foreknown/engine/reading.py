"""Reads a sequence's tokens as they come: what text they show, and whether they are the last."""

from __future__ import annotations

import numpy as np

from foreknown.engine.constraint import Constraint
from foreknown.engine.output import FinishReason
from foreknown.engine.sequence import Sequence
from foreknown.errors import ForeknownError

_NOTHING = np.zeros(1, np.uint32)


def read(sequence: Sequence, token: int) -> tuple[str, FinishReason | None]:
    """The text that a token that was appended lets be shown, and whether the sequence ends."""
    if token in sequence.stop_ids:
        return last_text(sequence), "stop"
    n_output = sequence.n_output
    text = sequence.detokenizer.push(token)
    if n_output > sequence.params.min_tokens:
        text = sequence.stop_strings.push(text)
        if sequence.stop_strings.stopped:
            return text, "stop"
    if sequence.constraint is not None and _completes(sequence, sequence.constraint, token):
        return text + last_text(sequence), "stop"
    if n_output == sequence.max_tokens:
        text += last_text(sequence)
        return text, "stop" if sequence.stop_strings.stopped else "length"
    return text, None


def last_text(sequence: Sequence) -> str:
    """What detokenizer and stop strings held back, now that no more tokens will come."""
    stops = sequence.stop_strings
    return stops.push(sequence.detokenizer.finish()) + stops.finish()


def stopped_by(sequence: Sequence) -> str | int | None:
    """The stop string or the token that ended a sequence; None if neither did."""
    if sequence.stop_strings.found:
        return sequence.stop_strings.found
    return sequence.last_token if sequence.last_token in sequence.stop_ids else None


def restrict(sequence: Sequence, constraint: Constraint) -> None:
    """Let only tokens come next that a constraint allows; if it fails, none."""
    try:
        sequence.sampling.allow(constraint.allowed())
    except Exception as error:
        sequence.failure = _failure(error)
        sequence.sampling.allow(_NOTHING)


def _completes(sequence: Sequence, constraint: Constraint, token: int) -> bool:
    try:
        constraint.accept(token)
        return constraint.complete
    except Exception as error:
        sequence.failure = _failure(error)
        return True


def _failure(error: Exception) -> ForeknownError:
    """Grammars are made from what callers send: one that fails must not end anybody else."""
    if isinstance(error, ForeknownError):
        return error
    return ForeknownError(f"the answer's grammar failed: {error}", remedy="simplify it")
