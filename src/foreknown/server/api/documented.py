"""Which errors a route may answer with, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """OpenAI's form of an error."""

    error: ErrorBody


class AnthropicError(BaseModel):
    """What went wrong."""

    type: str
    message: str


class AnthropicErrorResponse(BaseModel):
    """Anthropic's form of an error."""

    type: str
    error: AnthropicError
    request_id: str | None = None


_MEANINGS = {
    400: "A field is wrong; `param` says which.",
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The content type is not JSON.",
    429: "Too many requests are waiting.",
    500: "A defect of the server.",
    503: "The server is shutting down.",
}


def _documented(form: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": form, "description": meaning} for status, meaning in _MEANINGS.items()
    }


DOCUMENTED = _documented(ErrorResponse)
DOCUMENTED_ANTHROPIC = _documented(AnthropicErrorResponse)
