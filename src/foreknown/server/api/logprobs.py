"""Log-probabilities of tokens, in the forms of OpenAI's two interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from foreknown.engine import Output
from foreknown.server.served_model import ServedModel


def chat_logprobs(model: ServedModel, outputs: Sequence[Output]) -> dict[str, Any]:
    """`logprobs` of a chat's choice: an entry for each token."""
    return {"content": [_entry(model, output) for output in shown(outputs)]}


def shown(outputs: Iterable[Output]) -> list[Output]:
    """Those of tokens of the answer's text: a token that only ends it is none."""
    return [o for o in outputs if o.token is not None and o.stopped_by != o.token]


def _entry(model: ServedModel, output: Output) -> dict[str, Any]:
    assert output.token is not None
    assert output.logprob is not None
    return {
        **_token(model, output.token, output.logprob),
        "top_logprobs": [_token(model, *pair) for pair in output.top_logprobs],
    }


def _token(model: ServedModel, token: int, logprob: float) -> dict[str, Any]:
    return {
        "token": model.token_text(token),
        "logprob": finite(logprob),
        "bytes": list(model.token_bytes(token)),
    }


def finite(logprob: float) -> float:
    """JSON has no minus infinity; this is what OpenAI says for it."""
    return max(logprob, -9999.0)
