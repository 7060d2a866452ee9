"""What the engine tells a caller, one event for each token."""

from __future__ import annotations

from typing import Literal, NamedTuple

from foreknown.errors import ForeknownError

FinishReason = Literal["stop", "length", "cancelled", "error"]


class Output(NamedTuple):
    """One token of one request, or the news that there will be no more.

    Attributes:
        request_id: whose.
        time_ns: when, by the engine's clock.
        token: its id; None if the event only ends the request (cancelled, error).
        text: what can be shown now. Characters that are not whole yet and text that may be the
            start of a stop string come with a later event.
        logprob: of `token` under the model itself, before bias, penalties and temperature; None
            if not asked for.
        top_logprobs: (token, logprob) of the best tokens, best first.
        finish_reason: None while there is more to come; "stop" for an end-of-sequence token,
            a stop token or a stop string; "length" for max_tokens.
        error: why, if the reason is "error".
    """

    request_id: str
    time_ns: int
    token: int | None
    text: str = ""
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    finish_reason: FinishReason | None = None
    error: ForeknownError | None = None
