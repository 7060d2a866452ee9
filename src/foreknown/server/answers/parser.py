"""Reads an answer as it comes."""

from __future__ import annotations

from foreknown.server.answers.pieces import Piece, Writer
from foreknown.server.answers.reader import JSON, Malformed, Reader, Steps
from foreknown.server.answers.values import json_calls

_WINDOW = 4096
"""Characters read at once: what looks ahead and finds nothing has looked no further."""


class AnswerParser:
    """Tells an answer's content, reasoning and calls apart.

    However the text is cut, the pieces are the same when those of a kind are joined. What may be
    the beginning of a marker, and whitespace that may stand beside one, is held back until that
    is known; a call until it is whole. What looks like a call and is none is content, unchanged.

    Args:
        reader: where the text goes.
        writer: what `steps` write to.
        steps: the reading.
    """

    def __init__(self, reader: Reader, writer: Writer, steps: Steps[None]) -> None:
        self._reader, self._writer, self._steps = reader, writer, steps

    def push(self, text: str) -> list[Piece]:
        """Take more text; returns what is certain."""
        for start in range(0, len(text), _WINDOW):
            self._reader.add(text[start : start + _WINDOW])
            next(self._steps, None)
        return self._writer.pieces()

    def finish(self) -> list[Piece]:
        """The rest, now that no more text will come."""
        self._reader.ended = True
        next(self._steps, None)
        self._writer.end()
        return self._writer.pieces()


def text_parser() -> AnswerParser:
    """A parser of answers that are all content."""
    reader, writer = Reader(), Writer()
    return AnswerParser(reader, writer, _read_text(reader, writer))


def calls_parser() -> AnswerParser:
    """A parser of answers that are a JSON array of calls, {"name", "arguments"} each."""
    reader, writer = Reader(), Writer()
    return AnswerParser(reader, writer, _read_calls(reader, writer))


def _read_text(reader: Reader, writer: Writer) -> Steps[None]:
    while True:
        reader.rest()
        writer.pass_on(reader.taken())
        if reader.ended:
            return
        yield


def _read_calls(reader: Reader, writer: Writer) -> Steps[None]:
    try:
        yield from reader.space()
        if (yield from reader.literal("[")) is None:
            raise Malformed
        closed: str | None = ","
        while closed == ",":  # a call that is whole counts, whatever becomes of the next
            yield from reader.space()
            text = yield from reader.balanced(JSON)
            yield from reader.space()
            closed = yield from reader.literal(",", "]")
            writer.call(json_calls(text))
            reader.taken()
    except Malformed:
        pass
    yield from _read_text(reader, writer)
