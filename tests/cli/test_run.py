"""foreknown run, on the bundled model."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreknown.machine import write_machine
from foreknown.report.host import estimated_host, host_threads, profile_path
from tests.machine.random_machines import random_machine

Foreknown = Callable[..., Any]


def ran_json(foreknown: Foreknown, *words: object) -> dict[str, Any]:
    ran = foreknown("run", *words, "--json")
    assert ran.status == 0, ran.err
    assert ran.err == ""
    record: dict[str, Any] = json.loads(ran.out)
    return record


def test_json_has_exactly_what_is_documented(foreknown: Foreknown, bundled_artifact: Path) -> None:
    record = ran_json(foreknown, bundled_artifact, "--prompt", "Who are you?", "--max-tokens", 8)
    assert list(record) == [
        "text",
        "token_ids",
        "logprobs",
        "prompt_tokens",
        "completion_tokens",
        "finish_reason",
        "timings",
        "forecast",
    ]
    assert isinstance(record["text"], str)
    assert record["completion_tokens"] == len(record["token_ids"]) == len(record["logprobs"]) == 8
    assert all(logprob <= 0 for logprob in record["logprobs"])
    assert record["prompt_tokens"] > 0
    assert record["finish_reason"] == "length"
    assert set(record["timings"]) == {"load_ms", "first_token_ms", "decode_tok_s", "total_ms"}
    assert all(value > 0 for value in record["timings"].values())


def test_text_comes_alone_on_standard_output(foreknown: Foreknown, bundled_artifact: Path) -> None:
    words = (bundled_artifact, "--prompt", "Who are you?", "--max-tokens", 8)
    ran = foreknown("run", *words)
    assert ran.status == 0
    assert ran.out == ran_json(foreknown, *words)["text"] + "\n"
    assert ran.err == ""


def test_stats_show_forecast_beside_measured(
    foreknown: Foreknown, bundled_artifact: Path, own_cache: Path
) -> None:
    words = ("run", bundled_artifact, "--prompt", "Hi", "--max-tokens", 4, "--stats")
    before = foreknown(*words)
    assert "foreknown calibrate" in before.err
    here = estimated_host(host_threads())
    measured = replace(random_machine(1, here.threads), name=here.name, features=here.features)
    write_machine(measured, profile_path(here.threads))
    after = foreknown(*words)
    assert after.status == 0
    assert "forecast" in after.err
    assert "first token" in after.err
    assert "foreknown calibrate" not in after.err
    record = ran_json(foreknown, bundled_artifact, "--prompt", "Hi", "--max-tokens", 4)
    assert set(record["forecast"]) == {
        "first_token_ms",
        "decode_tok_s",
        "total_ms",
        "interval",
        "memory_bytes",
        "joules",
        "usd",
        "bound_by",
        "basis",
    }


def test_a_prompt_is_a_turn_unless_raw(foreknown: Foreknown, bundled_artifact: Path) -> None:
    words = (bundled_artifact, "--prompt", "Who are you?", "--max-tokens", 1)
    turn = ran_json(foreknown, *words)["prompt_tokens"]
    assert turn > ran_json(foreknown, *words, "--raw")["prompt_tokens"]


def test_a_seed_repeats_and_threads_change_nothing(
    foreknown: Foreknown, bundled_artifact: Path
) -> None:
    words = (bundled_artifact, "--prompt", "Tell me", "--raw", "--max-tokens", 24, "--seed", 7)
    drawn = [
        ran_json(foreknown, *words, "--temperature", 1.5, "--threads", threads)
        for threads in (1, 2, 3)
    ]
    greedy = ran_json(foreknown, *words)
    assert drawn[0]["token_ids"] == drawn[1]["token_ids"] == drawn[2]["token_ids"]
    assert drawn[0]["logprobs"] == drawn[1]["logprobs"] == drawn[2]["logprobs"]
    assert greedy["token_ids"] != drawn[0]["token_ids"]


def test_stop_ends_the_text(foreknown: Foreknown, bundled_artifact: Path) -> None:
    words = (bundled_artifact, "--prompt", "Who are you?", "--max-tokens", 12)
    text = ran_json(foreknown, *words)["text"]
    word = text.split()[2]
    stopped = ran_json(foreknown, *words, "--stop", word)
    assert stopped["finish_reason"] == "stop"
    assert stopped["text"] == text[: text.index(word)]


def test_the_likeliest_tokens_at_each_place(foreknown: Foreknown, bundled_artifact: Path) -> None:
    words = (bundled_artifact, "--prompt", "Hi", "--max-tokens", 3, "--logprobs", 2)
    record = ran_json(foreknown, *words)
    assert len(record["top_logprobs"]) == 3
    for best, token, logprob in zip(
        record["top_logprobs"], record["token_ids"], record["logprobs"], strict=True
    ):
        assert len(best) == 2
        assert best[0] == {"token_id": token, "logprob": logprob}  # greedy takes the best


def test_the_prompt_may_come_on_standard_input(
    foreknown: Foreknown, bundled_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    words = ("--max-tokens", 4)
    typed = ran_json(foreknown, bundled_artifact, "--prompt", "Zwölf?", *words)
    given("Zwölf?".encode())
    assert ran_json(foreknown, bundled_artifact, "--prompt", "-", *words)["text"] == typed["text"]
    given(b"\xff\xfe")
    ran = foreknown("run", bundled_artifact, "--prompt", "-", *words)
    assert ran.status == 1
    assert "not UTF-8" in ran.err


def test_debug_shows_every_phase(
    foreknown: Foreknown, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREKNOWN_DEBUG", "2")
    ran = foreknown("run", tiny_artifact, "--prompt", "Hi", "--max-tokens", 4, "--ignore-eos")
    assert ran.status == 0
    assert "prefill: mean of 1 steps" in ran.err
    assert "decode: mean of 3 steps" in ran.err
    assert "GOP/s" in ran.err
    assert "attend" in ran.err


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--prompt", "word " * 2000), "prompt has"),
        (("--prompt", "Hi", "--max-tokens", 100_000), "max_tokens"),
        (("--prompt", "Hi", "--temperature", "-1"), "temperature"),
        (("--prompt", "Hi", "--top-p", 2), "top_p"),
        (("--prompt", "Hi", "--stop", ""), "stop"),
    ],
)
def test_a_request_that_cannot_be_served(
    refused: Callable[..., str], bundled_artifact: Path, words: tuple[object, ...], names: str
) -> None:
    assert names in refused("run", bundled_artifact, *words)
