"""What bodies ask of answers."""

from __future__ import annotations

from typing import Any

import pytest

from foreknown.engine import Beams
from foreknown.server.api import chat, completions

HELLO = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("given", "expected"), [({}, 1.0), ({"length_penalty": 0.0}, 0.0), ({"length_penalty": -2}, -2)]
)
def test_a_length_penalty_is_passed_on_and_zero_is_one(
    given: dict[str, Any], expected: float
) -> None:
    body = {"model": "m", "n": 2, "beam_width": 3, **given}
    asked = chat.ChatRequest.model_validate({**body, "messages": [HELLO]})
    assert chat.wishes(asked, "").beams == Beams(3, expected, 2)
    continued = completions.CompletionRequest.model_validate({**body, "prompt": "a"})
    assert completions.wishes(continued, "").beams == Beams(3, expected, 2)
