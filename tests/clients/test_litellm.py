"""LiteLLM, which speaks with the server as with any of OpenAI's kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.subjects import ADD, MODEL, PAINT, WHO, Bus, check_call, problem, user
from tests.serving import Served

openai = pytest.importorskip("openai", reason="needs the openai package")
litellm = pytest.importorskip("litellm", reason="needs the litellm package")

# What pydantic says about its types, and how it looks into them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_:DeprecationWarning"),
]

NAME = f"openai/{MODEL}"
TOOLS = [{"type": "function", "function": ADD}, {"type": "function", "function": PAINT}]


@pytest.fixture
def to_us(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The arguments that every call needs; connections end with the test."""
    with openai.DefaultHttpxClient() as session:
        monkeypatch.setattr(litellm, "client_session", session)
        yield {"api_base": f"{served.url}/v1", "api_key": "none", "max_retries": 0}
        litellm.in_memory_llm_clients_cache.flush_cache()


def test_an_answer_and_its_stream(to_us: dict[str, Any]) -> None:
    messages = [user(problem())]
    whole = litellm.completion(model=NAME, messages=messages, **to_us)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens > whole.usage.completion_tokens > 0
    chunks = list(
        litellm.completion(
            model=NAME,
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            **to_us,
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_the_asynchronous_stream(to_us: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [user(problem())]

    async def ask() -> str:
        async with openai.DefaultAsyncHttpxClient() as session:
            monkeypatch.setattr(litellm, "aclient_session", session)
            stream = await litellm.acompletion(model=NAME, messages=messages, stream=True, **to_us)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    whole = litellm.completion(model=NAME, messages=messages, **to_us)
    assert asyncio.run(ask()) == whole.choices[0].message.content


def test_parameters_reach_the_server(to_us: dict[str, Any]) -> None:
    messages = [user(problem())]
    options: dict[str, Any] = {"seed": 3, "temperature": 1.5, "n": 2, "max_tokens": 20}
    first = litellm.completion(model=NAME, messages=messages, **options, **to_us)
    again = litellm.completion(model=NAME, messages=messages, **options, **to_us)
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(texts) == 2
    likeliest = litellm.completion(model=NAME, messages=messages, **to_us)
    by_top_k = litellm.completion(
        model=NAME, messages=messages, temperature=1.0, extra_body={"top_k": 1}, **to_us
    )
    assert by_top_k.choices[0].message.content == likeliest.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_tools(to_us: dict[str, Any], stream: bool) -> None:
    asked = [user(problem())]
    options: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "stream": stream}
    first = litellm.completion(model=NAME, messages=asked, **options, **to_us)
    if stream:
        first = litellm.stream_chunk_builder(list(first), messages=asked)
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    assert message.tool_calls
    for call in message.tool_calls:
        check_call(call.function.name, json.loads(call.function.arguments))
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "42"} for call in message.tool_calls
    ]
    second = litellm.completion(
        model=NAME, messages=[*asked, message, *results], tools=TOOLS, tool_choice="none", **to_us
    )
    assert second.choices[0].message.content


def test_structured_output(to_us: dict[str, Any]) -> None:
    found = litellm.completion(model=NAME, messages=[user(problem())], response_format=Bus, **to_us)
    Bus.model_validate_json(found.choices[0].message.content)


def test_embeddings(to_us: dict[str, Any]) -> None:
    texts = [problem(), WHO]
    found = litellm.embedding(model=NAME, input=texts, **to_us)
    assert [item["index"] for item in found.data] == [0, 1]
    again = litellm.embedding(model=NAME, input=[WHO], **to_us)
    assert again.data[0]["embedding"] == found.data[1]["embedding"]


def test_plain_texts(to_us: dict[str, Any]) -> None:
    found = litellm.text_completion(
        model=f"text-completion-openai/{MODEL}", prompt="1 + 1", max_tokens=5, **to_us
    )
    assert found.choices[0].text


def test_errors_have_its_classes(to_us: dict[str, Any]) -> None:
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/unheard-of", messages=[user(WHO)], **to_us)
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(model=NAME, messages=[user(WHO)], temperature=-1, **to_us)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(model=NAME, messages=[user(WHO * 1024)], **to_us)


def test_anthropics_interface_through_it(served: Served) -> None:
    connections = litellm.HTTPHandler()
    found = litellm.completion(
        model=f"anthropic/{MODEL}",
        api_base=served.url,
        api_key="none",
        client=connections,
        messages=[user(problem())],
        max_tokens=256,
    )
    connections.close()
    assert found.choices[0].message.content
    assert found.choices[0].finish_reason == "stop"
