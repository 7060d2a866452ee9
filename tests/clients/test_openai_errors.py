"""Errors, as the exception classes of OpenAI's client show them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import KEY
from tests.clients.subjects import MODEL, WHO, user
from tests.serving import Served

openai = pytest.importorskip("openai", reason="needs the openai package")


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"top_p": 2}, "top_p", "invalid_value"),
        ({"n": 1000}, "n", None),
        ({"extra_body": {"unheard_of": 1}}, "unheard_of", "unknown_parameter"),
        ({"messages": [user(WHO * 1024)]}, "messages", "context_length_exceeded"),
        ({"response_format": {"type": "yaml"}}, "response_format", "invalid_value"),
        ({"stop": ["a"] * 100}, "stop", None),
        ({"top_logprobs": 3}, "top_logprobs", None),
    ],
)
def test_a_bad_request_names_its_field(
    client: Any, change: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": [user(WHO)], **change})
    error = caught.value
    assert error.status_code == 400
    assert error.type == "invalid_request_error"
    assert error.param == param
    assert error.request_id
    if code is not None:
        assert error.code == code


def test_a_stream_is_refused_before_it_begins(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=[user(WHO)], stream=True, temperature=9
        )
    assert caught.value.param == "temperature"


def test_images_are_said_to_be_unsupported(client: Any) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(openai.BadRequestError, match="not supported") as caught:
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": [picture]}]
        )
    assert caught.value.param == "messages[0].content[0]"


def test_an_unknown_model(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="unheard-of", messages=[user(WHO)])
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "unheard-of" in caught.value.message


def test_a_schema_that_cannot_be_held_to_names_the_keyword(client: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    with pytest.raises(openai.BadRequestError, match=r"'not'.*properties/a") as caught:
        client.chat.completions.create(
            model=MODEL,
            messages=[user(WHO)],
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
    assert (caught.value.param or "").startswith("response_format")


@pytest.mark.parametrize("key", ["none", KEY[:-1], KEY + "1"])
def test_a_wrong_key(locked: Served, key: str) -> None:
    with (
        openai.OpenAI(base_url=f"{locked.url}/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert KEY not in str(caught.value)


def test_the_right_key(locked: Served) -> None:
    with openai.OpenAI(base_url=f"{locked.url}/v1", api_key=KEY) as client:
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.completions.create(model=MODEL, prompt="1 +", max_tokens=1).choices


def test_nobody_there() -> None:
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.models.list()
