"""Every other path: completions, embeddings, responses, Anthropic's messages, tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.test_bad_input import (
    BODIES,
    HELLO,
    MISSING,
    TOO_LONG,
    VOCABULARY,
    assert_idle,
    assert_refused,
    changed,
)
from tests.serving import Served

ANSWER = {"role": "assistant", "content": "hi"}
IMAGE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "5"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client
    assert_idle(served)


FIELDS: dict[str, dict[str, list[Any]]] = {
    "/v1/completions": {
        "prompt": [MISSING, None, 5, {}, [], [[]], True],
        "suffix": ["x"],
        "echo": ["x", 5],
        "logprobs": [-1, 100, "x", 1.5],
        "n": [0, -1, 33, "x"],
        "best_of": [0, -1, 33, "x"],
        "max_tokens": [-1, 1.5, "x", 10**30, True],
        "temperature": [-0.01, 2.01, "x"],
        "top_p": [-0.01, 1.01],
        "stop": [5, [5], [""]],
        "seed": ["x", 2**64],
        "stream": ["x"],
        "stream_options": [{"include_usage": True}],
        "messages": [[HELLO]],
        "tools": [[]],
        "response_format": [{"type": "yaml"}],
        "structured_outputs": [{}],
    },
    "/v1/embeddings": {
        "input": [MISSING, None, 5, {}, [], [[]], True],
        "encoding_format": ["hex", 5],
        "dimensions": [0, -1, 10**6, "x"],
        "user": [5],
        "max_tokens": [5],
    },
    "/v1/responses": {
        "input": [MISSING, None, 5, {}, []],
        "instructions": [5, []],
        "max_output_tokens": [0, -1, 1.5, "x", 10**30],
        "temperature": [-0.01, 2.01, "x"],
        "top_p": [-0.01, 1.01],
        "top_logprobs": [-1, 21],
        "previous_response_id": ["resp_1"],
        "background": [True],
        "conversation": ["conv_1"],
        "truncation": ["sometimes"],
        "tools": [5, "x"],
        "tool_choice": ["required", "sometimes", 5],
        "text": [5, "x"],
        "reasoning": ["x"],
        "stream": ["x"],
        "messages": [[HELLO]],
        "n": [2],
    },
    "/v1/messages": {
        "messages": [MISSING, None, 5, {}, [], "hello"],
        "max_tokens": [MISSING, None, 0, -1, "x", 1.5, 10**30],
        "temperature": [-0.01, 1.01, "x"],
        "top_p": [-0.01, 1.01],
        "top_k": [-1, "x", 1.5],
        "system": [5, {}],
        "stop_sequences": [5, "x", [5], [""]],
        "stream": ["x", 1],
        "tools": [5, "x"],
        "tool_choice": ["any", 5, {}, {"type": "any"}, {"type": "tool", "name": "f"}],
        "thinking": [5, {}, {"type": "sometimes"}],
        "metadata": [5],
        "n": [2],
        "stop": ["x"],
    },
    "/v1/messages/count_tokens": {
        "messages": [MISSING, None, 5, []],
        "max_tokens": [5],
        "system": [5],
        "tools": ["x"],
    },
    "/tokenize": {
        "prompt": [MISSING, None, 5, ["a"]],
        "add_special_tokens": ["x", 5],
        "return_token_strs": ["x"],
    },
    "/detokenize": {
        "tokens": [MISSING, None, "x", 5, {}],
        "prompt": ["x"],
    },
}


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (path, field, value)
        for path, fields in FIELDS.items()
        for field, values in fields.items()
        for value in values
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, path: str, field: str, value: object) -> None:
    response = client.post(path, json=changed(BODIES[path], {field: value}))
    if response.status_code == 400 and isinstance(value, (list, dict)) and value:
        said = response.json()["error"]
        inner = said.get("param") or said["message"].split(":")[0]
        assert inner.startswith(field), said
        assert_refused(response, 400, inner)
    else:
        assert_refused(response, 400, field)


def items(*more: Any) -> list[Any]:
    return [{"type": "message", "role": "user", "content": "hello"}, *more]


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "5"}
SCHEMA = {"type": "json_schema", "name": "x", "schema": {"type": "nonsense"}}

BAD = {"type": "nonsense"}
MESSAGES = "/v1/messages"
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
DETAILS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": [VOCABULARY]}, "prompt"),
    ("/v1/completions", {"prompt": [5, -1]}, "prompt[1]"),
    ("/v1/completions", {"prompt": [5, 2**70]}, "prompt[1]"),
    ("/v1/completions", {"prompt": [5, 1.5]}, "prompt[1]"),
    ("/v1/completions", {"prompt": [5, None]}, "prompt[1]"),
    ("/v1/completions", {"prompt": [[5], [6, VOCABULARY]]}, "prompt"),
    ("/v1/completions", {"prompt": [[5], []]}, "prompt[1]"),
    ("/v1/completions", {"prompt": ["a", 5]}, "prompt[1]"),
    ("/v1/completions", {"prompt": [[5], "a"]}, "prompt[1]"),
    ("/v1/completions", {"prompt": ["a"] * 257}, "prompt"),
    ("/v1/completions", {"n": 3, "best_of": 2}, "best_of"),
    ("/v1/completions", {"best_of": 2, "stream": True}, "best_of"),
    ("/v1/completions", {"logit_bias": {str(VOCABULARY): 1}}, "logit_bias"),
    ("/v1/completions", {"stop_token_ids": [VOCABULARY]}, "stop_token_ids"),
    ("/v1/completions", {"structured_outputs": {"regex": "("}}, "structured_outputs"),
    ("/v1/embeddings", {"input": [VOCABULARY]}, "input"),
    ("/v1/embeddings", {"input": [5, -1]}, "input[1]"),
    ("/v1/embeddings", {"input": [[5], [VOCABULARY]]}, "input"),
    ("/v1/embeddings", {"input": ["a", 5]}, "input[1]"),
    ("/v1/embeddings", {"input": [[5], []]}, "input[1]"),
    ("/v1/embeddings", {"input": ["a"] * 257}, "input"),
    ("/v1/responses", {"input": [5]}, "input[0]"),
    ("/v1/responses", {"input": [{"type": "magic"}]}, "input[0]"),
    ("/v1/responses", {"input": items({"role": "narrator", "content": "x"})}, "input[1]"),
    ("/v1/responses", {"input": items({"role": "user", "content": 5})}, "input[1].content"),
    (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        "input[0].content[0]",
    ),
    (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]},
        "input[0].content[0]",
    ),
    ("/v1/responses", {"input": items(OUTPUT)}, "input[1].call_id"),
    ("/v1/responses", {"input": items(CALL)}, "input[1]"),
    ("/v1/responses", {"input": items(CALL, {**OUTPUT, "call_id": "d"})}, "input[2].call_id"),
    ("/v1/responses", {"text": {"format": {"type": "yaml"}}}, "text.format"),
    ("/v1/responses", {"text": {"format": SCHEMA}}, "text.format.schema"),
    ("/v1/responses", {"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
    ("/v1/responses", {"tools": [{"type": "web_search"}]}, "tools[0]"),
    ("/v1/responses", {"tools": [{"type": "function"}]}, "tools[0].name"),
    (
        "/v1/responses",
        {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}] * 2},
        "tools",
    ),
    (MESSAGES, {"messages": [ANSWER]}, "messages[0]"),
    (MESSAGES, {"messages": [ANSWER, HELLO]}, "messages[0]"),
    (MESSAGES, {"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
    (MESSAGES, {"messages": [HELLO, {"role": "tool", "content": "x"}]}, "messages[1].role"),
    (MESSAGES, {"messages": [{"role": "user"}]}, "messages[0].content"),
    (MESSAGES, {"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    (MESSAGES, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (MESSAGES, {"messages": [{**HELLO, "colour": 1}]}, "messages[0].colour"),
    (MESSAGES, {"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "image", "source": IMAGE}]}]},
        "messages[0].content[0]",
    ),
    (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "document", "source": IMAGE}]}]},
        "messages[0].content[0]",
    ),
    (MESSAGES, {"messages": [{"role": "user", "content": [RESULT]}]}, "messages[0].content[0]"),
    (
        MESSAGES,
        {"messages": [HELLO, {"role": "assistant", "content": [USE]}, HELLO]},
        "messages[1].content[0]",
    ),
    (
        MESSAGES,
        {
            "messages": [
                HELLO,
                {"role": "assistant", "content": [USE]},
                {"role": "user", "content": [{**RESULT, "tool_use_id": "other"}]},
            ]
        },
        "messages",
    ),
    (MESSAGES, {"messages": [HELLO, {"role": "user", "content": [USE]}]}, "messages[1].content[0]"),
    (MESSAGES, {"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    (MESSAGES, {"tools": [{**TOOL, "name": "a b"}]}, "tools[0].name"),
    (MESSAGES, {"tools": [TOOL, TOOL]}, "tools"),
    (MESSAGES, {"tools": [{**TOOL, "input_schema": BAD}]}, "tools[0].input_schema"),
    (MESSAGES, {"tools": [SEARCH]}, "tools[0]"),
    (MESSAGES, {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
    (MESSAGES, {"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice"),
    (MESSAGES, {"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice"),
    ("/tokenize", {"messages": [HELLO]}, "prompt"),
    ("/tokenize", {"prompt": MISSING, "messages": []}, "messages"),
    ("/tokenize", {"prompt": MISSING, "messages": [{"role": "x"}]}, "messages[0].role"),
    ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
    ("/detokenize", {"tokens": [5, VOCABULARY]}, "tokens"),
    ("/detokenize", {"tokens": [5, 1.5]}, "tokens[1]"),
    ("/detokenize", {"tokens": [5, 2**70]}, "tokens[1]"),
    ("/detokenize", {"tokens": [5, "a"]}, "tokens[1]"),
    ("/detokenize", {"tokens": [[5]]}, "tokens[0]"),
]  # fmt: skip


CALLED = {"structured_outputs": "pattern", "text.format.schema": "schema", "input": "prompt"}
"""What messages call a field, where they do not call it by its name."""


@pytest.mark.parametrize(("path", "change", "param"), DETAILS)
def test_wrong_details_and_contradictions_are_named(
    client: httpx.Client, path: str, change: dict[str, Any], param: str
) -> None:
    response = client.post(path, json=changed(BODIES[path], change))
    assert response.status_code == 400, response.text
    said = response.json()["error"]
    named = said.get("param") or said["message"].split(": ")[0].split(" ")[0]
    # A field of the culprit is as good; so is the whole of a union that nothing fits.
    assert named.startswith(param) or named == param.rsplit(".", 1)[0], said
    words = [CALLED.get(named), "call" if named.endswith("call_id") else None]
    word = next((word for word in words if word and word in said["message"]), None)
    assert_refused(response, 400, named, word=word)


OVERFLOWS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": TOO_LONG}, "prompt"),
    ("/v1/completions", {"prompt": [5] * 1024}, "prompt"),
    ("/v1/completions", {"prompt": ["a", TOO_LONG]}, "prompt"),
    ("/v1/completions", {"prompt": [5] * 1000, "max_tokens": 25}, "max_tokens"),
    ("/v1/completions", {"max_tokens": 1024}, "max_tokens"),
    ("/v1/embeddings", {"input": TOO_LONG}, "input"),
    ("/v1/embeddings", {"input": [5] * 1025}, "input"),
    ("/v1/responses", {"input": TOO_LONG}, "input"),
    ("/v1/responses", {"max_output_tokens": 1024}, "max_output_tokens"),
    (MESSAGES, {"messages": [{"role": "user", "content": TOO_LONG}]}, "messages"),
]


@pytest.mark.parametrize(("path", "change", "param"), OVERFLOWS)
def test_what_the_context_cannot_hold_is_refused(
    client: httpx.Client, path: str, change: dict[str, Any], param: str
) -> None:
    response = client.post(path, json=changed(BODIES[path], change))
    assert response.status_code == 400, response.text
    said = response.json()["error"]
    named = said.get("param", param)
    assert named.startswith(param), said
    word = param if param.startswith("max_") else None if param == "messages" else "prompt"
    message = assert_refused(response, 400, named, "context_length_exceeded", word)
    assert any(word in message.replace(",", "") for word in ("1024", "room for"))


def test_the_context_may_be_filled_to_the_last_token(client: httpx.Client) -> None:
    body = {"prompt": [5] * 1000, "max_tokens": 24, "ignore_eos": True}
    response = client.post("/v1/completions", json=changed(BODIES["/v1/completions"], body))
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["total_tokens"] == 1024


@pytest.mark.parametrize(
    "path", ["/v1/completions", "/v1/embeddings", "/v1/responses", "/tokenize"]
)
def test_lone_surrogates_are_refused(client: httpx.Client, path: str) -> None:
    whole = json.dumps(BODIES[path]).replace("hello", "a\\ud800b").encode()
    response = client.post(path, content=whole, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("text", ["", "\x00", "\ufffe", "\U0010ffff", " ", "\n", "<|im_start|>"])
@pytest.mark.parametrize(
    "path", ["/v1/completions", "/v1/embeddings", "/v1/responses", "/tokenize"]
)
def test_strange_texts_are_answered_or_refused(client: httpx.Client, path: str, text: str) -> None:
    """Anything but an error of ours; an empty text may have no token to begin with."""
    field = "prompt" if path in {"/v1/completions", "/tokenize"} else "input"
    response = client.post(path, json={**BODIES[path], field: text})
    assert response.status_code in ({200, 400} if not text else {200}), response.text
    if response.status_code == 400:
        assert_refused(response, 400, field, word="prompt")
