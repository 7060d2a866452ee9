"""Foreknown from Python: what it answers, what it refuses, and the page that says how."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import foreknown
from foreknown.api import Model
from foreknown.cli import main
from foreknown.engine import Engine
from foreknown.errors import ForeknownError, RequestError
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Arithmetic

QUESTION = "A bus carries 15 people. 9 get on and 12 get off. How many people are on the bus now?"
PAGE = Path(__file__).parents[1] / "docs" / "strategies.md"


@pytest.fixture(scope="module")
def model(bundled_artifact: Path) -> Iterator[Model]:
    with foreknown.open(bundled_artifact) as opened:
        yield opened


def said(messages: str | list[dict[str, str]], model: Model, **given: Any) -> str:
    return "".join(model.generate(messages, **{"max_tokens": 48, **given}))


def test_importing_it_imports_nothing_else() -> None:
    program = "import foreknown, sys; print({'numpy', 'foreknown.api'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_it_says_what_the_command_line_says(
    model: Model, bundled_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(bundled_artifact), "--prompt", QUESTION, "--max-tokens", "48", "--json"]
    assert main(words) == 0
    assert said(QUESTION, model) == json.loads(capsys.readouterr().out)["text"]
    words += ["--strategy", "vote(3)", "--seed", "5", "--trace"]
    assert main(words) == 0
    record = json.loads(capsys.readouterr().out)
    came = model.answer(QUESTION, "vote(3)", max_tokens=48, seed=5)
    assert came.choice.part.record() == record["trace"]


def test_pieces_come_one_by_one_and_may_be_left(model: Model) -> None:
    pieces = model.generate("Who are you?", max_tokens=20, ignore_eos=True)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert said("Who are you?", model) == said("Who are you?", model)


def test_a_conversation_is_more_than_its_last_question(model: Model) -> None:
    user = {"role": "user", "content": QUESTION}
    assert said([user], model) == said(QUESTION, model)
    more = [user, {"role": "assistant", "content": "#### 12"}, {"role": "user", "content": "Why?"}]
    assert len(model.ids(more)) > len(model.ids([user])) + len(model.ids("#### 12", raw=True))
    assert model.answer(more, max_tokens=48).choice.text == said(more, model)


def test_raw_text_is_continued(model: Model) -> None:
    assert said("2 + 3 =", model, raw=True) != said("2 + 3 =", model)
    raw = model.answer("2 + 3 =", raw=True, max_tokens=48)
    assert raw.choice.text == said("2 + 3 =", model, raw=True)


def test_sampling_is_as_given(model: Model) -> None:
    drawn = {"temperature": 1.5, "seed": 3}
    puzzle = "Use 4, 7 and 9 to make 20."  # there are many ways to try
    assert said(puzzle, model, **drawn) == said(puzzle, model, **drawn)
    assert said(puzzle, model, **drawn) != said(puzzle, model)
    assert "small" not in said("Who are you?", model, stop=("small",))


def test_verifiers_may_be_texts_objects_or_functions(model: Model) -> None:
    def scores(verifier: Any) -> Any:
        strategy = "best_of(3, by=verifier)"
        came = model.answer(QUESTION, strategy, verifier=verifier, max_tokens=48, temperature=1.2)
        return came.choice.part.record()["scores"]

    assert scores("arithmetic") == scores(Arithmetic())
    assert scores(lambda question, answer: question == QUESTION) == [1.0, 1.0, 1.0]
    assert scores(lambda question, answer: 0.25) == [0.25] * 3


def test_templates_may_be_given_or_be_in_a_file(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "templates.toml"
    file.write_text('ideas = ""\npick = ""\nrevise = "Check your answer."\n')
    given: list[Any] = [Templates(ideas="", pick="", revise="Check your answer."), file, str(file)]
    came = [
        model.answer(QUESTION, "reflect(rounds=1)", templates=one, max_tokens=48) for one in given
    ]
    assert [one.n_rounds for one in came] == [2, 2, 2]
    assert came[0].choice == came[1].choice == came[2].choice


def test_budgets_limit_what_is_done(model: Model) -> None:
    came = model.answer(QUESTION, "vote(16)", budget_tokens=200, max_tokens=48)
    assert str(came.plan.call) == "vote(n=4)"
    assert came.n_tokens <= 200
    late = model.answer(QUESTION, "vote(16)", deadline_ms=1, max_tokens=48)
    assert not late.plan.fits
    assert late.reach is not None


def test_a_forecast_runs_nothing(model: Model) -> None:
    n_steps = model.engine.n_steps
    short, long = model.forecast(QUESTION, 10), model.forecast(QUESTION, 200)
    assert 0 < short.total_ms < long.total_ms
    assert short.case.prompt_tokens == len(model.ids(QUESTION))
    assert model.engine.n_steps == n_steps
    with pytest.raises(RequestError, match="context"):
        model.forecast(QUESTION, 100_000)


def test_it_does_one_thing_at_a_time(model: Model) -> None:
    pieces = model.generate("Who are you?", max_tokens=8)
    next(pieces)
    with pytest.raises(RequestError, match="answering something else"):
        model.answer(QUESTION)
    with pytest.raises(RequestError, match="answering something else"):
        next(model.generate(QUESTION))
    assert "".join(pieces)
    assert said(QUESTION, model)


def test_an_answer_that_is_interrupted_leaves_nothing_behind(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.answer(QUESTION, "vote(3)", max_tokens=48).choice
    steps, step = 0, Engine.step

    def interrupted(self: Engine) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.answer(QUESTION, "vote(3)", max_tokens=48)
    assert not model.engine.has_work
    assert model.answer(QUESTION, "vote(3)", max_tokens=48).choice == whole


def test_a_closed_model_says_so(bundled_artifact: Path) -> None:
    with foreknown.open(bundled_artifact, threads=1) as opened:
        pieces = opened.generate("Who are you?")
        next(pieces)
    for ask in (
        lambda: next(pieces),
        lambda: next(opened.generate("a")),
        lambda: opened.answer("a"),
    ):
        with pytest.raises(RequestError, match="closed"):
            ask()
    opened.close()


@pytest.mark.parametrize("prompt", [None, 5, [], [5], {"role": "user", "content": "a"}, b"a"])
@pytest.mark.parametrize("raw", [False, True])
def test_what_is_no_prompt(model: Model, prompt: Any, raw: bool) -> None:
    for ask in (model.generate, model.answer):
        with pytest.raises(RequestError, match="neither a text nor a conversation"):
            ask(prompt, raw=raw)


@pytest.mark.parametrize(
    "message", [{}, {"role": "user"}, {"role": "user", "content": 5}, {"role": None, "content": ""}]
)
def test_what_is_no_message(model: Model, message: Any) -> None:
    with pytest.raises(RequestError, match="neither a text nor a conversation"):
        model.answer([message])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": "think"}, "no strategy 'think'"),
        ({"strategy": "verify_and_retry"}, "needs a verifier"),
        ({"verifier": "luck"}, "no verifier 'luck'"),
        ({"verifier": 5}, "function is a int"),
        ({"verifier": Arithmetic}, "function is a type"),
        ({"templates": "/nowhere.toml"}, "templates cannot be read"),
        ({"deadline_ms": -1}, "deadline_ms"),
        ({"max_joules": float("nan")}, "max_joules"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": "word " * 3000}, "longer than"),
    ],
)
def test_what_makes_no_sense_is_refused(model: Model, given: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        model.answer(**{"prompt": QUESTION, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": "int5"}, "weights is 'int5', where one of"),
        ({"state": "f64"}, "state is 'f64'"),
        ({"group": 48}, "group is 48"),
        ({"context": 0}, "context is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": True}, "threads is True"),
        ({"sequences": -1}, "sequences is -1"),
        ({"model": "/nowhere"}, "no such model"),
    ],
)
def test_what_cannot_be_opened(bundled_artifact: Path, given: Any, message: str) -> None:
    with pytest.raises(ForeknownError, match=message):
        foreknown.open(**{"model": bundled_artifact, **given})


def test_a_model_without_a_template_continues_texts(stories_artifact: Path) -> None:
    with foreknown.open(str(stories_artifact)) as stories:
        assert said("Once upon a time", stories, max_tokens=8)
        assert stories.answer("Once upon a time", "vote(2)", max_tokens=8).choice.text
        with pytest.raises(RequestError, match="no chat template"):
            stories.generate([{"role": "user", "content": "Hello!"}])


def test_more_sequences_hold_more_drafts(bundled_artifact: Path, model: Model) -> None:
    with foreknown.open(bundled_artifact, sequences=3) as larger:
        assert larger.loaded.memory.state == 3 * model.loaded.memory.state
        came = [one.answer(QUESTION, "vote(3)", max_tokens=48) for one in (larger, model)]
    assert came[0].choice == came[1].choice


BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_shows_how() -> None:
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_page_runs(
    block: str, bundled_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "foreknown.open()" in block
    opened = block.replace("foreknown.open()", f"foreknown.open({str(bundled_artifact)!r})")
    exec(compile(opened, str(PAGE), "exec"), {"__name__": "__page__"})
    assert capsys.readouterr().out.strip()
