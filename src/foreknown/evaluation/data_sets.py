"""Tasks from files as data sets have them: GSM8K, Big-Bench-Hard, and any JSON lines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from foreknown.errors import RequestError
from foreknown.evaluation.matching import says
from foreknown.evaluation.records import document, lines, missing, text
from foreknown.evaluation.task import Question, Task, asked
from foreknown.strategies.verifiers import Arithmetic


def json_lines(name: str, path: Path, n: int, question_field: str, answer_field: str) -> Task:
    """Questions and answers in fields that the user names.

    Raises:
        RequestError: see `records`, or there is no question.
    """
    return Task(
        name,
        tuple(
            _question(
                number, text(record, question_field, where), text(record, answer_field, where)
            )
            for number, (where, record) in enumerate(lines(path, n))
        ),
    )


def gsm8k(name: str, path: Path, n: int) -> Task:
    """Word problems, whose worked answers end in `#### number`; a verifier looks at equations.

    Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021.

    Raises:
        RequestError: see `records`, or there is no question, or a number is missing.
    """
    questions = []
    for number, (where, record) in enumerate(lines(path, n)):
        _, mark, answer = text(record, "answer", where).rpartition("####")
        if not mark or not answer.strip():
            raise missing(record, "answer", "an answer that ends in #### and a number", where)
        question = _question(number, text(record, "question", where), answer.strip())
        questions.append(replace(question, verifier=Arithmetic()))
    return Task(name, tuple(questions), verifier="arithmetic")


def big_bench_hard(name: str, path: Path, n: int) -> Task:
    """Examples of one of its tasks, as they are asked there.

    Suzgun et al., "Challenging BIG-Bench Tasks and Whether Chain-of-Thought Can Solve Them", 2022.

    Raises:
        RequestError: see `records`, or there is no question.
    """
    found = document(path)
    examples = found.get("examples")
    if not isinstance(examples, list):
        raise missing(found, "examples", "a list", str(path))
    questions = []
    for number, example in enumerate(examples[:n]):
        where = f"{path}, example {number + 1}"
        if not isinstance(example, dict):
            raise RequestError(
                "this is no JSON object", where=where, remedy="correct the file, or name another"
            )
        given, target = (text(example, field, where) for field in ("input", "target"))
        questions.append(_question(number, given, target))
    return Task(name, tuple(questions))


def _question(number: int, question: str, answer: str) -> Question:
    return Question(str(number), asked(question), answer, partial(says, answer=answer))
