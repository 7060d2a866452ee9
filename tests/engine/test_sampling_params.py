"""Every parameter out of its range is refused, and the message names field and range."""

from __future__ import annotations

import math
from typing import Any

import pytest

from foreknown.engine import SamplingParams
from foreknown.errors import RequestError

WRONG: list[tuple[str, Any, str]] = [
    ("max_tokens", 0, "at least 1"),
    ("max_tokens", 1.5, "whole number"),
    ("max_tokens", True, "whole number"),
    ("max_tokens", "9", "whole number"),
    ("temperature", -0.1, "from 0 to 100"),
    ("temperature", 101, "from 0 to 100"),
    ("temperature", math.nan, "from 0 to 100"),
    ("temperature", math.inf, "from 0 to 100"),
    ("temperature", "hot", "a number"),
    ("temperature", None, "a number"),
    ("temperature", True, "a number"),
    ("top_k", -1, "from 0"),
    ("top_k", 2**31, "from 0"),
    ("top_k", 0.5, "whole number"),
    ("top_p", -0.01, "from 0 to 1"),
    ("top_p", 1.01, "from 0 to 1"),
    ("min_p", -0.01, "from 0 to 1"),
    ("min_p", 1.01, "from 0 to 1"),
    ("repetition_penalty", 0, "from 0.01 to 100"),
    ("repetition_penalty", 101, "from 0.01 to 100"),
    ("presence_penalty", -101, "from -100 to 100"),
    ("presence_penalty", math.nan, "from -100 to 100"),
    ("frequency_penalty", 101, "from -100 to 100"),
    ("logit_bias", [1], "mapping"),
    ("logit_bias", {-1: 0.0}, "at least 0"),
    ("logit_bias", {"1": 0.0}, "whole number"),
    ("logit_bias", {1: 101}, "from -100 to 100"),
    ("logit_bias", {1: math.nan}, "from -100 to 100"),
    ("seed", 2**64, "from"),
    ("seed", -(2**63) - 1, "from"),
    ("seed", 1.0, "whole number"),
    ("stop", ("",), "at least one character"),
    ("stop", (1,), "at least one character"),
    ("stop", 1, "a text"),
    ("stop", ("a",) * 65, "up to 64"),
    ("stop_token_ids", (-1,), "at least 0"),
    ("stop_token_ids", ("a",), "whole number"),
    ("stop_token_ids", 5, "list of token ids"),
    ("ignore_eos", 1, "true or false"),
    ("min_tokens", -1, "at least 0"),
    ("logprobs", -1, "from 0 to 128"),
    ("logprobs", 129, "from 0 to 128"),
    ("logprobs", True, "whole number"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_wrong_value_is_named_with_its_range(name: str, value: Any, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(**{name: value})
    assert name in str(caught.value)
    assert expected in str(caught.value)


def test_min_tokens_above_max_tokens_is_refused() -> None:
    with pytest.raises(RequestError, match="min_tokens is 3, where at most max_tokens"):
        SamplingParams(max_tokens=2, min_tokens=3)


def test_a_message_does_not_repeat_a_huge_value() -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(stop=("x" * 100_000, ""))
    assert len(str(caught.value)) < 300


def test_limits_themselves_are_accepted() -> None:
    SamplingParams(
        max_tokens=1, temperature=0, top_k=2**31 - 1, top_p=0, min_p=1, repetition_penalty=0.01,
        presence_penalty=-100, frequency_penalty=100, logit_bias={0: -100}, seed=-(2**63),
        stop=("a",), stop_token_ids=(0,), ignore_eos=True, min_tokens=1, logprobs=128,
    )  # fmt: skip


def test_one_stop_text_may_stand_alone_and_lists_are_kept_from_change() -> None:
    stops = ["a", "b"]
    params = SamplingParams(stop=stops)  # type: ignore[arg-type]
    stops.append("c")
    assert params.stop == ("a", "b")
    assert SamplingParams(stop="ab").stop == ("ab",)  # type: ignore[arg-type]


def test_tokens_outside_the_vocabulary_are_refused() -> None:
    SamplingParams(logit_bias={9: 1}, stop_token_ids=(9,)).check_vocabulary(10)
    with pytest.raises(RequestError, match=r"logit_bias.10 is 10, .* from 0 to 9"):
        SamplingParams(logit_bias={10: 1}).check_vocabulary(10)
    with pytest.raises(RequestError, match=r"stop_token_ids\[0\] is 10, .* from 0 to 9"):
        SamplingParams(stop_token_ids=(10,)).check_vocabulary(10)
