"""OpenAI's client on its newer interface, responses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

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

openai = pytest.importorskip("openai", reason="needs the openai package")

TOOLS = [{"type": "function", **ADD}, {"type": "function", **PAINT}]


def test_an_answer_is_that_of_chat(client: Any) -> None:
    text = problem()
    found = client.responses.create(model=MODEL, input=text)
    assert found.status == "completed"
    assert found.object == "response"
    assert found.model == MODEL
    assert found.error is None
    assert found.incomplete_details is None
    chat = client.chat.completions.create(model=MODEL, messages=[user(text)])
    assert found.output_text == chat.choices[0].message.content
    assert found.usage.input_tokens == chat.usage.prompt_tokens
    assert found.usage.output_tokens == chat.usage.completion_tokens
    assert found.usage.total_tokens == chat.usage.total_tokens
    (item,) = found.output
    assert (item.type, item.role, item.status) == ("message", "assistant", "completed")
    assert item.content[0].type == "output_text"


def test_items_and_instructions_are_messages(client: Any) -> None:
    text = problem()
    found = client.responses.create(
        model=MODEL,
        instructions="Be short.",
        input=[
            user(WHO),
            {"role": "assistant", "content": "A model."},
            {"role": "user", "content": [{"type": "input_text", "text": text}]},
        ],
    )
    chat = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be short."},
            user(WHO),
            {"role": "assistant", "content": "A model."},
            user(text),
        ],
    )
    assert found.output_text == chat.choices[0].message.content


def test_a_conversation_is_carried_on_by_its_items(client: Any) -> None:
    first = client.responses.create(model=MODEL, input=WHO)
    items = [user(WHO), *first.output, user(problem())]
    second = client.responses.create(model=MODEL, input=items)
    assert second.status == "completed"
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens


def test_events_of_a_stream(client: Any) -> None:
    text = problem()
    whole = client.responses.create(model=MODEL, input=text)
    events = list(client.responses.create(model=MODEL, input=text, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    for kind in (
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ):
        assert kinds.count(kind) == 1, kind
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens == whole.usage.output_tokens
    assert len(deltas) > 3


def test_the_streaming_helper_assembles_the_answer(client: Any) -> None:
    with client.responses.stream(model=MODEL, input=problem()) as stream:
        deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert final.output_text == "".join(deltas)


def test_the_asynchronous_client(served: Served, client: Any) -> None:
    text = problem()

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as aclient:
            stream = await aclient.responses.create(model=MODEL, input=text, stream=True)
            return "".join(
                [e.delta async for e in stream if e.type == "response.output_text.delta"]
            )

    assert asyncio.run(ask()) == client.responses.create(model=MODEL, input=text).output_text


def test_an_answer_cut_off_is_incomplete(client: Any) -> None:
    options: dict[str, Any] = {"model": MODEL, "input": problem(), "max_output_tokens": 16}
    found = client.responses.create(**options)
    assert found.status == "incomplete"
    assert found.incomplete_details.reason == "max_output_tokens"
    assert found.usage.output_tokens == 16
    *_, last = client.responses.create(**options, stream=True)
    assert last.type == "response.incomplete"
    assert last.response.output_text == found.output_text


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "paint"}])
def test_a_call_and_its_result(client: Any, choice: Any) -> None:
    asked = [user(problem())]
    first = client.responses.create(model=MODEL, input=asked, tools=TOOLS, tool_choice=choice)
    calls = [item for item in first.output if item.type == "function_call"]
    assert calls
    for call in calls:
        check_call(call.name, json.loads(call.arguments))
        assert call.call_id
    if choice != "required":
        assert [call.name for call in calls] == ["paint"]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": '{"sum": 42}'}
        for call in calls
    ]
    second = client.responses.create(
        model=MODEL, input=[*asked, *first.output, *results], tools=TOOLS, tool_choice="none"
    )
    assert second.output_text
    without = client.responses.create(model=MODEL, input=asked, tools=TOOLS, tool_choice="none")
    assert second.usage.input_tokens > without.usage.input_tokens


def test_a_streamed_call(client: Any) -> None:
    events = list(
        client.responses.create(
            model=MODEL, input=problem(), tools=TOOLS, tool_choice="required", stream=True
        )
    )
    deltas: dict[str, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
    items = [item for item in events[-1].response.output if item.type == "function_call"]
    assert items
    assert deltas == {item.id: item.arguments for item in items}


def test_structured_output(client: Any) -> None:
    found = client.responses.parse(model=MODEL, input=problem(), text_format=Bus)
    assert isinstance(found.output_parsed, Bus)
    schema = Bus.model_json_schema()
    by_hand = client.responses.create(
        model=MODEL,
        input=problem(),
        text={"format": {"type": "json_schema", "name": "bus", "schema": schema}},
    )
    Bus.model_validate_json(by_hand.output_text)


def test_nothing_is_stored(client: Any) -> None:
    found = client.responses.create(model=MODEL, input=WHO, store=False)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, input=WHO, previous_response_id=found.id)
    assert caught.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(found.id)


def test_a_closed_stream_frees_the_engine(served: Served, client: Any) -> None:
    stream = client.responses.create(
        model=MODEL,
        input=WHO,
        stream=True,
        max_output_tokens=900,
        extra_body={"ignore_eos": True},
    )
    next(iter(stream))
    stream.close()
    until_idle(served)
