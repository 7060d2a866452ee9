"""Anthropic's messages: what is particular to them."""

from __future__ import annotations

import pytest

from foreknown.engine import Request, SamplingParams
from foreknown.server.api.messages import _ending, _fitted
from tests.serving import Served

HELLO = {"role": "user", "content": "Who are you?"}


@pytest.mark.parametrize(
    ("n_prompt", "asked", "expected"), [(10, 20, 20), (10, 90, 90), (10, 91, 90), (99, 5, 1)]
)
def test_an_answer_is_fitted_into_the_room_there_is(
    n_prompt: int, asked: int, expected: int
) -> None:
    params = SamplingParams(max_tokens=asked, stop=("x",), logit_bias={3: 1.0}, seed=7)
    request, fitted = _fitted(Request([1] * n_prompt, params), 100)
    assert request.params.max_tokens == expected
    assert fitted == (expected < asked)
    assert (request.params.stop, request.params.seed) == (("x",), 7)
    assert dict(request.params.logit_bias) == {3: 1.0}


def test_a_prompt_without_room_is_left_for_the_engine_to_refuse() -> None:
    request = Request([1] * 100, SamplingParams(max_tokens=5))
    assert _fitted(request, 100) == (request, False)


def test_it_is_said_whether_the_caller_or_the_context_ended_it() -> None:
    assert _ending("length", None, False)["stop_reason"] == "max_tokens"
    assert _ending("length", None, True)["stop_reason"] == "model_context_window_exceeded"
    assert _ending("stop", 2, True) == {"stop_reason": "end_turn", "stop_sequence": None}
    assert _ending("stop", "x", True) == {"stop_reason": "stop_sequence", "stop_sequence": "x"}


def test_more_tokens_than_there_is_room_for_may_be_asked_for(served: Served) -> None:
    body = {"model": "bundled", "max_tokens": 10**6, "messages": [HELLO]}
    response = served.post("/v1/messages", body)
    assert response.status_code == 200, response.text
    assert response.json()["stop_reason"] == "end_turn"
