"""Chat completions: every field that can be wrong is named, with what is wrong about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.test_bad_input import (
    CHAT,
    HELLO,
    MISSING,
    TOO_LONG,
    VOCABULARY,
    assert_idle,
    assert_refused,
    changed,
)
from tests.serving import Served

PATH = "/v1/chat/completions"
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "5"}


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client
    assert_idle(served)


FIELDS: dict[str, list[Any]] = {
    "model": [MISSING],
    "messages": [MISSING, None, "hello", {}, 5, []],
    "temperature": [-0.01, 2.01, "hot", True, [], 1e300],
    "top_p": [-0.01, 1.01, "x", True],
    "top_k": [-2, 1.5, "x", 10**30, True],
    "min_p": [-0.01, 1.01, "x"],
    "repetition_penalty": [0, -1, "x", 1e300],
    "presence_penalty": [-2.01, 2.01, "x"],
    "frequency_penalty": [-2.01, 2.01, "x"],
    "max_tokens": [0, -1, 1.5, "4", True, 10**30],
    "max_completion_tokens": [0, -1, 1.5, "4", True],
    "min_tokens": [-1, 1.5, "x", 3, 10**30],
    "n": [0, -1, 33, 1.5, "2", True, 10**30],
    "seed": [1.5, "x", True, 2**64, -(2**64)],
    "stop": [5, "", ["a"] * 100, {}],
    "logprobs": ["yes", 2, []],
    "top_logprobs": [-1, 21, "x", 1.5, 3],
    "logit_bias": [[], "x", 5],
    "stream": ["yes", 1, []],
    "stream_options": [{"include_usage": True}, "x", []],
    "ignore_eos": ["yes", 1],
    "stop_token_ids": ["x", 5],
    "beam_width": [0, -1, 10**6, "x", 1.5],
    "length_penalty": ["x", [], 1.0],
    "chat_template_kwargs": ["x", [], 5],
    "continue_final_message": ["yes", 5, True],
    "response_format": ["json", [], 5],
    "structured_outputs": ["json", [], 5, {}],
    "tools": ["x", {}, 5],
    "parallel_tool_calls": ["x", 5],
    "user": [5, []],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in FIELDS for value in FIELDS[field]]
)
def test_a_wrong_field_is_named(client: httpx.Client, field: str, value: object) -> None:
    assert_refused(client.post(PATH, json=changed(CHAT, {field: value})), 400, field)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": ["a" * 100_000]}, "stop[0]"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"logit_bias": {"5": 100.5}}, "logit_bias.5"),
        ({"logit_bias": {"5": -100.5}}, "logit_bias.5"),
        ({"logit_bias": {"5": "a"}}, "logit_bias.5"),
        ({"logit_bias": {"-1": 1}}, "logit_bias.-1"),
        ({"logit_bias": {str(VOCABULARY): 1}}, f"logit_bias.{VOCABULARY}"),
        ({"logit_bias": {"9" * 30: 1}}, "logit_bias." + "9" * 30),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": [5, VOCABULARY]}, "stop_token_ids[1]"),
        ({"stop_token_ids": [5, 1.5]}, "stop_token_ids[1]"),
        ({"stop_token_ids": [2**70]}, "stop_token_ids[0]"),
        (
            {"stream": True, "stream_options": {"include_usage": "x"}},
            "stream_options.include_usage",
        ),
        ({"stream": True, "stream_options": {"colour": 1}}, "stream_options.colour"),
        ({"beam_width": 2, "n": 3}, "n"),
        ({"max_tokens": 4, "max_completion_tokens": 8}, "max_tokens"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"audio": {"voice": "x", "format": "wav"}}, "audio"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prompt": "hello"}, "prompt"),
        ({"best_of": 2}, "best_of"),
    ],
)
def test_wrong_details_and_contradictions_are_named(
    client: httpx.Client, change: dict[str, Any], param: str
) -> None:
    response = client.post(PATH, json=changed(CHAT, change))
    named = response.json().get("error", {}).get("param")
    if named != param and param.startswith(("logit_bias", "stop_token_ids")):
        # The field as a whole, if the message says which entry.
        param = re.split(r"[.\[]", param)[0]
        assert str(list(change[param])[-1]) in response.json()["error"]["message"]
    assert_refused(response, 400, param)


def image(kind: str) -> dict[str, Any]:
    return {
        "image_url": {"type": kind, "image_url": {"url": "data:image/png;base64,AAAA"}},
        "input_audio": {"type": kind, "input_audio": {"data": "AAAA", "format": "wav"}},
        "file": {"type": kind, "file": {"file_id": "x"}},
        "video_url": {"type": kind, "video_url": {"url": "http://127.0.0.1/"}},
        "refusal": {"type": kind, "refusal": "no"},
    }[kind]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([None], "messages[0]"),
        ([5], "messages[0]"),
        (["hello"], "messages[0]"),
        ([HELLO, []], "messages[1]"),
        ([{}], "messages[0].role"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": {}}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "system", "content": None}, HELLO], "messages[0].content"),
        ([HELLO, {"role": "assistant"}, HELLO], "messages[1].content"),
        ([HELLO, {"role": "assistant", "content": None}, HELLO], "messages[1].content"),
        ([{"role": "narrator", "content": "x"}], "messages[0].role"),
        ([{"role": "User", "content": "x"}], "messages[0].role"),
        ([{"role": "", "content": "x"}], "messages[0].role"),
        ([{"role": 5, "content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{**HELLO, "colour": 1}], "messages[0].colour"),
        ([{**HELLO, "name": 5}], "messages[0].name"),
        ([{**HELLO, "tool_calls": [CALL]}], "messages[0].tool_calls"),
        ([{**HELLO, "content": [5]}], "messages[0].content[0]"),
        ([{**HELLO, "content": ["x"]}], "messages[0].content[0]"),
        ([{**HELLO, "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{**HELLO, "content": [{"type": "text", "text": 5}]}], "messages[0].content[0].text"),
        (
            [{**HELLO, "content": [{"type": "text", "text": "a"}, {"text": "b"}]}],
            "messages[0].content[1].type",
        ),
        *(
            (
                [{**HELLO, "content": [{"type": "text", "text": "a"}, image(kind)]}],
                "messages[0].content[1]",
            )
            for kind in ("image_url", "input_audio", "file", "video_url", "refusal")
        ),
        ([HELLO, RESULT], "messages[1].tool_call_id"),
        ([RESULT], "messages[0].tool_call_id"),
        ([HELLO, ASKS, {**RESULT, "tool_call_id": "call_2"}], "messages[2].tool_call_id"),
        ([HELLO, ASKS, {**RESULT, "tool_call_id": 5}], "messages[2].tool_call_id"),
        ([HELLO, ASKS, {"role": "tool", "content": "5"}], "messages[2].tool_call_id"),
        ([HELLO, ASKS, RESULT, RESULT], "messages[3].tool_call_id"),
        ([HELLO, ASKS, HELLO], "messages[2]"),
        ([HELLO, ASKS], "messages[1]"),
        ([HELLO, {**ASKS, "tool_calls": []}, HELLO], "messages[1].content"),
        ([HELLO, {**ASKS, "tool_calls": "x"}, RESULT], "messages[1].tool_calls"),
        ([HELLO, {**ASKS, "tool_calls": [{}]}, RESULT], "messages[1].tool_calls[0].id"),
        (
            [HELLO, {**ASKS, "tool_calls": [{**CALL, "type": "magic"}]}, RESULT],
            "messages[1].tool_calls[0].type",
        ),
        (
            [HELLO, {**ASKS, "tool_calls": [{**CALL, "function": {"name": "f"}}]}, RESULT],
            "messages[1].tool_calls[0].function.arguments",
        ),
    ],
)
def test_wrong_messages_are_named(client: httpx.Client, messages: list[Any], param: str) -> None:
    response = client.post(PATH, json={**CHAT, "messages": messages})
    error = response.json().get("error", {})
    # What holds the culprit, or a field of it, is as good a name.
    assert error, response.text
    assert error["param"].startswith(param) or error["param"] == param.rsplit(".", 1)[0], error
    assert_refused(response, 400, error["param"])


def test_parts_that_are_no_text_are_said_to_be_unsupported(client: httpx.Client) -> None:
    content = [image("image_url")]
    response = client.post(PATH, json={**CHAT, "messages": [{"role": "user", "content": content}]})
    message = assert_refused(response, 400, "messages[0].content[0]")
    assert "image" in message
    assert "support" in message


def test_tool_results_in_any_order_are_good(client: httpx.Client) -> None:
    calls = [{**CALL, "id": "a"}, {**CALL, "id": "b"}]
    results = [{**RESULT, "tool_call_id": "b"}, {**RESULT, "tool_call_id": "a"}]
    messages = [HELLO, {**ASKS, "tool_calls": calls}, *results]
    response = client.post(PATH, json={**CHAT, "messages": messages})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "a\\udc00b", "\\udc00\\ud800"])
@pytest.mark.parametrize("field", ["content", "stop", "name of a field", "system"])
def test_lone_surrogates_are_refused(client: httpx.Client, escape: str, field: str) -> None:
    """They are no text: no tokenizer, log line or answer could hold them."""
    body = {
        "content": {**CHAT, "messages": [{"role": "user", "content": "@"}]},
        "stop": {**CHAT, "stop": ["@"]},
        "name of a field": {**CHAT, "@": 1},
        "system": {**CHAT, "messages": [{"role": "system", "content": "@"}, HELLO]},
    }[field]
    whole = json.dumps(body).replace("@", escape).encode()
    response = client.post(PATH, content=whole, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


def test_a_prompt_too_long_is_refused(client: httpx.Client) -> None:
    messages = [{"role": "user", "content": TOO_LONG}]
    response = client.post(PATH, json={**CHAT, "messages": messages})
    message = assert_refused(response, 400, "messages", "context_length_exceeded", "prompt")
    assert "1024" in message.replace(",", "")


def test_an_answer_too_long_is_refused(client: httpx.Client) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        body = changed(CHAT, {"max_tokens": MISSING, field: 1024})
        response = client.post(PATH, json=body)
        message = assert_refused(response, 400, field, "context_length_exceeded", word=field)
        assert "room for" in message


def test_without_a_maximum_the_context_is_the_maximum(client: httpx.Client) -> None:
    prompt = "one two three " * 200
    body = {"model": "bundled", "messages": [{"role": "user", "content": prompt}]}
    response = client.post(PATH, json=body)
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["total_tokens"] <= 1024


def test_the_first_of_two_faults_does_not_hide_that_it_is_one(client: httpx.Client) -> None:
    body = {**CHAT, "temperature": 5, "n": 0}
    error = client.post(PATH, json=body).json()["error"]
    assert error["param"] in {"temperature", "n"}


def test_a_stream_is_refused_as_an_answer_is(client: httpx.Client) -> None:
    """The status comes before the first event, so a client can tell."""
    for change in ({"n": 0}, {"max_tokens": 1024}, {"messages": [RESULT]}):
        response = client.post(PATH, json={**CHAT, **change, "stream": True})
        assert response.status_code == 400
        assert response.headers["content-type"].startswith("application/json")
