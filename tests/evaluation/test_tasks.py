"""Tasks: where questions come from, what counts as right, and what is said of bad files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foreknown.errors import RequestError
from foreknown.evaluation.matching import says
from foreknown.evaluation.problems import KINDS, draw
from foreknown.evaluation.samples import Fields
from foreknown.evaluation.task import Task
from foreknown.evaluation.tasks import open_task


def written(tmp_path: Path, *records: object, name: str = "own.jsonl") -> Path:
    path = tmp_path / name
    texts = [one if isinstance(one, str) else json.dumps(one) for one in records]
    path.write_text("\n".join(texts), "utf-8")
    return path


# Sources


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_bundled_kind_asks_unseen_problems(name: str) -> None:
    task = open_task(name, 5)
    drawn = [draw(KINDS[name], "test", 2026, index) for index in range(5)]
    for question, problem in zip(task.questions, drawn, strict=True):
        assert question.messages[-1] == {"role": "user", "content": problem.prompt[-1].text}
        assert question.check(problem.solution)
        assert not question.check("I am not sure.")
    assert len({question.id for question in task.questions}) == 5


def test_gsm8k(shared_data: Path) -> None:
    task = open_task(f"gsm8k:{shared_data / 'eval' / 'gsm8k' / 'test.jsonl'}", 2000)
    assert task.name == "gsm8k:test.jsonl"
    assert len(task.questions) == 1319
    first = task.questions[0]
    assert first.answer == "18"
    assert first.check("She makes 9 * 2 = 18 dollars.\n#### 18")
    assert first.check("So the answer is **$18**.")
    assert not first.check("#### 19")
    assert first.verifier is not None
    records = (shared_data / "eval" / "gsm8k" / "test.jsonl").read_text("utf-8").splitlines()
    for question, line in zip(task.questions, records, strict=True):
        assert question.check(json.loads(line)["answer"]), question.answer


def test_big_bench_hard(shared_data: Path) -> None:
    for path in sorted((shared_data / "eval" / "bbh").glob("*.json")):
        task = open_task(f"bbh:{path}", 40)
        assert len(task.questions) == 40
        for question in task.questions:
            assert question.check(question.answer), (path.name, question)
            assert question.check(f"Let me think.\n{question.answer}"), (path.name, question)
            assert not question.check("I cannot say."), (path.name, question)
            assert not question.check(""), (path.name, question)


@pytest.mark.parametrize(
    ("reply", "answer", "is_right"),
    [
        ("So the answer is (B) 05/01/2021.", "(B)", True),
        ("(B) 05/01/2021", "(B)", True),
        ("(C) 05/01/2021", "(B)", False),
        ("The answer is Yes.", "Yes", True),
        ("yes", "Yes", True),
        ("No", "Yes", False),
        ("] >", "] ]", False),
        ("Sorted:\nbarn damp dot", "barn damp dot", True),
        ("Sorted:\nbarn dot damp", "barn damp dot", False),
        (r"\boxed{10{,}000}", "10000", True),
        ("5 apples", "", False),
        ("", "5", False),
    ],
)
def test_what_a_reply_says(reply: str, answer: str, is_right: bool) -> None:
    assert says(reply, answer) is is_right


def test_own_fields_and_a_suffix(tmp_path: Path) -> None:
    records = [{"q": "How much is 2 + 2?", "a": 4}, {"q": "Is it?", "a": True}]
    path = written(tmp_path, records[0], "", records[1])
    task = open_task(str(path), 10, Fields(question="q", answer="a"), "Be brief.")
    assert [question.messages[0]["content"] for question in task.questions] == [
        "How much is 2 + 2?\nBe brief.",
        "Is it?\nBe brief.",
    ]
    assert task.questions[0].check("It is 4")
    assert task.questions[1].check("True")
    assert not task.is_given


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, {"question": "1 + 1?", "answer": "2"}, "this is no JSON")
    assert len(open_task(str(path), 1).questions) == 1
    with pytest.raises(RequestError, match=r"own\.jsonl, line 2"):
        open_task(str(path), 2)


# What is no task


def refusal(text: str, n: int = 10) -> str:
    with pytest.raises(RequestError) as error:
        open_task(text, n)
    assert error.value.remedy
    return str(error.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "1?"}, "'answer' is not a text"),
        ({"answer": "1"}, "'question' is not a text"),
        ({"question": "1?", "answer": " "}, "'answer' is not a text"),
        ({"question": ["1?"], "answer": "1"}, "'question' is not a text"),
        ({"question": "1?", "answer": None}, "'answer' is not a text"),
        ([1, 2], "a JSON list, not an object"),
        ("[" * 100_000, "not JSON"),
        ('{"question": "cut', "not JSON"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "not JSON"),
    ],
)
def test_a_bad_record(tmp_path: Path, record: object, message: str) -> None:
    path = written(tmp_path, {"question": "1?", "answer": "1"}, record)
    said = refusal(str(path))
    assert message in said
    assert "line 2" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algebra", "no task 'algebra'"),
        ("", "no task ''"),
        ("gsm8k:", "no task 'gsm8k:'"),
        ("gsm8k:/nowhere.jsonl", "cannot be read: No such file"),
        ("bbh:/nowhere.json", "cannot be read: No such file"),
        ("samples:/nowhere.jsonl", "cannot be read: No such file"),
        ("/nowhere.jsonl", "cannot be read: No such file"),
    ],
)
def test_no_such_task(text: str, message: str) -> None:
    assert message in refusal(text)


def test_files_of_another_kind(tmp_path: Path) -> None:
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    assert "directory" in refusal(str(folder))
    assert "has no questions" in refusal(str(written(tmp_path, "\n\n")))
    no_number = written(tmp_path, {"question": "1?", "answer": "one"})
    assert "ends in ####" in refusal(f"gsm8k:{no_number}")
    for bad in ({"canary": 1}, {"examples": {}}):
        path = written(tmp_path, bad, name="bad.json")
        assert "'examples' is not a list" in refusal(f"bbh:{path}")
    path = written(tmp_path, {"examples": [{"input": "1", "target": "2"}, 3]}, name="bad.json")
    assert "example 2" in refusal(f"bbh:{path}")
    assert "has no questions" in refusal(
        f"bbh:{written(tmp_path, {'examples': []}, name='b.json')}"
    )


# Sample sets


def test_a_sample_set(tmp_path: Path) -> None:
    record = {"question": "2 + 2?", "answer": "4", "response": ["5", "4"], "pred_score": [[-1], 2]}
    path = written(tmp_path, record)
    task: Task = open_task(f"samples:{path}", 10)
    (question,) = task.questions
    assert task.is_given
    assert [draft.text for draft in question.drafts] == ["5", "4"]
    assert question.verifier is not None
    scores = [question.verifier.verify("", reply) for reply in ("5", "4", "6")]
    assert scores[0].score < scores[1].score
    assert scores[2].failed


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("response", [], "a list of 1 to 4096 texts"),
        ("response", "4", "a list of 1 to 4096 texts"),
        ("response", ["4", 5], "a list of 1 to 4096 texts"),
        ("response", None, "a list of 1 to 4096 texts"),
        ("pred_score", [1], "as many rewards as replies"),
        ("pred_score", [1, "2"], "a list of numbers"),
        ("pred_score", [1, [2, 3]], "a list of numbers"),
        ("pred_score", [1, 1e9], "a list of numbers"),
        ("pred_score", [1, 10**400], "a list of numbers"),
        ("pred_score", [1, True], "a list of numbers"),
    ],
)
def test_a_bad_sample_set(tmp_path: Path, field: str, value: object, message: str) -> None:
    good = {"question": "2 + 2?", "answer": "4", "response": ["5", "4"], "pred_score": [1, 2]}
    said = refusal(f"samples:{written(tmp_path, {**good, field: value})}")
    assert message in said
    assert "line 1" in said
