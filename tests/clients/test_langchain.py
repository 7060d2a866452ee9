"""LangChain's classes for OpenAI, pointed at the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

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
langchain = pytest.importorskip("langchain_openai", reason="needs the langchain-openai package")

TOOLS = [{"type": "function", "function": ADD}, {"type": "function", "function": PAINT}]


@pytest.fixture
def to_us(served: Served) -> Iterator[dict[str, Any]]:
    """The arguments that every class needs; connections of its own, which end with the test."""
    with openai.DefaultHttpxClient() as http:
        yield {
            "model": MODEL,
            "base_url": f"{served.url}/v1",
            "api_key": "none",
            "max_retries": 0,
            "http_client": http,
        }


@pytest.fixture
def chat(to_us: dict[str, Any]) -> Any:
    return langchain.ChatOpenAI(stream_usage=True, **to_us)


def test_an_answer_and_its_stream(chat: Any) -> None:
    text = problem()
    whole = chat.invoke(text)
    assert whole.content
    assert whole.response_metadata["finish_reason"] == "stop"
    usage = whole.usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    chunks = list(chat.stream(text))
    assert "".join(chunk.content for chunk in chunks) == whole.content
    assert [c.usage_metadata for c in chunks if c.usage_metadata][-1]["output_tokens"] == (
        usage["output_tokens"]
    )


def test_the_asynchronous_side(chat: Any, to_us: dict[str, Any]) -> None:
    text = problem()

    async def both() -> tuple[str, str]:
        async with openai.DefaultAsyncHttpxClient() as http:
            achat = langchain.ChatOpenAI(http_async_client=http, **to_us)
            whole = await achat.ainvoke(text)
            return whole.content, "".join([chunk.content async for chunk in achat.astream(text)])

    whole, streamed = asyncio.run(both())
    assert whole == streamed == chat.invoke(text).content


def test_a_batch_is_its_parts(chat: Any) -> None:
    texts = [problem() for _ in range(5)]
    assert [m.content for m in chat.batch(texts)] == [chat.invoke(t).content for t in texts]


def test_messages_have_roles(chat: Any) -> None:
    found = chat.invoke([("system", "Be short."), ("human", WHO), ("ai", "I."), ("human", WHO)])
    assert found.usage_metadata["input_tokens"] > chat.invoke(WHO).usage_metadata["input_tokens"]


def test_parameters_reach_the_server(chat: Any) -> None:
    text = problem()
    drawn = chat.bind(seed=9, temperature=1.5, stop=["\n"], max_tokens=30, logprobs=True)
    first, again = drawn.invoke(text), drawn.invoke(text)
    assert first.content == again.content
    assert "\n" not in first.content
    assert first.response_metadata["logprobs"]["content"]


@pytest.mark.parametrize("choice", ["any", "paint"])
def test_tools(chat: Any, choice: str) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage

    asked = HumanMessage(problem())
    first = chat.bind_tools(TOOLS, tool_choice=choice).invoke([asked])
    assert first.tool_calls
    for call in first.tool_calls:
        check_call(call["name"], call["args"])
        assert choice in {"any", call["name"]}
    results = [ToolMessage("42", tool_call_id=call["id"]) for call in first.tool_calls]
    second = chat.bind_tools(TOOLS, tool_choice="none").invoke([asked, first, *results])
    assert second.content


def test_a_streamed_call_is_the_same(chat: Any) -> None:
    bound = chat.bind_tools([AddNumbers], tool_choice="any")
    text = problem()
    first, *rest = bound.stream(text)
    joined = sum(rest, first)
    whole = bound.invoke(text).tool_calls
    assert [(c["name"], c["args"]) for c in joined.tool_calls] == [
        (c["name"], c["args"]) for c in whole
    ]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat: Any, method: str) -> None:
    assert isinstance(chat.with_structured_output(Bus, method=method).invoke(problem()), Bus)


def test_structured_output_as_a_dictionary(chat: Any) -> None:
    schema = {"title": "Bus", "description": "A bus.", **Bus.model_json_schema()}
    found = chat.with_structured_output(schema, method="json_schema").invoke(problem())
    Bus.model_validate(found)


def test_any_object(chat: Any, served: Served) -> None:
    # A model that was never taught to write JSON may never end an object by itself.
    (end,) = served.post("/tokenize", {"prompt": "}"}).json()["tokens"]
    ending = chat.bind(
        response_format={"type": "json_object"}, max_tokens=100, logit_bias={str(end): 100}
    )
    assert json.loads(ending.invoke("Say something as JSON.").content) == {}


def test_embeddings(to_us: dict[str, Any]) -> None:
    # Its own tokenizer is of other models: texts are to go as they are.
    embeddings = langchain.OpenAIEmbeddings(check_embedding_ctx_length=False, **to_us)
    texts = [problem(), WHO]
    rows = embeddings.embed_documents(texts)
    assert len(rows) == 2
    assert embeddings.embed_query(WHO) == rows[1]


def test_plain_texts(to_us: dict[str, Any]) -> None:
    model = langchain.OpenAI(max_tokens=8, temperature=0, **to_us)
    whole = model.invoke("1 + 1")
    assert whole
    assert whole == "".join(model.stream("1 + 1"))


def test_responses(chat: Any, to_us: dict[str, Any]) -> None:
    newer = langchain.ChatOpenAI(use_responses_api=True, **to_us)
    text = problem()
    whole = newer.invoke(text)
    assert whole.text == chat.invoke(text).text
    assert "".join(chunk.text for chunk in newer.stream(text)) == whole.text


def test_an_unknown_model(to_us: dict[str, Any]) -> None:
    chat = langchain.ChatOpenAI(**{**to_us, "model": "unheard-of"})
    with pytest.raises(openai.NotFoundError):
        chat.invoke([user(WHO)])
