"""Finds a task by what a user calls it: a bundled kind, or a file of questions.

arithmetic, countdown, …     unseen problems of a bundled kind
gsm8k:FILE                   JSON lines of question and answer, which ends in #### number
bbh:FILE                     one task of Big-Bench-Hard
samples:FILE                 JSON lines of questions with finished replies; no model is asked
FILE.jsonl                   JSON lines of questions and answers
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foreknown.errors import RequestError
from foreknown.evaluation.data_sets import big_bench_hard, gsm8k, json_lines
from foreknown.evaluation.kinds import bundled
from foreknown.evaluation.problems import KINDS
from foreknown.evaluation.samples import Fields, sample_set
from foreknown.evaluation.task import Task

USUAL = Fields()
FORMS = (*KINDS, "gsm8k:FILE", "bbh:FILE", "samples:FILE", "FILE.jsonl")


def open_task(text: str, n: int, fields: Fields = USUAL, suffix: str = "") -> Task:
    """The first n questions of a task, or as many as it has.

    Args:
        fields: where JSON lines and sample sets have what.
        suffix: is written after each question, on a line of its own.

    Raises:
        RequestError: there is no such task, its file cannot be read, or it has no questions.
    """
    task = _found(text, n, fields)
    if not task.questions:
        raise RequestError(f"the task {text} has no questions", remedy="name another file")
    return _with_suffix(task, suffix) if suffix else task


def _found(text: str, n: int, fields: Fields) -> Task:
    if text in KINDS:
        return bundled(text, n)
    form, _, file = text.partition(":")
    path = Path(file)
    if file and form == "gsm8k":
        return gsm8k(f"{form}:{path.name}", path, n)
    if file and form == "bbh":
        return big_bench_hard(f"{form}:{path.name}", path, n)
    if file and form == "samples":
        return sample_set(f"{form}:{path.name}", path, n, fields)
    if text.endswith(".jsonl"):
        return json_lines(Path(text).name, Path(text), n, fields.question, fields.answer)
    raise RequestError(
        f"there is no task {text!r}", remedy=f"use one of {', '.join(FORMS)}", field="task"
    )


def _with_suffix(task: Task, suffix: str) -> Task:
    questions = []
    for question in task.questions:
        last = dict(question.messages[-1])
        last["content"] += f"\n{suffix}"
        questions.append(replace(question, messages=(*question.messages[:-1], last)))
    return replace(task, questions=tuple(questions))
