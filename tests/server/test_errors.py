"""Errors: which field, which words, which status."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from foreknown.errors import DoesNotFit, RequestError
from foreknown.server.api.chat import ChatRequest
from foreknown.server.errors import Refusal, invalid_body, path, refused

HELLO = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (("body",), ""),
        (("body", "model"), "model"),
        (("body", "messages", 0, "user", "content", "str"), "messages[0].content"),
        (("body", "messages", 0, "user", "content", "list[x]", 0, "text"), "messages[0].content"),
        (("body", "messages", 0, "user", "role"), "messages[0].role"),
        (("body", "stop", "list[constrained-str]", 1), "stop[1]"),
        (("body", "input", "str"), ""),
    ],
)
def test_a_path_has_no_names_of_branches(location: tuple[str | int, ...], expected: str) -> None:
    body = {"model": "m", "messages": [HELLO], "stop": ["a", ""]}
    assert path(location, body) == expected


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"unheard_of": 1}, "unheard_of", "unknown_parameter"),
        ({"model": None}, "model", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"temperature": 2.5}, "temperature", "invalid_value"),
        ({"n": True}, "n", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [HELLO, {"role": "x"}]}, "messages[1]", "invalid_value"),
        ({"messages": [{**HELLO, "x": 1}]}, "messages[0].x", "unknown_parameter"),
        ({"response_format": {"type": "yaml"}}, "response_format", "invalid_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], param: str, code: str) -> None:
    body = {"model": "m", "messages": [HELLO], **change}
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(body)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()]
    refusal = invalid_body(errors, body)
    assert (refusal.param, refusal.code, refusal.status) == (param, code, 400)
    assert param in refusal.message


def test_parts_that_are_no_text_are_said_to_be_unsupported() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(body)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()]
    refusal = invalid_body(errors, body)
    assert refusal.param == "messages[0].content[0]"
    assert "'image_url' are not supported" in refusal.message


def test_our_errors_are_the_callers_fault_or_ours() -> None:
    theirs = refused(RequestError("too long", field="max_tokens", too_long=True), names={})
    assert (theirs.status, theirs.code) == (400, "context_length_exceeded")
    named = refused(RequestError("x", field="prompt"), names={"prompt": "messages"})
    assert named.param == "messages"
    ours = refused(DoesNotFit("no memory", where="/secret/place"))
    assert ours.status == 500
    assert "/secret/place" not in str(ours.openai())


def test_a_field_that_is_missing_is_in_no_body() -> None:
    assert path(("body", "messages", 0, "user", "name"), {"messages": [HELLO]}) == "messages[0]"
    location = ("body", "messages", 0, "user", "name")
    assert path(location, {"messages": [HELLO]}, missing=True) == "messages[0].name"


def test_both_shapes_say_the_same() -> None:
    refusal = Refusal("x is wrong", param="x", code="invalid_value", remedy="give y")
    assert refusal.openai()["error"] == {
        "message": "x is wrong; give y",
        "type": "invalid_request_error",
        "param": "x",
        "code": "invalid_value",
    }
    assert refusal.anthropic("req_1") == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "x is wrong; give y"},
        "request_id": "req_1",
    }
