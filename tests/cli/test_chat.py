"""foreknown chat, its standard input piped."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foreknown.checkpoint import ChatTemplate
from foreknown.engine import Engine, warming

Foreknown = Callable[..., Any]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def conversations(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str]]]:
    """Every conversation that was rendered for the model."""
    seen: list[list[tuple[str, str]]] = []
    render = ChatTemplate.render

    def watched(self: ChatTemplate, messages: Any, **given: Any) -> str:
        seen.append([(m["role"], m["content"]) for m in messages])
        return render(self, messages, **given)

    monkeypatch.setattr(ChatTemplate, "render", watched)
    return seen


def test_the_history_is_kept_until_reset(
    foreknown: Foreknown,
    bundled_artifact: Path,
    typed: Callable[[str], None],
    conversations: list[list[tuple[str, str]]],
) -> None:
    typed("Who are you?\n\nAnd again?\n/reset\nHello!\n/quit\nnot read\n")
    words = ("chat", bundled_artifact, "--max-tokens", 6, "--system", "Be brief.")
    ran = foreknown(*words)
    assert ran.status == 0, ran.err
    answers = ran.out.splitlines()
    assert len(answers) == 3
    system = ("system", "Be brief.")
    assert conversations == [
        [system, ("user", "Who are you?")],
        [system, ("user", "Who are you?"), ("assistant", answers[0]), ("user", "And again?")],
        [system, ("user", "Hello!")],
    ]


def test_it_ends_with_its_input(
    foreknown: Foreknown, bundled_artifact: Path, typed: Callable[[str], None]
) -> None:
    typed("Hi")
    ran = foreknown("chat", bundled_artifact, "--max-tokens", 2)
    assert ran.status == 0
    assert ran.out.endswith("\n")


def test_a_conversation_that_is_too_long_is_said_and_not_kept(
    foreknown: Foreknown, bundled_artifact: Path, typed: Callable[[str], None]
) -> None:
    typed("word " * 3000 + "\nHi\n")
    ran = foreknown("chat", bundled_artifact, "--max-tokens", 2)
    assert ran.status == 0
    assert "prompt has" in ran.err
    assert "/reset" in ran.err
    assert len(ran.out.splitlines()) == 1


@pytest.fixture
def press_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has Ctrl-C pressed when the engine begins a step, counted from one."""
    steps, step = 0, Engine.step

    def press(at: int) -> None:
        def interrupted(self: Engine) -> Any:
            nonlocal steps
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGINT)
            return step(self)

        monkeypatch.setattr(Engine, "step", interrupted)
        # the steps that a model takes for nobody are not counted
        monkeypatch.setattr(warming, "warm_up", lambda program, price: 0)

    return press


def test_ctrl_c_stops_the_answer_and_not_the_program(
    foreknown: Foreknown,
    bundled_artifact: Path,
    typed: Callable[[str], None],
    press_ctrl_c: Callable[[int], None],
) -> None:
    press_ctrl_c(3)
    typed("Who are you?\nWho are you?\n")
    ran = foreknown("chat", bundled_artifact, "--max-tokens", 12, "--ignore-eos")
    assert ran.status == 0
    stopped, whole = ran.out.splitlines()[:2]
    assert 0 < len(stopped) < len(whole)


def test_a_strategy_answers_the_whole_conversation(
    foreknown: Foreknown,
    bundled_artifact: Path,
    typed: Callable[[str], None],
    conversations: list[list[tuple[str, str]]],
) -> None:
    typed("Who are you?\nAnd again?\n")
    strategy = ("--strategy", "vote(3)", "--max-tokens", 24, "--seed", 5)
    ran = foreknown("chat", bundled_artifact, *strategy)
    assert ran.status == 0, ran.err
    first, _ = ran.out.splitlines()
    user, again = ("user", "Who are you?"), ("user", "And again?")
    assert [user, ("assistant", first), again] in conversations
    alone = foreknown("run", bundled_artifact, "--prompt", "Who are you?", *strategy)
    assert alone.out == first + "\n"
    assert ran.err == "", "what was done is for people at a terminal"


def test_what_a_strategy_did_is_said_at_a_terminal(
    foreknown: Foreknown,
    bundled_artifact: Path,
    typed: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed("Who are you?\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    few = ("--max-tokens", 24, "--budget-tokens", 50)
    ran = foreknown("chat", bundled_artifact, "--strategy", "vote(8)", *few)
    assert ran.status == 0
    assert "vote(n=2): " in ran.err
    assert "at most 48 tokens" in ran.err
    assert "vote(8) did not fit the budget" in ran.err


def test_ctrl_c_ends_a_strategy_with_the_best_so_far(
    foreknown: Foreknown,
    bundled_artifact: Path,
    typed: Callable[[str], None],
    press_ctrl_c: Callable[[int], None],
) -> None:
    press_ctrl_c(5)
    typed("Who are you?\n/reset\nWho are you?\n")
    strategy = ("--strategy", "vote(2)", "--max-tokens", 16, "--ignore-eos", "--seed", 5)
    ran = foreknown("chat", bundled_artifact, *strategy)
    assert ran.status == 0
    stopped, whole = ran.out.splitlines()[:2]
    assert 0 < len(stopped) < len(whole)


def test_a_conversation_that_is_too_long_for_a_strategy_is_said(
    foreknown: Foreknown, bundled_artifact: Path, typed: Callable[[str], None]
) -> None:
    typed("word " * 3000 + "\nHi\n")
    ran = foreknown("chat", bundled_artifact, "--max-tokens", 2, "--strategy", "vote(2)")
    assert ran.status == 0
    assert "prompt has" in ran.err
    assert "/reset" in ran.err
    assert len(ran.out.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--strategy", "think"),
        ("--strategy", "best_of(by=verifier)"),
        ("--strategy", "vote", "--verifier", "luck"),
        ("--strategy", "vote", "--deadline-ms", -1),
    ],
)
def test_a_strategy_that_makes_no_sense_is_refused_at_once(
    refused: Callable[..., str],
    bundled_artifact: Path,
    typed: Callable[[str], None],
    words: tuple[object, ...],
) -> None:
    typed("Hi\n")
    assert refused("chat", bundled_artifact, *words)
