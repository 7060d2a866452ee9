"""What auto chooses, by what was measured; and the file that it stands in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foreknown.errors import RequestError
from foreknown.strategies.auto import Chosen, Limits, Way, chosen
from foreknown.strategies.cost import Cost
from foreknown.strategies.profile import (
    Entry,
    Profile,
    profile_path,
    read_profile,
    write_profile,
)
from tests.strategies.scripted import problem

SECONDS = {"direct": 0.1, "vote(8)": 0.5, "vote(16)": 0.9, "search": 2.0}


def entry(strategy: str, right: int, task: str = "sums", **more: object) -> Entry:
    usual = Entry(
        task, strategy, "", False, 0.7, 64, None, None, 100, right, 0.1, 0.9, 0.5, 99.0, 1, ""
    )
    return replace(usual, **more)  # type: ignore[arg-type]


def greedy(right: int, task: str = "sums") -> Entry:
    return entry("direct", right, task, is_baseline=True, temperature=0.0)


def profile(*entries: Entry) -> Profile:
    return Profile("f00d").with_entries(entries)


def cost_of(way: Way) -> Cost:
    seconds = SECONDS[way.entry.strategy]
    return Cost((seconds,), round(1000 * seconds))


def pick(
    measured: Profile,
    seconds: float = math.inf,
    tokens: float = math.inf,
    cost_of: Callable[[Way], Cost] = cost_of,
    **more: str,
) -> Chosen:
    return chosen(measured, Limits(seconds, tokens), cost_of, **more)  # type: ignore[arg-type]


def name(choice: Chosen) -> str:
    return choice.way.entry.strategy


MEASURED = profile(
    greedy(60), entry("vote(8)", 70), entry("vote(16)", 70), entry("search", 90, verifier="schema")
)


@pytest.mark.parametrize(
    ("seconds", "tokens", "strategy"),
    [
        (math.inf, math.inf, "vote(8)"),  # as good as vote(16), and takes less
        (0.5, math.inf, "vote(8)"),
        (0.49, math.inf, "direct"),
        (9, 400, "direct"),
        (9, 500, "vote(8)"),
        (0.01, math.inf, "direct"),  # nothing fits
    ],
)
def test_the_best_that_fits(seconds: float, tokens: float, strategy: str) -> None:
    assert name(pick(MEASURED, seconds, tokens)) == strategy


def test_a_verifier_that_is_not_at_hand() -> None:
    assert name(pick(MEASURED, verifier="schema")) == "search"
    assert name(pick(MEASURED, verifier="arithmetic")) == "vote(8)"


def test_it_says_why() -> None:
    why = pick(MEASURED, 0.6).why
    assert "vote(8): right in 70.0 % (10.0 to 90.0) of 100 of sums" in why
    assert "the best of 2 that surely fit, of 3 measured" in why
    assert "500 ms and 500 tokens at most" in why
    assert "none of 3 surely fits" in pick(MEASURED, 0.01).why


def test_of_several_tasks_the_mean_counts_or_the_one_that_is_named() -> None:
    both = profile(
        greedy(60),
        greedy(20, "stories"),
        entry("vote(8)", 50),
        entry("vote(8)", 60, "stories"),
        entry("vote(16)", 64),  # not measured on stories: counts as a greedy draft there
    )
    assert name(pick(both)) == "vote(8)"
    assert pick(both).way.accuracy == pytest.approx(0.55)
    assert "of 2 tasks, in the mean" in pick(both).why
    assert name(pick(both, task="sums")) == "vote(16)"
    assert name(pick(both, task="stories")) == "vote(8)"
    with pytest.raises(RequestError, match="nothing was measured on the task 'chess'") as error:
        pick(both, task="chess")
    assert "sums" in error.value.remedy


def test_what_was_measured_within_a_deadline_fits_a_longer_one() -> None:
    measured = profile(greedy(60), entry("search", 80, deadline_ms=700.0))
    assert name(pick(measured, 0.7)) == "search"
    assert name(pick(measured, 0.69)) == "direct"
    few = profile(greedy(60), entry("search", 80, budget_tokens=300))
    assert name(pick(few, 9, 300)) == "search"
    assert name(pick(few, 9, 299)) == "direct"
    assert name(pick(few, 1.9, 300)) == "direct", "its time is not known to fit"


def test_what_cannot_be_done_now_is_left_out() -> None:
    def refused(way: Way) -> Cost:
        if way.entry.strategy == "vote(8)":
            raise RequestError("running a model's code was not allowed")
        return cost_of(way)

    assert name(pick(MEASURED, cost_of=refused)) == "vote(16)"
    with pytest.raises(RequestError, match="can be done with the verifier"):
        pick(profile(entry("search", 90, verifier="schema")))


def test_drafts_are_as_they_were_measured() -> None:
    way = pick(MEASURED).way
    asked = problem(max_tokens=500, temperature=0.0)
    assert way.applied(asked, None).params.max_tokens == 64
    assert way.applied(asked, 20).params.max_tokens == 20
    assert way.applied(asked, 100).params.max_tokens == 64
    assert way.applied(asked, None).params.temperature == 0.7
    assert way.applied(asked, None).params.seed == asked.params.seed


# The file


def test_what_was_measured_again_is_replaced() -> None:
    again = MEASURED.with_entries([entry("vote(8)", 10, seed=9, n=50), entry("vote(8)", 20, "x")])
    assert len(again.entries) == 5
    assert name(pick(again, task="sums")) == "vote(16)"


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profile.json"
    write_profile(MEASURED, path)
    assert read_profile(path, "f00d") == MEASURED
    assert [file.name for file in path.parent.iterdir()] == ["profile.json"]


def test_it_is_kept_in_the_users_cache(own_cache: Path) -> None:
    write_profile(MEASURED, profile_path("f00d"))
    assert (own_cache / "evaluations" / "f00d.json").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be kept"):
        write_profile(MEASURED, tmp_path / "file" / "profile.json")


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nothing was measured of this model yet") as error:
        read_profile(tmp_path / "none.json", "f00d")
    assert "foreknown evaluate" in error.value.remedy


def test_it_is_of_another_model(tmp_path: Path) -> None:
    write_profile(MEASURED, tmp_path / "p.json")
    with pytest.raises(RequestError, match="of another model: f00d, this one is beef"):
        read_profile(tmp_path / "p.json", "beef")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: "",
        lambda raw: "[" * 100_000,
        lambda raw: json.dumps([raw]),
        lambda raw: json.dumps({**raw, "format": 2}),
        lambda raw: json.dumps({**raw, "entries": None}),
        lambda raw: json.dumps({**raw, "entries": [{}]}),
        lambda raw: json.dumps({**raw, "entries": [{**raw["entries"][0], "n": 0}]}),
        lambda raw: json.dumps({**raw, "entries": [{**raw["entries"][0], "right": 101}]}),
        lambda raw: json.dumps({**raw, "entries": [{**raw["entries"][0], "seconds": "soon"}]}),
        lambda raw: json.dumps({**raw, "entries": [{**raw["entries"][0], "n": None}]}),
        lambda raw: json.dumps({**raw, "entries": [{**raw["entries"][0], "n": 1e999}]}),
    ],
)
def test_it_is_damaged(tmp_path: Path, spoil: Callable[[dict[str, object]], str]) -> None:
    path = tmp_path / "p.json"
    write_profile(MEASURED, path)
    path.write_text(spoil(json.loads(path.read_text())))
    with pytest.raises(RequestError, match="cannot be read") as error:
        read_profile(path, "f00d")
    assert "delete the file" in error.value.remedy
