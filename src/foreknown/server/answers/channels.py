"""Answers made of messages, each with a header that names its channel and whom it is for.

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…
    <|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}<|call|>

Messages on the channel "analysis" are reasoning; those to a function are calls; the rest is
content.
"""

from __future__ import annotations

import re

from foreknown.server.answers.pieces import Call, Content, Reasoning, Writer
from foreknown.server.answers.reader import JSON, Malformed, Reader, Steps, markers
from foreknown.server.answers.tools import Tools
from foreknown.server.answers.values import checked_name, json_object

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>")
MARKERS = (START, CHANNEL, MESSAGE, *_ENDS, "<|constrain|>")

_FUNCTIONS = "functions."
_HEADER_LIMIT = 256
_ROLE = re.compile(r"[\w.]*")
_IN_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_FOR = re.compile(r"\bto=([^\s<]+)")


def given(prompt_end: str) -> str:
    """The header that a prompt has begun."""
    place = prompt_end.rfind(START)
    return prompt_end[place:] if place >= 0 else ""


def read_channels(reader: Reader, writer: Writer, reasoning: bool, tools: Tools) -> Steps[None]:
    """Reads an answer to its end.

    Args:
        reasoning: whether it is told from content.
    """

    def passed(_: str) -> None:
        writer.write(reader.taken())

    begun = False
    while True:
        name, to_tool = "", False
        try:
            header = yield from _header(reader, begun)
            channel, recipient = _IN_CHANNEL.search(header), _FOR.search(header)
            name = "" if recipient is None else recipient[1]
            to_tool = name.startswith(_FUNCTIONS) or name in tools
            if to_tool and tools:
                writer.call([(yield from _call(reader, name))])
                begun = (yield from reader.literal(*_ENDS, START)) == START
                reader.taken()
                continue
        except Malformed:
            writer.write(reader.taken())
        else:
            if to_tool:
                writer.write(reader.taken())
            elif reasoning and channel is not None and channel[1] == "analysis":
                writer.turn(Reasoning)
            reader.taken()
        end = yield from reader.flow(markers(*_ENDS, START), passed)
        if end is None:
            return
        reader.taken()
        writer.turn(Content)
        begun = end == START


def _header(reader: Reader, begun: bool) -> Steps[str]:
    """A message's header; with `begun` its first marker was taken.

    Raises:
        Malformed: there is none.
    """
    parts = [(yield from reader.space())]
    if begun or (yield from reader.literal(START)) is not None:
        parts.append((yield from reader.run(_ROLE)))
        parts.append((yield from reader.space()))
    if (yield from reader.ahead(CHANNEL, MESSAGE, "to=")) is None:
        raise Malformed
    parts += yield from reader.until(MESSAGE, limit=_HEADER_LIMIT)
    return "".join(parts)


def _call(reader: Reader, name: str) -> Steps[Call]:
    yield from reader.space()
    text = yield from reader.balanced(JSON)
    call = Call(checked_name(name), json_object(text))
    yield from reader.space()
    return call
