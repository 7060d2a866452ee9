"""OpenAI's client with tools and structured output, through its own helpers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest

from tests.clients.subjects import (
    ADD,
    MODEL,
    PAINT,
    WHO,
    AddNumbers,
    Bus,
    check_call,
    problem,
    user,
)
from tests.serving import Served

openai = pytest.importorskip("openai", reason="needs the openai package")

TOOLS = [{"type": "function", "function": ADD}, {"type": "function", "function": PAINT}]


def calls_of(message: Any) -> list[Any]:
    """The calls of a message, each checked against its tool."""
    assert message.tool_calls
    for call in message.tool_calls:
        assert call.id
        assert call.type == "function"
        check_call(call.function.name, json.loads(call.function.arguments))
    return list(message.tool_calls)


@pytest.mark.parametrize("parallel", [None, False])
def test_a_required_call(client: Any, parallel: bool | None) -> None:
    more = {} if parallel is None else {"parallel_tool_calls": parallel}
    found = client.chat.completions.create(
        model=MODEL, messages=[user(problem())], tools=TOOLS, tool_choice="required", **more
    )
    assert found.choices[0].finish_reason == "tool_calls"
    assert not found.choices[0].message.content
    calls = calls_of(found.choices[0].message)
    assert len({call.id for call in calls}) == len(calls)
    if parallel is False:
        assert len(calls) == 1


@pytest.mark.parametrize("name", ["add", "paint"])
def test_a_named_function_is_called(client: Any, name: str) -> None:
    found = client.chat.completions.create(
        model=MODEL,
        messages=[user(problem())],
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": name}},
    )
    (call,) = calls_of(found.choices[0].message)
    assert call.function.name == name
    # OpenAI's own server says "stop" here, others "tool_calls".
    assert found.choices[0].finish_reason in {"stop", "tool_calls"}


def test_a_result_is_sent_back(client: Any) -> None:
    asked = [user(problem())]
    first = client.chat.completions.create(
        model=MODEL, messages=asked, tools=TOOLS, tool_choice="required", seed=1
    )
    calls = calls_of(first.choices[0].message)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"sum": 42})}
        for call in calls
    ]
    messages = [*asked, first.choices[0].message, *results]
    second = client.chat.completions.create(
        model=MODEL, messages=messages, tools=TOOLS, tool_choice="none"
    )
    assert second.choices[0].message.content
    assert second.choices[0].message.tool_calls is None
    without = client.chat.completions.create(
        model=MODEL, messages=asked, tools=TOOLS, tool_choice="none"
    )
    assert second.usage.prompt_tokens > without.usage.prompt_tokens


def test_a_model_may_answer_instead(client: Any) -> None:
    found = client.chat.completions.create(model=MODEL, messages=[user(WHO)], tools=TOOLS)
    message = found.choices[0].message
    assert message.content or message.tool_calls


def test_a_streamed_call_is_the_same(client: Any) -> None:
    options: dict[str, Any] = {
        "model": MODEL,
        "messages": [user(problem())],
        "tools": TOOLS,
        "tool_choice": "required",
    }
    whole = calls_of(client.chat.completions.create(**options).choices[0].message)
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    ends = []
    for chunk in client.chat.completions.create(**options, stream=True):
        for choice in chunk.choices:
            ends += [choice.finish_reason] if choice.finish_reason else []
            for call in choice.delta.tool_calls or []:
                if call.id:
                    names[call.index] = call.function.name
                arguments.setdefault(call.index, "")
                arguments[call.index] += call.function.arguments or ""
    assert ends == ["tool_calls"]
    assert list(names.values()) == [call.function.name for call in whole]
    assert list(arguments.values()) == [call.function.arguments for call in whole]


def test_the_helper_parses_arguments(client: Any) -> None:
    found = client.chat.completions.parse(
        model=MODEL,
        messages=[user(problem())],
        tools=[openai.pydantic_function_tool(AddNumbers)],
        tool_choice="required",
    )
    for call in found.choices[0].message.tool_calls:
        assert isinstance(call.function.parsed_arguments, AddNumbers)


def test_the_helper_parses_an_object(client: Any) -> None:
    found = client.chat.completions.parse(
        model=MODEL, messages=[user(problem())], response_format=Bus
    )
    assert found.choices[0].finish_reason == "stop"
    assert isinstance(found.choices[0].message.parsed, Bus)


def test_the_streaming_helper_parses_an_object(client: Any) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=[user(problem())], response_format=Bus
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert isinstance(final.choices[0].message.parsed, Bus)


def test_the_asynchronous_helper_parses_an_object(served: Served) -> None:
    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
            return await client.chat.completions.parse(
                model=MODEL, messages=[user(problem())], response_format=Bus
            )

    assert isinstance(asyncio.run(ask()).choices[0].message.parsed, Bus)


def test_every_sample_holds_to_the_schema(client: Any) -> None:
    schema = Bus.model_json_schema()
    found = client.chat.completions.create(
        model=MODEL,
        messages=[user(problem())],
        n=4,
        temperature=1.5,
        response_format={"type": "json_schema", "json_schema": {"name": "bus", "schema": schema}},
    )
    for choice in found.choices:
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), schema)


def test_an_object_of_any_kind(client: Any) -> None:
    found = client.chat.completions.create(
        model=MODEL,
        messages=[user("Say something as JSON.")],
        max_completion_tokens=300,
        response_format={"type": "json_object"},
    )
    if found.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(found.choices[0].message.content), dict)
    assert found.choices[0].message.content.lstrip().startswith("{")


def test_an_object_cut_off_is_told(client: Any) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=MODEL,
            messages=[user(WHO)],
            response_format=Bus,
            max_completion_tokens=2,
        )
