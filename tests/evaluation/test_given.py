"""Strategies on replies that are given: what a real sample set shows, and what cannot be done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from foreknown.engine import SamplingParams
from foreknown.errors import RequestError
from foreknown.evaluation.evaluate import evaluate, settings
from foreknown.evaluation.given import FromReplies
from foreknown.evaluation.measured import Measured
from foreknown.evaluation.samples import Fields
from foreknown.evaluation.task import Task
from foreknown.evaluation.tasks import open_task
from foreknown.strategies.compose import Kit
from foreknown.strategies.expression import parse

PARAMS = SamplingParams(temperature=0, max_tokens=1, seed=0)


def measure(task: Task, *strategies: str) -> list[Measured]:
    wanted = settings([parse(text) for text in strategies], [], PARAMS)
    return list(evaluate(task, wanted, FromReplies(Kit())))


@pytest.fixture
def own(tmp_path: Path) -> Task:
    path = tmp_path / "own.jsonl"
    records = [
        {"question": "2 + 2?", "answer": "4", "response": ["5", "4", "4"], "pred_score": [0, 2, 1]},
        {"question": "3 + 3?", "answer": "6", "response": ["6", "6", "7"], "pred_score": [0, 1, 2]},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    return open_task(f"samples:{path}", 9)


@pytest.mark.parametrize(
    ("answers", "vote", "best"),
    [("gt", 93, 95), ("answer", 94, 96)],  # the set's "gt" spoils one answer: 4:30p..
)
def test_a_real_set(shared_data: Path, answers: str, vote: int, best: int) -> None:
    path = shared_data / "eval" / "math_cot_100" / "math_cot_100.jsonl"
    task = open_task(f"samples:{path}", 1000, Fields(answer=answers))
    shown = measure(task, "vote(8)", "best_of(8, by=verifier)")
    assert [one.n_right for one in shown[1:]] == [vote, best]
    assert [one.n for one in shown] == [100, 100, 100]
    assert not any(one.failure for each in shown for one in each.judged)


def test_what_is_chosen(own: Task) -> None:
    shown = measure(own, "vote(3)", "best_of(3, by=verifier)", "vote(2)", "vote(64)")
    right = [[one.is_right for one in each.judged] for each in shown]
    assert right == [
        [False, True],  # the first reply
        [True, True],
        [True, False],
        [False, True],
        [True, True],  # as many as there are
    ]
    record = shown[2].record()
    assert record["accuracy"] == 0.5
    assert record["gain"] == 0.0
    assert record["seconds"] is record["joules"] is record["usd"] is None
    assert record["timed"] == 0


def test_replies_one_by_one(own: Task) -> None:
    (_, shown) = measure(own, "verify_and_retry(tries=3, enough=0.8)")
    assert [one.reply.text for one in shown.judged] == ["4", "7"]


@pytest.mark.parametrize("strategy", ["reflect", "search(2, width=1)", "best_of(2, by=judge)"])
def test_new_text_cannot_be_had(own: Task, strategy: str) -> None:
    drafts = [replace(draft, text=f"Well,\n{draft.text}") for draft in own.questions[0].drafts]
    own = replace(own, questions=(replace(own.questions[0], drafts=drafts),))
    with pytest.raises(RequestError, match="need a model"):
        measure(own, strategy)
