"""Beams: by script, and on engines whose steps take what a test says."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Engine
from foreknown.errors import RequestError
from foreknown.strategies.beam import LINE_TOKENS, StepBeams, TokenBeams
from foreknown.strategies.compose import Kit, compose
from foreknown.strategies.conduct import conduct
from foreknown.strategies.cost import cost
from foreknown.strategies.course import Course
from foreknown.strategies.strategy import Ask, Draft, Problem
from foreknown.strategies.verifiers import Verdict
from tests.engine.conftest import FakeProgram
from tests.engine.reality import Linear, SteppingClock, TimedProgram
from tests.strategies.scripted import draft, play, problem

CONTEXT, N_BLOCKS = 512, 400
PRICE = Linear(10_007, 311, 103, 0.7, 0.3)
END, NEW_LINE = 3, 10
LOST = Draft("", 0, 0.0, "cancelled")


def line(ask: Ask, text: str, logprob: float = -1.0) -> Draft:
    """A draft that came to the end of its line."""
    return Draft(ask.problem.begun + text, len(text.split()) + 1, logprob, "stop", "\n")


def end(ask: Ask, text: str, logprob: float = -1.0) -> Draft:
    """A draft that came to the end of the answer."""
    return Draft(ask.problem.begun + text, len(text.split()) + 1, logprob, "stop", 2)


class Wants:
    """A verifier that knows a word of the answer."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def verify(self, question: str, answer: str) -> Verdict:
        return Verdict(1.0 if self.wanted in answer else 0.0, "looked at")


# Over tokens


def test_the_engine_looks_for_the_likeliest_answers() -> None:
    asked = problem(temperature=0.9, presence_penalty=1.0, stop=("END",))
    drafts = [draft("a", -2), draft("b", -0.1), draft("c", -1)]
    write = lambda ask, place: drafts[place] if ask.beams else draft("greedy", 0)  # noqa: E731
    choice, rounds = play(TokenBeams(3), write, asked)
    assert choice.text == "b"
    ((_, ask),) = rounds
    assert (ask.samples, ask.beams) == (3, True)
    assert ask.problem.params.presence_penalty == 0, "the engine would refuse it"
    assert ask.problem.params.stop == ("END",)
    assert [one.text for one in choice.part.drafts] == ["b", "c", "a"]


def test_beams_may_be_told_apart_by_a_verifier_or_by_the_model() -> None:
    drafts = [draft("1", -0.1), draft("2", -1), draft("3", -2)]
    by_verifier = TokenBeams(3, "verifier", Wants("3"))
    assert play(by_verifier, lambda ask, place: drafts[place])[0].text == "3"

    def write(ask: Ask, place: int) -> Draft | str:
        return drafts[place] if ask.beams else "90" if "2" in ask.problem.question else "10"

    choice, rounds = play(TokenBeams(3, "judge"), write)
    assert choice.text == "2"
    assert [len(asks) for asks in rounds] == [2, 3]


def test_a_greedy_draft_is_the_answer_when_the_time_is_over() -> None:
    late = draft("", 0, "cancelled")
    choice, _ = play(TokenBeams(3), lambda ask, place: late if ask.beams else draft("so far"))
    assert choice.text == "so far"


def test_a_single_beam_is_a_greedy_draft() -> None:
    choice, rounds = play(TokenBeams(1), lambda ask, place: "42", problem(temperature=1.0))
    assert choice.text == "42"
    assert not rounds[0][0].beams
    assert rounds[0][0].problem.params.temperature == 0


# Over steps


def test_the_best_beginnings_go_on_and_what_has_ended_stays() -> None:
    lines: dict[str, list[Callable[[Ask], Draft]]] = {
        "": [lambda ask: line(ask, "bad", -3), lambda ask: line(ask, "good", -0.1)],
        "bad\n": [lambda ask: line(ask, "x", -9), lambda ask: line(ask, "y", -9)],
        "good\n": [lambda ask: end(ask, "42", -0.5), lambda ask: line(ask, "more", -1)],
        "good\nmore\n": [lambda ask: end(ask, "7", -8), lambda ask: end(ask, "8", -9)],
    }

    def write(ask: Ask, place: int) -> Draft:
        return lines[ask.problem.begun][place](ask)

    choice, rounds = play(StepBeams(width=2), write)
    assert choice.text == "good\n42"
    begun = [[ask.problem.begun for ask in asks] for asks in rounds]
    assert begun == [[""], ["good\n", "bad\n"], ["good\nmore\n"]]
    assert choice.logprob == pytest.approx((2 * -0.1 + 2 * -0.5) / 4), "of all its tokens"
    assert choice.part.drafts[0].n_tokens == 4
    steps = choice.part.record()["steps"]
    assert [[beam["line"] for beam in step] for step in steps][:2] == [
        ["good", "bad"],
        ["42", "more"],
    ]
    seeds = [ask.problem.params.seed for asks in rounds for ask in asks]
    assert len(set(seeds)) == len(seeds), "each draws its own"
    assert play(StepBeams(width=2), write)[0] == choice


def test_equal_beginnings_are_one() -> None:
    def write(ask: Ask, place: int) -> Draft:
        return line(ask, "same") if not ask.problem.begun else end(ask, str(place), -1.0 - place)

    choice, rounds = play(StepBeams(width=3), write)
    assert [len(asks) for asks in rounds] == [1, 1]
    assert choice.text == "same\n0"


def test_greedy_lines_are_drawn() -> None:
    _, rounds = play(StepBeams(2), lambda ask, i: end(ask, "x"), problem(temperature=0.0))
    assert rounds[0][0].problem.params.temperature > 0.1


def test_equal_scores_go_by_likelihood() -> None:
    beams = StepBeams(width=2, by="verifier", verifier=Wants("nothing"))

    def write(ask: Ask, place: int) -> Draft:
        return end(ask, str(place), -2.0 + place)

    assert play(beams, write)[0].text == "1"


def test_the_model_itself_may_judge_beginnings() -> None:
    def write(ask: Ask, place: int) -> Draft | str:
        if ask.part == "judge":
            return "80" if "apple" in ask.problem.question else "20"
        if ask.problem.begun:
            return end(ask, f"end {place}")
        return line(ask, ["pear", "apple"][place])

    choice, rounds = play(StepBeams(width=2, by="judge"), write)
    assert choice.text.startswith("apple\n")
    assert [asks[0].part for asks in rounds] == ["lines", "judge", "lines", "judge"]


def test_after_so_many_lines_each_is_drawn_to_its_end() -> None:
    def write(ask: Ask, place: int) -> Draft:
        if ask.part == "ends":
            return end(ask, "all\nthe rest")
        return line(ask, f"{place}", -1.0 - place)

    choice, rounds = play(StepBeams(width=2, depth=3), write)
    assert [asks[0].part for asks in rounds] == ["lines"] * 3 + ["ends"]
    assert [ask.samples for ask in rounds[-1]] == [1, 1]
    assert "\n" not in rounds[-1][0].problem.params.stop
    assert choice.text == "0\n0\n0\nall\nthe rest"


def test_no_answer_is_longer_than_it_may_be() -> None:
    asked = problem(max_tokens=100, min_tokens=80)
    long = "word " * (LINE_TOKENS - 1)

    def write(ask: Ask, place: int) -> Draft:
        most = ask.problem.params.max_tokens
        assert most is not None
        return Draft(ask.problem.begun + f"{place} {long}", most, -1.0, "length")

    choice, rounds = play(StepBeams(width=2), write, asked)
    assert [asks[0].problem.params.max_tokens for asks in rounds] == [64, 36]
    assert [asks[0].problem.params.min_tokens for asks in rounds] == [64, 16]
    assert choice.part.drafts[0].n_tokens == 100
    assert choice.part.drafts[0].finish_reason == "length"
    assert choice.is_whole


def test_without_a_limit_lines_have_one() -> None:
    choice, rounds = play(StepBeams(2), lambda ask, i: end(ask, "x"), problem(max_tokens=None))
    assert choice.text == "x"
    assert rounds[0][0].problem.params.max_tokens == LINE_TOKENS


def test_a_line_that_is_cut_goes_on_without_half_a_character() -> None:
    def write(ask: Ask, place: int) -> Draft:
        if ask.problem.begun:
            return end(ask, "rest")
        return Draft("begun \ufffd", LINE_TOKENS, -1.0, "length")

    choice, _ = play(StepBeams(width=1), write, problem(max_tokens=500))
    assert choice.text == "begun rest"


@pytest.mark.parametrize("stop", ["b\nc", "\n"])
def test_stop_strings_of_the_user_end_an_answer_over_lines_too(stop: str) -> None:
    def write(ask: Ask, place: int) -> Draft:
        return line(ask, "cd" if ask.problem.begun else "ab")

    choice, rounds = play(StepBeams(width=1), write, problem(stop=(stop,)))
    assert choice.text == ("a" if stop == "b\nc" else "ab")
    assert choice.is_whole
    assert len(rounds) == (2 if stop == "b\nc" else 1)


def test_what_was_begun_already_is_part_of_the_answer() -> None:
    asked = problem(stop=("So",))
    begun = Problem(asked.messages, asked.params, "So far")
    choice, _ = play(StepBeams(width=1), lambda ask, place: end(ask, " good"), begun)
    assert choice.text == "So far good"


def test_without_time_the_best_so_far_is_given() -> None:
    def ended_first(ask: Ask, place: int) -> Draft:
        if ask.problem.begun:
            return LOST
        return end(ask, "done", -5) if place else line(ask, "likely", -0.1)

    choice, rounds = play(StepBeams(width=2), ended_first)
    assert (choice.text, choice.is_whole) == ("done", True), "an answer before a beginning"
    assert len(rounds) == 2

    def none_ended(ask: Ask, place: int) -> Draft:
        if not ask.problem.begun:
            return line(ask, ["a", "b"][place], -1.0 - place)
        return Draft(ask.problem.begun + "half", 1, -1.0, "cancelled") if place else LOST

    choice, rounds = play(StepBeams(width=2), none_ended)
    assert (choice.text, choice.is_whole) == ("a\nhalf", False)
    assert len(rounds) == 2

    choice, rounds = play(StepBeams(width=2), lambda ask, place: LOST)
    assert (choice.text, choice.is_whole) == ("", False)
    assert len(rounds) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beam(0)", "width is 0"),
        ("beam(65)", "width is 65"),
        ("beam(over=words)", 'over is "words"'),
        ("beam(over=steps, depth=0)", "depth is 0"),
        ("beam(by=luck)", 'by is "luck"'),
        ("beam(vote)", "draws its answers itself"),
        ("beam(by=verifier)", "needs a verifier"),
        ('beam(over=steps, by=verifier, verifier="luck")', "no verifier"),
    ],
)
def test_what_makes_no_beams_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        compose(text, Kit())


# On an engine


class Letters:
    """A token is a letter; one ends the line."""

    def push(self, token: int, /) -> str:
        return "\n" if token == NEW_LINE else chr(ord("A") + token)

    def finish(self) -> str:
        return ""


class LikelyLetters(TimedProgram):
    """Says what its past makes likely, in the time of a price."""

    def step(self, batch: Any) -> Any:
        super().step(batch)
        self.batches.pop()
        return FakeProgram.step(self, batch)


def new(library: ctypes.CDLL, program: type[TimedProgram] = LikelyLetters) -> Engine:
    """An engine with text, whose end and line end are ordinary tokens."""
    clock = SteppingClock()
    sizes = {"max_tokens": 64, "max_rows": 16, "n_blocks": N_BLOCKS, "context": CONTEXT}
    made = program(library, PRICE, clock, **sizes)
    engine = Engine(
        made, end_ids=[END], new_detokenizer=Letters, clock=clock, speculate=False, price=PRICE
    )
    engine.chunking.observe = lambda *_: None  # type: ignore[method-assign]
    engine.chunking.decode.observe = lambda *_: None  # type: ignore[method-assign]
    return engine


def prompt_ids(asked: Problem) -> list[int]:
    """Letters of a question, and what of its answer is begun, as they are said."""
    begun = [NEW_LINE if one == "\n" else (ord(one) - ord("A")) % 40 for one in asked.begun]
    return [1 + ord(letter) % 37 for letter in asked.question] + begun


def asked(max_tokens: int = 40, **params: object) -> Problem:
    return problem("q" * 70, max_tokens=max_tokens, temperature=1.0, **params)


BEAMS = [
    "beam",
    "beam(3)",
    "vote(beam(2), n=2)",
    "beam(over=steps)",
    "beam(2, over=steps, depth=3)",
]


@pytest.mark.parametrize("text", [*BEAMS, "beam(2, over=steps, by=judge)", "beam(2, by=judge)"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_beams_take_is_known_before(library: ctypes.CDLL, text: str, seed: int) -> None:
    engine, problem = new(library), asked(seed=seed)
    rehearsed = compose(text, Kit(rehearses=True))
    told = cost(rehearsed, problem, prompt_ids, engine.capacity, PRICE)
    course = Course(compose(text, Kit()), problem, prompt_ids, CONTEXT)
    choice = conduct(engine, course)
    assert choice.is_whole
    assert 0 < course.n_rounds <= told.n_rounds
    assert 0 < course.n_tokens <= told.n_tokens
    assert engine.clock.now_ns() / 1e9 <= 1.05 * told.seconds
    assert engine.blocks.n_free == N_BLOCKS


def test_beams_that_never_end_take_what_was_told(library: ctypes.CDLL) -> None:
    engine, problem = new(library), asked(ignore_eos=True)
    told = cost(TokenBeams(4), problem, prompt_ids, engine.capacity, PRICE)
    course = Course(TokenBeams(4), problem, prompt_ids, CONTEXT)
    conduct(engine, course)
    assert course.n_tokens == told.n_tokens == (1 + 4) * 40, "a greedy draft goes along"
    assert engine.clock.now_ns() / 1e9 == pytest.approx(told.seconds, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(text=st.sampled_from(BEAMS), seconds=st.floats(0.02, 2), seed=st.integers(0, 9))
def test_there_is_an_answer_when_the_time_is_over(
    library: ctypes.CDLL, text: str, seconds: float, seed: int
) -> None:
    engine = new(library)
    course = Course(compose(text, Kit()), asked(seed=seed), prompt_ids, CONTEXT)
    choice = conduct(engine, course, seconds=seconds)
    assert not engine.has_work
    assert engine.blocks.n_free == N_BLOCKS
    again = Course(compose(text, Kit()), asked(seed=seed), prompt_ids, CONTEXT, bound=course.reach)
    assert conduct(new(library), again) == choice, "as far as it came, it comes again"


@pytest.mark.parametrize("text", BEAMS)
def test_company_leaves_no_trace_in_beams(library: ctypes.CDLL, text: str) -> None:
    found = []
    for n_others in (0, 2):
        engine = new(library)
        for i in range(n_others):
            other = Course(compose("vote(4)", Kit()), asked(), prompt_ids, CONTEXT, name=f"o{i}")
            engine.add_samples(other.begin()[0])
        course = Course(compose(text, Kit()), asked(), prompt_ids, CONTEXT)
        found.append(conduct(engine, course).part.record())
    assert found[0] == found[1]


@pytest.mark.parametrize("text", BEAMS)
def test_beams_are_as_long_as_there_is_room(library: ctypes.CDLL, text: str) -> None:
    engine = new(library)
    room = len(prompt_ids(asked())) + 20
    context = 4 * -(-room // 16) * 16  # beams share it
    course = Course(compose(text, Kit()), asked(400, ignore_eos=True), prompt_ids, context)
    rehearsed = compose(text, Kit(rehearses=True))
    told = cost(rehearsed, asked(400), prompt_ids, engine.capacity, PRICE)
    choice = conduct(engine, course)
    assert choice.text
    assert course.n_tokens <= told.n_tokens
    assert engine.blocks.n_free == N_BLOCKS


def test_where_beams_have_no_room_there_is_a_greedy_draft(library: ctypes.CDLL) -> None:
    course = Course(TokenBeams(4), asked(), prompt_ids, 4 * 64)
    choice = conduct(new(library), course)
    assert choice.is_whole
    assert course.n_tokens == choice.part.drafts[0].n_tokens <= 40
