"""A user's own function as a verifier, and how it is found by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from foreknown.errors import RequestError
from foreknown.strategies.verifiers import Function, Verdict, guarded, load_function


def verdict_of(said: Any) -> Verdict:
    return Function(lambda question, answer: said).verify("q", "a")


@pytest.mark.parametrize(
    ("said", "score"), [(True, 1), (False, 0), (0, 0), (1, 1), (0.5, 0.5), (1e-300, 1e-300)]
)
def test_bools_and_numbers_are_scores(said: Any, score: float) -> None:
    assert verdict_of(said)[::2] == (score, False)


def test_a_verdict_passes() -> None:
    assert verdict_of(Verdict(0.5, "half")) == Verdict(0.5, "half")
    assert verdict_of(Verdict(0.0, "no idea", failed=True)).failed


@pytest.mark.parametrize(
    "said",
    [math.nan, math.inf, -0.1, 1.1, 2, 10**30, None, "1", [1], 1j, Verdict(math.nan, ""),
     Verdict(7, "")],
)  # fmt: skip
def test_anything_else_has_failed(said: Any) -> None:
    verdict = verdict_of(said)
    assert verdict.failed
    assert verdict.score == 0
    assert verdict.reason


def test_it_is_given_question_and_answer() -> None:
    assert Function(lambda question, answer: (question, answer) == ("q", "a")).verify("q", "a")[0]


def test_what_it_raises_is_named_by_a_guard() -> None:
    def raises(question: str, answer: str) -> bool:
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError):
        Function(raises).verify("q", "a")
    verdict = guarded(Function(raises)).verify("q", "a")
    assert verdict.failed
    assert "ZeroDivisionError: oh" in verdict.reason


async def later(question: str, answer: str) -> bool:
    return True


@pytest.mark.parametrize("wrong", [None, 3, "print", later, int])
def test_what_cannot_be_one_is_refused(wrong: Any) -> None:
    with pytest.raises(RequestError, match="function is"):
        Function(wrong)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my checks.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Kept:\n    n: int = 3\n"
        "LIMIT = 3\n"
        "def is_short(question, answer):\n    return len(answer) <= Kept().n\n"
    )
    return path


def test_a_function_in_a_file(file: Path) -> None:
    verifier = Function(load_function(f"{file}:is_short"))
    assert verifier.verify("", "abc").score == 1
    assert verifier.verify("", "abcd").score == 0


def test_a_function_in_a_module() -> None:
    import operator

    assert load_function("operator:contains") is operator.contains


def test_two_files_of_one_name_are_two(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.py").write_text(f"def f(q, a): return {number} / 2\n")
    functions = [load_function(f"{tmp_path}/{number}/a.py:f") for number in (1, 2)]
    assert [function("", "") for function in functions] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no function"),
        ("operator", "names no function"),
        (":f", "names no function"),
        ("operator:", "names no function"),
        ("no_such_module:f", "no module 'no_such_module'"),
        ("os.no_such_module:f", "no module 'os.no_such_module'"),
        ("no_such_file.py:f", "no file no_such_file.py"),
        ("no/such/file:f", "no file no/such/file"),
        ("operator:contain", "did you mean 'contains'"),
        ("math:pi", "math:pi is a float, not a function"),
        ("..a:f", "..a cannot be imported"),
    ],
)
def test_errors_say_what_to_do(text: str, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        load_function(text)
    assert message in str(refused.value)
    assert "to do:" in str(refused.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:", "SyntaxError"),
        ("raise KeyError('gone')", "KeyError: 'gone'"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(RequestError, match="cannot be imported") as refused:
        load_function(f"{path}:f")
    assert message in str(refused.value)


def test_a_suggestion_for_a_file(file: Path) -> None:
    with pytest.raises(RequestError, match="did you mean 'is_short'"):
        load_function(f"{file}:is_shot")
    with pytest.raises(RequestError, match="is a int, not a function"):
        load_function(f"{file}:LIMIT")
