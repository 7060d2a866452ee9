"""How a conversation becomes text and tokens: ChatML roles, and which tokens are learned."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from foreknown.evaluation.problems import Message, Problem

START, END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""


def opening(role: str) -> str:
    return f"{START}{role}\n"


def prompt_text(messages: tuple[Message, ...]) -> str:
    """What the chat template gives with `add_generation_prompt`."""
    said = "".join(f"{opening(message.role)}{message.text}{END}\n" for message in messages)
    return said + opening("assistant")


def conversation(problem: Problem) -> tuple[Message, ...]:
    """The prompt and the taught reply."""
    return (*problem.prompt, Message("assistant", problem.solution))


@dataclass(frozen=True)
class Lesson:
    """One training sequence: token ids, and for each whether the model learns to predict it."""

    tokens: list[int]
    learned: list[bool]


def lesson(messages: tuple[Message, ...], tokenizer: Tokenizer, max_tokens: int) -> Lesson:
    """Tokens of a conversation, cut after `max_tokens`; replies and their ends are learned."""
    tokens: list[int] = []
    learned: list[bool] = []
    pieces = [
        piece
        for message in messages
        for piece in (opening(message.role), f"{message.text}{END}", "\n")
    ]
    ids = iter(encoding.ids for encoding in tokenizer.encode_batch(pieces))
    for message, head, body, tail in zip(messages, ids, ids, ids, strict=False):
        taught = message.role == "assistant" and message.taught
        tokens += head + body + tail
        learned += [False] * len(head) + [taught] * len(body) + [False] * len(tail)
    return Lesson(tokens[:max_tokens], learned[:max_tokens])
