"""foreknown evaluate and --strategy auto, on the bundled model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foreknown.evaluation.problems import KINDS, draw

Foreknown = Callable[..., Any]
MEASURED = ("seconds", "joules", "usd", "forecast", "late")


@pytest.fixture
def evaluate(foreknown: Foreknown, bundled_artifact: Path) -> Callable[..., Any]:
    """The record of `evaluate --json`, with few problems and short answers."""

    def run(*words: object, task: str = "arithmetic") -> Any:
        common = ("--problems", 6, "--timed", 2, "--max-tokens", 96, "--json")
        ran = foreknown("evaluate", bundled_artifact, "--task", task, *common, *words)
        assert ran.status == 0, ran.err
        return json.loads(ran.out)

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def unmeasured(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in MEASURED}


def test_the_record_and_the_lines(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    record = evaluate("--strategy", "vote(3)", "--jsonl", path, "--trace", "--seed", 4)
    assert list(record) == ["model", "fingerprint", "machine", "results"]
    baseline, vote = record["results"]
    assert (baseline["strategy"], baseline["baseline"]) == ("direct", True)
    assert (vote["strategy"], vote["baseline"], vote["n"]) == ("vote(3)", False, 6)
    assert vote["timed"] == 2
    assert vote["lost"] == 0
    answers = lines(path)
    assert len(answers) == 12
    assert sum(answer["right"] for answer in answers[6:]) == vote["right"]
    for index, answer in enumerate(answers[6:]):
        problem = draw(KINDS["arithmetic"], "test", 2026, index)
        assert answer["id"] == f"arithmetic-{index}"
        assert answer["answer"] == problem.answer
        assert answer["right"] == KINDS["arithmetic"].check(problem, answer["text"])
        assert sum(one["votes"] for one in answer["trace"]["votes"]) == 3
        assert (answer["seconds"] is not None) == (index < 2)


def test_the_same_seed_gives_the_same(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    found = []
    for name, words in (("a", ()), ("b", ("--threads", 1, "--timed", 6))):
        path = tmp_path / name
        given = ("--strategy", "search(2, width=2)", "--seed", 3, "--jsonl", path, "--trace")
        record = evaluate(*given, *words)
        results = [{**unmeasured(one), "timed": 0} for one in record["results"]]
        answers = [{**unmeasured(one), "forecast_seconds": 0} for one in lines(path)]
        found.append((results, answers))
    assert found[0] == found[1]


def test_what_the_time_cut_short_comes_again_by_its_reach(
    evaluate: Callable[..., Any], foreknown: Foreknown, bundled_artifact: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    strategy = "search(64, width=2, enough=1.0, by=logprob)"
    evaluate("--strategy", strategy, "--deadline-ms", 150, "--jsonl", path, "--problems", 3)
    for index, answer in enumerate(lines(path)[3:]):
        question = draw(KINDS["arithmetic"], "test", 2026, index).prompt[-1].text
        reach = () if answer["reach"] is None else ("--reach", answer["reach"])
        words = ("--prompt", question, "--strategy", answer["done"], "--max-tokens", 96, "--json")
        again = foreknown("run", bundled_artifact, *words, *reach)
        assert again.status == 0, again.err
        assert json.loads(again.out)["text"] == answer["text"]


def test_people_see_a_table(foreknown: Foreknown, bundled_artifact: Path, tmp_path: Path) -> None:
    words = ("--task", "sums", "--task", "about", "--problems", 2, "--strategy", "vote(2)")
    plot = tmp_path / "plot.svg"
    ran = foreknown("evaluate", bundled_artifact, *words, "--budget-tokens", 400, "--plot", plot)
    assert ran.status == 0, ran.err
    for text in ("sums: 2 problems", "about: 2 problems", "direct, greedy", "vote(2)", "400 tok"):
        assert text in ran.out
    drawn = plot.read_text("utf-8")
    for text in ("seconds an answer", "vote(2)", "sums", "about"):
        assert text in drawn


def test_a_sample_set_needs_no_model(foreknown: Foreknown, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    record = {"q": "2 + 2?", "gold": "4", "texts": ["5", "4", "4"], "stars": [1, 3, 2]}
    path.write_text(json.dumps(record))
    fields = ("--question-field", "q", "--answer-field", "gold", "--replies-field", "texts")
    words = ("--strategy", "best_of(3, by=verifier)", "--rewards-field", "stars", "--json")
    task = ("--task", f"samples:{path}")
    ran = foreknown("evaluate", "/nowhere", *task, *fields, *words)
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["model"] is None
    assert [one["accuracy"] for one in found["results"]] == [0, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "algebra"), "no task 'algebra'"),
        (("--task", "bbh:/nowhere.json"), "cannot be read"),
        (("--task", "sums", "--strategy", "think(3)"), "no strategy 'think'"),
        (("--task", "sums", "--strategy", "vote(8"), "expected"),
        (("--task", "about", "--strategy", "search"), "needs a verifier"),
        (("--task", "sums", "--task", "about", "--strategy", "search"), "needs a verifier"),
        (("--task", "sums", "--deadline-ms", "-1"), "deadline_ms"),
        (("--task", "sums", "--plot", "plot.pdf"), "svg"),
        (("--task", "sums", "--temperature", "-1"), "temperature"),
        (("--task", "sums", "--strategy", "auto"), "no strategy 'auto'"),
    ],
)
def test_nonsense_is_refused(
    refused: Callable[..., str], bundled_artifact: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in refused("evaluate", bundled_artifact, *words)


def test_a_budget_means_nothing_to_a_sample_set(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "2 + 2?", "answer": "4", "response": ["4"]}')
    assert "budget" in refused("evaluate", "--task", f"samples:{path}", "--deadline-ms", 5)


def test_two_files_of_one_name(refused: Callable[..., str], tmp_path: Path) -> None:
    words = []
    for name in ("a", "b"):
        path = tmp_path / name / "own.jsonl"
        path.parent.mkdir()
        path.write_text('{"question": "2 + 2?", "answer": "4"}')
        words += ["--task", path]
    assert "two tasks have the same name: own.jsonl, own.jsonl" in refused("evaluate", *words)


# Auto


QUESTION = "A bus carries 15 people. 9 get on and 12 get off. How many people are on the bus now?"


def test_auto_does_what_was_best(
    evaluate: Callable[..., Any], foreknown: Foreknown, bundled_artifact: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    evaluate("--strategy", "vote(2)", "--profile", profile)
    kept = json.loads(profile.read_text())
    for one in kept["entries"]:  # whatever six problems showed
        one["right"] = 6 if one["strategy"] == "vote(2)" else 1
    profile.write_text(json.dumps(kept))
    words = ("--prompt", QUESTION, "--strategy", "auto", "--profile", profile, "--json")
    ran = foreknown("run", bundled_artifact, *words)
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["strategy"]["done"] == "vote(2)"
    assert "auto: vote(2): right in 100.0 %" in ran.err
    ran = foreknown("run", bundled_artifact, *words, "--budget-tokens", 100)
    assert json.loads(ran.out)["strategy"]["asked"] == "direct"
    assert "auto: direct: right in 16.7 %" in ran.err


def test_auto_reads_what_was_kept_of_the_model(
    evaluate: Callable[..., Any], foreknown: Foreknown, bundled_artifact: Path, own_cache: Path
) -> None:
    record = evaluate(task="sums")
    assert (own_cache / "evaluations" / f"{record['fingerprint']}.json").exists()
    words = ("--prompt", QUESTION, "--strategy", "auto", "--task", "sums")
    ran = foreknown("run", bundled_artifact, *words)
    assert ran.status == 0, ran.err
    assert "of 6 of sums" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing was measured of this model yet"),
        (("--profile", "/nowhere.json"), "nothing was measured of this model yet"),
        (("--temperature", "1"), "temperature"),
    ],
)
def test_auto_cannot_choose(
    refused: Callable[..., str], bundled_artifact: Path, words: tuple[str, ...], message: str
) -> None:
    said = refused("run", bundled_artifact, "--prompt", QUESTION, "--strategy", "auto", *words)
    assert message in said


def test_auto_takes_nothing(refused: Callable[..., str], bundled_artifact: Path) -> None:
    assert "auto" in refused("run", bundled_artifact, "--prompt", "?", "--strategy", "auto(3)")


def test_a_profile_of_another_model_is_not_overwritten(
    refused: Callable[..., str], bundled_artifact: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"format": 1, "model": "f00d", "entries": []}')
    words = ("--task", "sums", "--problems", 1, "--profile", profile)
    assert "of another model: f00d" in refused("evaluate", bundled_artifact, *words)
