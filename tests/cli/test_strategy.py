"""foreknown run --strategy, on the bundled model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Foreknown = Callable[..., Any]
QUESTION = "A bus carries 15 people. 9 get on and 12 get off. How many people are on the bus now?"


@pytest.fixture
def ask(foreknown: Foreknown, bundled_artifact: Path) -> Callable[..., dict[str, Any]]:
    """The record of `run --strategy TEXT --json --trace`."""

    def run(strategy: str, *words: object) -> dict[str, Any]:
        common = ("--prompt", QUESTION, "--max-tokens", 96, "--json", "--trace")
        ran = foreknown("run", bundled_artifact, "--strategy", strategy, *common, *words)
        assert ran.status == 0, ran.err
        record: dict[str, Any] = json.loads(ran.out)
        return record

    return run


def test_the_record_has_what_is_documented(ask: Callable[..., dict[str, Any]]) -> None:
    record = ask("vote(4)")
    assert list(record) == ["text", "strategy", "forecast", "actual", "trace", "timeline"]
    assert record["strategy"]["asked"] == "vote(4)"
    assert record["strategy"]["fits"] is True
    assert record["strategy"]["whole"] is True
    assert (
        set(record["forecast"]) == set(record["actual"]) == {"total_ms", "tokens", "joules", "usd"}
    )
    assert record["actual"]["tokens"] <= record["forecast"]["tokens"] == 4 * 96
    assert sum(vote["votes"] for vote in record["trace"]["votes"]) == 4
    drafts = [part["drafts"][0] for part in record["trace"]["parts"]]
    assert record["text"] == drafts[record["trace"]["chosen"]]["text"]
    assert sum(draft["tokens"] for draft in drafts) == record["actual"]["tokens"]


@pytest.mark.parametrize(
    "strategy",
    ["direct", "vote(3)", "best_of(3)", "best_of(2, by=judge)", "reflect(vote(2), rounds=1)"],
)
def test_the_same_seed_gives_the_same_tree(
    ask: Callable[..., dict[str, Any]], strategy: str
) -> None:
    first, again = ask(strategy, "--seed", 3), ask(strategy, "--seed", 3)
    assert first["trace"] == again["trace"]
    assert first["text"] == again["text"]


def test_no_strategy_at_all_is_what_run_gives(
    foreknown: Foreknown, bundled_artifact: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    plain = foreknown("run", bundled_artifact, "--prompt", QUESTION, "--json", "--max-tokens", 96)
    assert ask("direct")["text"] == json.loads(plain.out)["text"]


def test_a_verifier_counts_the_equations(ask: Callable[..., dict[str, Any]]) -> None:
    record = ask("best_of(4, by=verifier)", "--verifier", "arithmetic")
    assert max(record["trace"]["scores"]) == record["trace"]["scores"][record["trace"]["chosen"]]


def test_less_is_done_where_the_budget_is_small(ask: Callable[..., dict[str, Any]]) -> None:
    record = ask("vote(64)", "--budget-tokens", 500)
    assert record["strategy"]["done"] != record["strategy"]["asked"]
    assert record["forecast"]["tokens"] <= 500
    assert record["actual"]["tokens"] <= 500
    assert record["strategy"]["fits"] is True


def test_whatever_came_is_given_when_the_time_is_over(ask: Callable[..., dict[str, Any]]) -> None:
    record = ask("reflect(vote(16), rounds=8)", "--deadline-ms", 60)
    assert record["actual"]["total_ms"] < 5000, "a busy machine is late, but not for ever"
    assert isinstance(record["text"], str)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "think(3)"), "no strategy 'think'"),
        (("--strategy", "vote(8"), "expected"),
        (("--strategy", "vote(0)"), "n"),
        (("--strategy", "verify_and_retry"), "needs a verifier"),
        (("--strategy", "vote", "--verifier", "luck"), "no verifier"),
        (("--strategy", "vote", "--templates", "/nowhere.toml"), "templates"),
        (("--strategy", "vote", "--deadline-ms", "-5"), "deadline_ms"),
        (("--strategy", "vote", "--budget-usd", "nan"), "max_usd"),
    ],
)
def test_nonsense_is_refused(
    refused: Callable[..., str], bundled_artifact: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in refused("run", bundled_artifact, "--prompt", QUESTION, *words)
