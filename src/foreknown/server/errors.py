"""Errors as clients of OpenAI's and Anthropic's interfaces read them.

    OpenAI      {"error": {"message", "type", "param", "code"}}
    Anthropic   {"type": "error", "error": {"type", "message"}, "request_id"}

A `Refusal` names the status, the field and why; every other error of ours is turned into one here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from foreknown.errors import ForeknownError, RequestError

INVALID, AUTHENTICATION, NOT_FOUND = (
    "invalid_request_error",
    "authentication_error",
    "not_found_error",
)
OVERLOADED, FAILED = "overloaded_error", "api_error"

_ANTHROPIC_TYPES = {413: "request_too_large", 429: "rate_limit_error"}

TOO_LONG = "context_length_exceeded"

SAID, NAMED = 1000, 200
"""Characters of a message and of a field's path: callers get no echo of what they sent."""

_NOT_TEXT = {"image_url", "image", "input_image", "input_audio", "audio", "file", "input_file",
             "document", "video_url", "video"}  # fmt: skip


class Refusal(ForeknownError):
    """A request that is answered with an error.

    Args:
        what: what is wrong, for the caller to read.
        param: the field at fault, as a path such as `messages[2].content`; "" if it is none.
        status: HTTP's.
        kind: the error's type, in the words that both interfaces share.
        code: a word for programs; "" if there is none.
        retry_after_s: when it may be tried again; None: no sooner than it is changed.
        foreknown: what could be promised instead, for the body; None: nothing is said.
    """

    def __init__(
        self,
        what: str,
        *,
        param: str = "",
        status: int = 400,
        kind: str = INVALID,
        code: str = "",
        retry_after_s: int | None = None,
        remedy: str = "",
        foreknown: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(_shortened(what, SAID), remedy=remedy)
        self.param, self.status = _shortened(param, NAMED), status
        self.kind, self.code = kind, code
        self.retry_after_s = retry_after_s
        self._more = {} if foreknown is None else {"foreknown": foreknown}

    @property
    def message(self) -> str:
        """What is wrong and what to do about it, in one line."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return headers

    def openai(self) -> dict[str, Any]:
        """The body that OpenAI's clients read."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param or None,
                "code": self.code or None,
            },
            **self._more,
        }

    def anthropic(self, request_id: str) -> dict[str, Any]:
        """The body that Anthropic's clients read."""
        message = self.message
        if self.param and not message.startswith(self.param):
            message = f"{self.param}: {message}"
        kind = _ANTHROPIC_TYPES.get(self.status, self.kind)
        error = {"type": kind, "message": message}
        return {"type": "error", "error": error, "request_id": request_id, **self._more}


def shutting_down() -> Refusal:
    """What is answered, and said in streams that are cut off, while the server stops."""
    return Refusal(
        "the server is shutting down",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        kind=OVERLOADED,
        code="shutting_down",
        retry_after_s=5,
    )


def refused(
    error: ForeknownError, param: str = "", names: Mapping[str, str] = MappingProxyType({})
) -> Refusal:
    """One of our errors as a refusal: the caller's fault if it says so, else ours.

    Args:
        param: the field at fault where the error names none.
        names: what the interface calls a field that the error names.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestError):
        code = TOO_LONG if error.too_long else ""
        name = names.get(error.field, error.field) or param
        what = error.what
        if error.field and what.startswith(error.field):
            what = name + what.removeprefix(error.field)
        elif name and name not in what:
            what = f"{name}: {what}"
        return Refusal(what, param=name, code=code, remedy=error.remedy)
    return Refusal(error.what, status=500, kind=FAILED, code="internal_error")


def invalid_body(errors: Sequence[Mapping[str, Any]], body: Any) -> Refusal:
    """What pydantic found in a body, as one refusal: its deepest fault."""
    first = max(errors, key=lambda error: len(error["loc"]))
    told = first.get("ctx", {})
    place = told.get("param") or path(first["loc"], body, missing=first["type"] == "missing")
    if first["type"] == "extra_forbidden":
        return Refusal(f"unknown parameter {place!r}", param=place, code="unknown_parameter")
    if first["type"] == "missing":
        if not place:
            return Refusal("the body is empty", remedy="send a JSON object")
        return Refusal(f"{place} is missing", param=place, code="missing_required_parameter")
    if first["type"] == "json_invalid":
        why = told.get("error", "it does not parse")
        return Refusal(f"the body is not JSON: {why}", remedy="send a JSON object")
    tag = told.get("tag")
    if first["type"] == "union_tag_invalid" and tag in _NOT_TEXT:
        reason = f"parts of type {tag!r} are not supported: this server's models read text"
    else:
        reason = str(first["msg"]).removeprefix("Value error, ")
    said = reason if not place or reason.startswith(place) else f"{place}: {reason}"
    return Refusal(said, param=place, code="invalid_value")


def path(location: Sequence[str | int], body: Any, *, missing: bool = False) -> str:
    """`messages[2].content` of ("body", "messages", 2, "user", "content").

    Names that pydantic puts in for the branches of a union are no part of the body, nor of this.

    Args:
        missing: the last part is a field that the body lacks.
    """
    text, here, last = "", body, len(location) - 1
    for place, part in enumerate(location):
        if place == 0 and part in ("body", "query", "path"):
            continue
        if isinstance(part, int):
            if isinstance(here, list) and part < len(here):
                here = here[part]
                text += f"[{part}]"
        elif isinstance(here, dict) and (part in here or (missing and place == last)):
            here = here.get(part)
            text += f".{part}" if text else part
    return text


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
