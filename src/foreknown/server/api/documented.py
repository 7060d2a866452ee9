"""Which errors a route may answer with, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from foreknown.engine.promises import LONGEST_MS
from foreknown.server.objectives import HEADERS


class Earliest(BaseModel):
    """The least that could be promised now, in milliseconds after a request's arrival."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    total_ms: float | None = None


class Offer(BaseModel):
    """What could be promised instead."""

    earliest: Earliest


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """OpenAI's form of an error."""

    error: ErrorBody
    foreknown: Offer | None = None


class AnthropicError(BaseModel):
    """What went wrong."""

    type: str
    message: str


class AnthropicErrorResponse(BaseModel):
    """Anthropic's form of an error."""

    type: str
    error: AnthropicError
    request_id: str | None = None
    foreknown: Offer | None = None


_MEANINGS = {
    400: "A field is wrong; `param` says which.",
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The content type is not JSON.",
    429: "Too many requests are waiting, or the objective cannot be promised now.",
    500: "A defect of the server.",
    503: "The server is shutting down.",
}


def _documented(form: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": form, "description": meaning} for status, meaning in _MEANINGS.items()
    }


OBJECTIVE_HEADERS: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": f"The same as the field {field}.",
            "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_MS},
        }
        for name, field in HEADERS.items()
    ]
}
"""What routes that take objectives add to their description."""

DOCUMENTED = _documented(ErrorResponse)
DOCUMENTED_ANTHROPIC = _documented(AnthropicErrorResponse)
