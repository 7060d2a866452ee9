"""Closed-loop users: each sends its next request when its last one is answered.

Requests are prompts of random token ids, continued greedily to a given length whatever the model
says, as a stream. Both systems of a round get the same ones, in the same order.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from loads.connection import Response, ask, post
from loads.servers import Server

FIRST_ID = 300
"""Random prompts leave out special tokens and single bytes."""


class BadAnswer(Exception):
    """A server answered something that makes the measurement worthless."""


@dataclass(frozen=True)
class Question:
    """A request's prompt and how many tokens are to follow it."""

    prompt: tuple[int, ...]
    n_output: int

    def body(self, model: str) -> dict[str, object]:
        """What both servers take to mean the same."""
        return {
            "model": model,
            "prompt": self.prompt,
            "max_tokens": self.n_output,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


@dataclass(frozen=True)
class Answer:
    """When the tokens of one answer came.

    Attributes:
        token_s: when each event with text came; a token without text of its own has none.
        n_tokens: tokens, by the server's account.
    """

    sent_s: float
    token_s: tuple[float, ...]
    n_tokens: int
    text: str

    @property
    def first_s(self) -> float:
        """Seconds from request to first token."""
        return self.token_s[0] - self.sent_s

    @property
    def gaps_s(self) -> list[float]:
        """Seconds between one event and the next."""
        return [b - a for a, b in pairwise(self.token_s)]


@dataclass
class Round:
    """What all users saw.

    Attributes:
        busy_until_s: when the first user found nothing left to ask.
        client_s: processor time that the users took themselves.
    """

    answers: list[Answer] = field(default_factory=list)
    start_s: float = 0.0
    busy_until_s: float = 0.0
    client_s: float = 0.0

    @property
    def tokens_a_second(self) -> float:
        """Output tokens a second while all users were busy."""
        tokens = 0.0
        for answer in self.answers:
            events = sum(at <= self.busy_until_s for at in answer.token_s)
            tokens += events / len(answer.token_s) * answer.n_tokens
        return tokens / (self.busy_until_s - self.start_s)


def questions(
    chance: random.Random, n: int, n_prompt: int, n_output: int, vocabulary: int
) -> list[Question]:
    """Random prompts of one length; outputs from half to one and a half times theirs."""
    return [
        Question(
            random_prompt(chance, n_prompt, vocabulary),
            chance.randint(max(1, n_output // 2), max(1, n_output * 3 // 2)),
        )
        for _ in range(n)
    ]


def random_prompt(chance: random.Random, n: int, vocabulary: int) -> tuple[int, ...]:
    """Token ids."""
    return tuple(chance.randrange(FIRST_ID, vocabulary) for _ in range(n))


async def run_users(server: Server, n_users: int, asked: Sequence[Question]) -> Round:
    """Let users share out the questions, each on a connection of its own.

    Raises:
        BadAnswer: one was not answered in full.
    """
    requests = iter([(one, post("/v1/completions", one.body(server.model))) for one in asked])
    seen: list[tuple[Question, Response]] = []
    result = Round(start_s=time.perf_counter())
    before_s = time.process_time()
    await asyncio.gather(*(_user(server, requests, seen, result) for _ in range(n_users)))
    result.client_s = time.process_time() - before_s
    result.answers = [read_answer(question, response) for question, response in seen]
    return result


async def _user(
    server: Server,
    requests: Iterator[tuple[Question, bytes]],
    seen: list[tuple[Question, Response]],
    result: Round,
) -> None:
    for question, request in requests:
        seen.append((question, await ask(server.port, request)))
    result.busy_until_s = result.busy_until_s or time.perf_counter()


async def answered(server: Server, question: Question) -> Answer:
    """One question by itself."""
    response = await ask(server.port, post("/v1/completions", question.body(server.model)))
    return read_answer(question, response)


def read_answer(question: Question, response: Response) -> Answer:
    """The times of a stream's tokens.

    Raises:
        BadAnswer: it is no stream of so many tokens.
    """
    times, texts, n_tokens = [], [], 0
    for at_s, event in response.events():
        if usage := event.get("usage"):
            n_tokens = usage["completion_tokens"]
        for choice in event.get("choices", ()):
            if choice["text"]:
                times.append(at_s)
                texts.append(choice["text"])
    if response.status != 200 or n_tokens != question.n_output or not times:
        raise BadAnswer(
            f"{n_tokens} of {question.n_output} tokens in {len(times)} events, status "
            f"{response.status}: {bytes(response.body[-500:])!r}"
        )
    return Answer(response.sent_s, tuple(times), n_tokens, "".join(texts))
