"""Reading a model's answer: content, reasoning and calls, told apart as its chat template shows."""

from foreknown.server.answers.formats import AnswerFormat, find_format
from foreknown.server.answers.parser import AnswerParser, calls_parser, text_parser
from foreknown.server.answers.pieces import (
    CallArguments,
    CallStart,
    Content,
    Piece,
    Reasoning,
)

__all__ = [
    "AnswerFormat",
    "AnswerParser",
    "CallArguments",
    "CallStart",
    "Content",
    "Piece",
    "Reasoning",
    "calls_parser",
    "find_format",
    "text_parser",
]
