"""Which markings a chat template shows, and so how the model's answers are read.

A format is known by its markers, which stand in the template: in what it tells of tools, and in
how it writes the calls and the reasoning of earlier turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foreknown.server.answers import channels
from foreknown.server.answers.known import (
    FRAMES,
    INVOKED,
    PARAMETERS,
    REASONING,
    SYNTAXES,
    TAGGED_JSON,
)
from foreknown.server.answers.marked import Markings, Span, read_marked
from foreknown.server.answers.parser import AnswerParser
from foreknown.server.answers.pieces import Writer
from foreknown.server.answers.reader import Reader
from foreknown.server.answers.syntaxes import AddressedCalls, Syntax
from foreknown.server.answers.tools import Tools

_THINK = re.compile(r"</?((?:\w+:)?think)>")
_PREFIXED = re.compile(r"<(\w+:tool_call)>")
_CODE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_QUOTED = re.compile(r"'[^'\\]*(?:\\.[^'\\]*)*'|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)
_TOOLS = re.compile(r"(?<![\w.])tools\b")


@dataclass(frozen=True)
class AnswerFormat:
    """How the answers of a model are read.

    Attributes:
        markings: what tells reasoning and calls from content.
        has_channels: answers are messages with headers instead.
        calls_tools: the template has a place for tools. Models for which it has none can be told
            to write calls as in `TAGGED_JSON`, which is read all the same.
    """

    markings: Markings
    has_channels: bool
    calls_tools: bool

    @property
    def thinks(self) -> bool:
        """Whether answers may hold reasoning."""
        return self.has_channels or bool(self.markings.reasoning)

    @property
    def markers(self) -> frozenset[str]:
        """Texts that must reach the parser even where they are special tokens."""
        spans = (*self.markings.reasoning, *self.markings.frames)
        found = {marker for span in spans for marker in (span.open, span.close)}
        found.update(text for syntax in self.markings.syntaxes for text in syntax.markers)
        return frozenset(found | set(channels.MARKERS if self.has_channels else ()))

    def parser(
        self,
        prompt_end: str = "",
        *,
        tools: Sequence[Mapping[str, Any]] | None,
        reasoning: bool = True,
    ) -> AnswerParser:
        """A parser of one answer.

        Args:
            prompt_end: the last 200 characters of the prompt, or so: the answer may begin inside
                of reasoning.
            tools: the functions that may be called, in OpenAI's form; None: no calls are read.
            reasoning: whether it is told from content; else it is content, markers and all.
        """
        known = Tools(tools or ())
        if self.has_channels:
            reader = Reader(channels.given(prompt_end))
            writer = Writer()
            steps = channels.read_channels(reader, writer, reasoning, known)
            return AnswerParser(reader, writer, steps)
        markings = replace(
            self.markings,
            reasoning=self.markings.reasoning if reasoning else (),
            syntaxes=[
                syntax
                for syntax in self.markings.syntaxes
                if known or isinstance(syntax, AddressedCalls)
            ],
        )
        reader = Reader(markings.given(prompt_end))
        writer = Writer(begun=not markings.closes(prompt_end))
        return AnswerParser(reader, writer, read_marked(reader, writer, markings, known))


def find_format(template: str) -> AnswerFormat:
    """The format that a chat template shows.

    Args:
        template: its source; several may be joined.
    """
    has_channels = "<|channel|>" in template and "<|message|>" in template
    calls_tools = _has_place_for_tools(template)
    syntaxes = () if has_channels else tuple(_syntaxes(template))
    if not has_channels and not (calls_tools and syntaxes):
        syntaxes = _begun_otherwise((*syntaxes, TAGGED_JSON))
    frames = tuple(span for text, span in FRAMES if text in template)
    return AnswerFormat(
        Markings(tuple(_reasoning(template)), frames, syntaxes), has_channels, calls_tools
    )


def _syntaxes(template: str) -> tuple[Syntax, ...]:
    shown = (syntax for texts, syntax in SYNTAXES if all(text in template for text in texts))
    return _begun_otherwise((*_prefixed(template), *shown))


def _begun_otherwise(syntaxes: Iterable[Syntax]) -> tuple[Syntax, ...]:
    """Of syntaxes that begin alike only the first."""
    kept, claimed = [], set[str]()
    for syntax in syntaxes:
        openers = {*syntax.openers, *syntax.first_openers}
        if not openers & claimed:
            claimed |= openers
            kept.append(syntax)
    return tuple(kept)


def _prefixed(template: str) -> Iterator[Syntax]:
    """Calls in the tag <…:tool_call>, whatever stands before the colon."""
    found = _PREFIXED.search(template)
    if found is not None:
        opener, closer = f"<{found[1]}>", f"</{found[1]}>"
        if "<function=" in template:
            yield replace(PARAMETERS, open=opener, close=closer)
        elif "<invoke name=" in template:
            yield replace(INVOKED, open=opener, close=closer)
        else:
            yield replace(TAGGED_JSON, open=opener, close=closer)


def _reasoning(template: str) -> Iterator[Span]:
    for name in sorted({found[1] for found in _THINK.finditer(template)}):
        yield Span(f"<{name}>", f"</{name}>")
    for text, span in REASONING:
        if text in template:
            yield span


def _has_place_for_tools(template: str) -> bool:
    """Whether the template's code, not its texts, speaks of `tools`."""
    code = " ".join(_CODE.findall(template))
    return _TOOLS.search(_QUOTED.sub("''", code)) is not None
