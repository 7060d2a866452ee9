"""What the engine tells a caller, one event for each token."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import ForeknownError

FinishReason = Literal["stop", "length", "cancelled", "error"]


class TokenLogprob(NamedTuple):
    """A token, its log-probability (None for a prompt's first), and the best in its place."""

    token: int
    logprob: float | None
    top_logprobs: tuple[tuple[int, float], ...] = ()


class Output(NamedTuple):
    """One token of one request, or the news that there will be no more.

    Attributes:
        request_id: whose.
        time_ns: when, by the engine's clock.
        token: its id; None if the event only ends the request (cancelled, error, embedding).
        text: what can be shown now. Characters that are not whole yet and text that may be the
            start of a stop string come with a later event.
        logprob: of `token` under the model itself, before bias, penalties and temperature; None
            if not asked for.
        top_logprobs: (token, logprob) of the best tokens, best first.
        finish_reason: None while there is more to come; "stop" for an end-of-sequence token,
            a stop token, a stop string or a constraint that is complete; "length" for max_tokens.
        error: why, if the reason is "error".
        n_cached: with the last event: tokens of the prompt that were found computed. The prompt
            of several samples counts once, with the first.
        prompt_logprobs: with the first event: of the prompt's tokens, if asked for.
        embedding: f32[hidden_size], not normalised, if that was asked for.
        stopped_by: with the last event: the stop string or the token that ended it, if one did.
    """

    request_id: str
    time_ns: int
    token: int | None
    text: str = ""
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    finish_reason: FinishReason | None = None
    error: ForeknownError | None = None
    n_cached: int = 0
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    embedding: NDArray[np.float32] | None = None
    stopped_by: str | int | None = None
