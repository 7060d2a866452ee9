"""Users of optillm keep their code: its approaches, in the body or before the model's name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.subjects import MODEL, problem, user
from tests.serving import Served

openai = pytest.importorskip("openai", reason="needs the openai package")

APPROACHES = ["bon", "cot_reflection", "majority_voting", "mcts", "self_consistency"]
FEW: dict[str, Any] = {"max_tokens": 6, "temperature": 0.2}


def told_of(completion: Any) -> dict[str, Any]:
    """What the answer tells beside OpenAI's fields."""
    found: dict[str, Any] = completion.foreknown
    return found


@pytest.mark.parametrize("approach", APPROACHES)
def test_an_approach_in_the_body_and_before_the_name_is_the_same(
    client: Any, approach: str
) -> None:
    messages = [user(problem())]
    in_body = client.chat.completions.create(
        model=MODEL, messages=messages, extra_body={"optillm_approach": approach}, **FEW
    )
    before_name = client.chat.completions.create(
        model=f"{approach}-{MODEL}", messages=messages, **FEW
    )
    assert in_body.choices[0].message.content == before_name.choices[0].message.content
    for completion in (in_body, before_name):
        assert completion.choices[0].message.role == "assistant"
        assert completion.choices[0].finish_reason in {"stop", "length"}
        assert completion.usage.completion_tokens == told_of(completion)["actual"]["tokens"]
    assert told_of(in_body)["strategy"]["done"] == told_of(before_name)["strategy"]["done"]


def test_several_drafts_are_counted(client: Any) -> None:
    messages = [user(problem())]
    alone = client.chat.completions.create(model=MODEL, messages=messages, **FEW)
    voted = client.chat.completions.create(
        model=MODEL, messages=messages, extra_body={"optillm_approach": "self_consistency"}, **FEW
    )
    assert voted.usage.completion_tokens > alone.usage.completion_tokens
    assert voted.usage.total_tokens == voted.usage.prompt_tokens + voted.usage.completion_tokens


def test_none_is_the_model_itself(client: Any) -> None:
    messages = [user(problem())]
    plain = client.chat.completions.create(model=MODEL, messages=messages, **FEW)
    none = client.chat.completions.create(
        model=MODEL, messages=messages, extra_body={"optillm_approach": "none"}, **FEW
    )
    assert none.choices[0].message.content == plain.choices[0].message.content
    assert none.usage.completion_tokens == plain.usage.completion_tokens


def test_a_stream_is_the_same_answer(client: Any) -> None:
    asked: dict[str, Any] = {
        "model": f"self_consistency-{MODEL}",
        "messages": [user("You are terse."), user(problem())],
        **FEW,
    }
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_the_asynchronous_client(served: Served, client: Any) -> None:
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": [user(problem())],
        "extra_body": {"optillm_approach": "majority_voting"},
        **FEW,
    }

    async def several() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as aclient:
            return await asyncio.gather(
                *(aclient.chat.completions.create(**asked) for _ in range(3))
            )

    alone = client.chat.completions.create(**asked).choices[0].message.content
    assert [found.choices[0].message.content for found in asyncio.run(several())] == [alone] * 3


ELSEWHERE = ["moa", "z3", "plansearch", "bon&moa", "bon|moa", "bon|mcts", "leap&re2"]


@pytest.mark.parametrize("approach", ELSEWHERE)
@pytest.mark.parametrize("where", ["body", "name"])
def test_what_is_not_here_is_refused_with_what_is(client: Any, approach: str, where: str) -> None:
    said: dict[str, Any] = (
        {"model": MODEL, "extra_body": {"optillm_approach": approach}}
        if where == "body"
        else {"model": f"{approach}-{MODEL}"}
    )
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(messages=[user(problem())], **said, **FEW)
    assert caught.value.param == ("optillm_approach" if where == "body" else "model")
    for known in APPROACHES:
        assert known in caught.value.message


def test_an_approach_of_an_unknown_model(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(
            model="self_consistency-gpt-4o-mini", messages=[user(problem())], **FEW
        )
    assert caught.value.code == "model_not_found"
