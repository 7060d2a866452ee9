"""Anthropic's own client for Python: messages, streams, tools, counting, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import KEY
from tests.clients.subjects import (
    ADD,
    MODEL,
    PAINT,
    WHO,
    Bus,
    check_call,
    problem,
    until_idle,
    user,
)
from tests.serving import Served

anthropic = pytest.importorskip("anthropic", reason="needs the anthropic package")

TOOLS = [
    {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
    for tool in (ADD, PAINT)
]
FLAGS = {"type": "array", "items": {"type": "boolean"}, "minItems": 400, "maxItems": 400}
ENDLESS: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 900,
    "messages": [user(WHO)],
    "output_config": {"format": {"type": "json_schema", "schema": FLAGS}},
}
"""An answer that nobody waits for."""

ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 256}


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0) as client:
        yield client


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_is_answered_as_in_chat(served: Served, client: Any) -> None:
    messages = [user(problem())]
    found = client.messages.create(**ASK, messages=messages)
    assert (found.type, found.role, found.model) == ("message", "assistant", MODEL)
    assert found.stop_reason == "end_turn"
    assert found.stop_sequence is None
    assert [block.type for block in found.content] == ["text"]
    chat = served.post(
        "/v1/chat/completions", {"model": MODEL, "max_tokens": 256, "messages": messages}
    ).json()
    assert text_of(found) == chat["choices"][0]["message"]["content"]
    assert found.usage.output_tokens == chat["usage"]["completion_tokens"]
    assert found._request_id, "the SDK shows the id of the request"


def test_a_stream_is_the_same_answer_in_pieces(client: Any) -> None:
    messages = [user(problem())]
    whole = client.messages.create(**ASK, messages=messages)
    with client.messages.stream(**ASK, messages=messages) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == text_of(whole) == text_of(final)
    assert len(pieces) > 3, "pieces come as they are made"
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_events_of_a_stream(client: Any) -> None:
    events = list(client.messages.create(**ASK, messages=[user(WHO)], stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert events[0].message.content == []
    assert events[0].message.usage.input_tokens > 0
    assert events[-2].delta.stop_reason == "end_turn"


def test_the_asynchronous_client(served: Served, client: Any) -> None:
    messages = [user(problem())]

    async def both() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=served.url, api_key="none") as aclient:
            whole = await aclient.messages.create(**ASK, messages=messages)
            async with aclient.messages.stream(**ASK, messages=messages) as stream:
                return text_of(whole), "".join([text async for text in stream.text_stream])

    whole, streamed = asyncio.run(both())
    assert whole == streamed == text_of(client.messages.create(**ASK, messages=messages))


@pytest.mark.parametrize("as_blocks", [False, True])
def test_a_system_text_stands_before_the_messages(
    served: Served, client: Any, as_blocks: bool
) -> None:
    text = problem()
    system: Any = "Be short."
    if as_blocks:
        cached = {"type": "ephemeral"}
        system = [{"type": "text", "text": "Be short.", "cache_control": cached}]
    content = [{"type": "text", "text": text}] if as_blocks else text
    turns = [user(WHO), {"role": "assistant", "content": "A model."}]
    found = client.messages.create(
        **ASK, system=system, messages=[*turns, {"role": "user", "content": content}]
    )
    messages = [{"role": "system", "content": "Be short."}, *turns, user(text)]
    chat = served.post("/v1/chat/completions", {"model": MODEL, "messages": messages}).json()
    assert text_of(found) == chat["choices"][0]["message"]["content"]
    assert (
        found.usage.input_tokens + (found.usage.cache_read_input_tokens or 0)
        == (chat["usage"]["prompt_tokens"])
    )


def test_a_stop_sequence_is_named(client: Any) -> None:
    messages = [user(problem())]
    plain = text_of(client.messages.create(**ASK, messages=messages))
    stop = plain[len(plain) // 2 :][:5]
    found = client.messages.create(
        **ASK, messages=messages, stop_sequences=["never in any answer", stop]
    )
    assert found.stop_reason == "stop_sequence"
    assert found.stop_sequence == stop
    assert text_of(found) == plain[: plain.index(stop)]
    with client.messages.stream(**ASK, messages=messages, stop_sequences=[stop]) as stream:
        streamed = stream.get_final_message()
    assert (streamed.stop_reason, streamed.stop_sequence) == ("stop_sequence", stop)
    assert text_of(streamed) == text_of(found)


def test_an_answer_has_no_more_tokens_than_asked(client: Any) -> None:
    found = client.messages.create(model=MODEL, max_tokens=3, messages=[user(problem())])
    assert found.stop_reason == "max_tokens"
    assert found.usage.output_tokens == 3


def test_sampling(client: Any) -> None:
    messages = [user(problem())]
    plain = client.messages.create(**ASK, messages=messages)
    # Temperature and the like left the SDK's arguments; the interface has them still.
    sampled = {"temperature": 1.0, "top_k": 1, "top_p": 0.9}
    likeliest = client.messages.create(**ASK, messages=messages, extra_body=sampled)
    assert text_of(likeliest) == text_of(plain)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "any"}, {"add", "paint"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"add", "paint"}),
        ({"type": "tool", "name": "paint"}, {"paint"}),
    ],
)
def test_a_tool_is_used_and_its_result_sent_back(
    client: Any, choice: dict[str, Any], names: set[str]
) -> None:
    asked = [user(problem())]
    first = client.messages.create(**ASK, messages=asked, tools=TOOLS, tool_choice=choice)
    assert first.stop_reason == "tool_use"
    uses = [block for block in first.content if block.type == "tool_use"]
    assert uses
    for use in uses:
        assert use.id
        assert use.name in names
        check_call(use.name, use.input)
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "42"} for use in uses]
    second = client.messages.create(
        **ASK,
        messages=[
            *asked,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [*results, {"type": "text", "text": "Go on."}]},
        ],
        tools=TOOLS,
        tool_choice={"type": "none"},
    )
    assert text_of(second)
    assert {block.type for block in second.content} == {"text"}


def test_a_streamed_tool_use_is_the_same(client: Any) -> None:
    options: dict[str, Any] = {**ASK, "messages": [user(problem())], "tools": TOOLS}
    options["tool_choice"] = {"type": "any"}
    whole = [b for b in client.messages.create(**options).content if b.type == "tool_use"]
    parts = []
    with client.messages.stream(**options) as stream:
        for event in stream:
            if event.type == "input_json":
                parts.append(event.partial_json)
        final = stream.get_final_message()
    uses = [block for block in final.content if block.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [(use.name, use.input) for use in whole]
    assert final.stop_reason == "tool_use"
    if len(uses) == 1:
        assert json.loads("".join(parts)) == uses[0].input


def test_structured_output(client: Any) -> None:
    ask = {**ASK, "max_tokens": 800}
    found = client.messages.parse(**ask, messages=[user(problem())], output_format=Bus)
    assert isinstance(found.parsed_output, Bus)


def test_counting_tokens_says_what_an_answer_will_say(client: Any) -> None:
    text = problem()
    for more in ({}, {"system": "Be short."}, {"tools": TOOLS}):
        counted = client.messages.count_tokens(model=MODEL, messages=[user(text)], **more)
        answered = client.messages.create(**ASK, messages=[user(text)], **more)
        usage = answered.usage
        assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"extra_body": {"temperature": -1}}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"unheard_of": 1}}, "unheard_of"),
        ({"messages": [user(WHO * 1024)]}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages"),
    ],
)
def test_a_bad_request_names_its_field(client: Any, change: dict[str, Any], named: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=named) as caught:
        client.messages.create(**{**ASK, "messages": [user(WHO)], **change})
    body = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert caught.value.request_id


def test_an_unknown_model(client: Any) -> None:
    with pytest.raises(anthropic.NotFoundError, match="unheard-of") as caught:
        client.messages.create(**{**ASK, "model": "unheard-of"}, messages=[user(WHO)])
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_keys(locked: Served) -> None:
    options: dict[str, Any] = {"base_url": locked.url, "max_retries": 0}
    with (
        anthropic.Anthropic(api_key="none", **options) as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.create(**ASK, messages=[user(WHO)])
    assert caught.value.body["error"]["type"] == "authentication_error"
    assert KEY not in str(caught.value)
    with anthropic.Anthropic(api_key=KEY, **options) as client:
        assert text_of(client.messages.create(**ASK, messages=[user(WHO)]))
    with anthropic.Anthropic(auth_token=KEY, **options) as client:
        assert text_of(client.messages.create(**ASK, messages=[user(WHO)]))


def test_a_stream_left_early_frees_the_engine(served: Served, client: Any) -> None:
    with client.messages.stream(**ENDLESS) as stream:
        next(iter(stream.text_stream))
    until_idle(served)


def test_a_client_without_patience_frees_the_engine(served: Served, client: Any) -> None:
    until_idle(served)
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.3).messages.create(**ENDLESS)
    until_idle(served)
