"""Answers in which markers tell reasoning and calls from content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from foreknown.server.answers.pieces import Content, Reasoning, Writer
from foreknown.server.answers.reader import Malformed, Reader, Steps, markers
from foreknown.server.answers.syntaxes import Syntax
from foreknown.server.answers.tools import Tools


@dataclass(frozen=True)
class Span:
    """Text between two markers.

    Attributes:
        anywhere: it may begin after content; else only before any, since people write of such
            markers, too.
    """

    open: str
    close: str
    anywhere: bool = False


@dataclass(frozen=True)
class Markings:
    """What may be marked in an answer.

    Attributes:
        reasoning: spans of reasoning.
        frames: spans that content may stand in.
        syntaxes: ways to write calls.
    """

    reasoning: Sequence[Span] = ()
    frames: Sequence[Span] = ()
    syntaxes: Sequence[Syntax] = ()

    @cached_property
    def reasoning_by_opener(self) -> dict[str, Span]:
        return {span.open: span for span in self.reasoning}

    @cached_property
    def frames_by_opener(self) -> dict[str, Span]:
        return {span.open: span for span in self.frames}

    @cached_property
    def syntax_by_opener(self) -> dict[str, Syntax]:
        return {
            opener: syntax
            for syntax in self.syntaxes
            for opener in (*syntax.openers, *syntax.first_openers)
        }

    @cached_property
    def breaking(self) -> tuple[str, ...]:
        """Openers of calls that end reasoning."""
        broken = (syntax.openers for syntax in self.syntaxes if syntax.breaks_reasoning)
        return tuple(opener for openers in broken for opener in openers)

    @cached_property
    def first(self) -> tuple[str, ...]:
        """Openers before any content."""
        return (*self.reasoning_by_opener, *self.frames_by_opener, *self.syntax_by_opener)

    @cached_property
    def later(self) -> tuple[str, ...]:
        """Openers after content."""
        spans = (span.open for span in self.reasoning if span.anywhere)
        return (*spans, *(opener for syntax in self.syntaxes for opener in syntax.openers))

    def given(self, prompt_end: str) -> str:
        """The opener that a prompt ends with, whitespace aside; empty if it ends with none."""
        prompt_end = prompt_end.rstrip()
        brackets = {opener for syntax in self.syntaxes for opener in syntax.first_openers}
        openers = (opener for opener in self.first if opener not in brackets)
        ends = [opener for opener in openers if prompt_end.endswith(opener.rstrip())]
        return max(ends, key=len, default="")

    def closes(self, prompt_end: str) -> bool:
        """Whether a prompt ends with the end of reasoning."""
        prompt_end = prompt_end.rstrip()
        return any(prompt_end.endswith(span.close) for span in self.reasoning)


def read_marked(reader: Reader, writer: Writer, markings: Markings, tools: Tools) -> Steps[None]:
    """Reads an answer to its end."""
    inside: Span | None = None
    frame: Span | None = None
    nothing_yet = True

    def passed(_: str) -> None:
        writer.write(reader.taken())

    while True:
        if nothing_yet:
            nothing_yet = False
            yield from reader.space()
            writer.write(reader.taken())
            options = markings.first if inside is None else (inside.open, inside.close)
            marker = yield from reader.literal(*options, *(_closer(frame) if not inside else ()))
            if marker is None:
                continue
        else:
            if inside is None:
                ends = markers(*markings.later, *_closer(frame))
            else:
                ends = markers(inside.close, *markings.breaking)
            marker = yield from reader.flow(ends, passed)
            if marker is None:
                return

        if marker in markings.syntax_by_opener and (inside is None or marker in markings.breaking):
            syntax = markings.syntax_by_opener[marker]
            try:
                calls = yield from syntax.read(reader, marker, tools)
            except Malformed:
                writer.write(reader.taken())
                continue
            writer.call(calls)
            inside, nothing_yet = None, True
        elif inside is not None:
            # Its opener again: some say once more what the prompt has said already.
            if marker == inside.close:
                inside = None
                writer.turn(Content)
            nothing_yet = True
        elif marker in markings.reasoning_by_opener:
            inside, nothing_yet = markings.reasoning_by_opener[marker], True
            writer.turn(Reasoning)
        else:
            frame = markings.frames_by_opener.get(marker)
            nothing_yet = True
            writer.turn(Content)
        reader.taken()


def _closer(frame: Span | None) -> tuple[str, ...]:
    return () if frame is None else (frame.close,)
