"""Grammars that an answer must obey, over a model's tokens, by llguidance.

A `ConstraintCompiler` belongs to one served model. What it is given is checked and bounded, then
compiled once; each answer has a copy of its own, which says before every token which may come.
The tokens are the model's own: bytes from its tokenizer.json, ids up to its vocabulary's size, and
every token that ends an answer is allowed where the grammar may end.

In JSON there may be one space, or (not in calls) an end of line and an indentation, wherever JSON
lets it be, so no model can go on with spaces for ever. A character is escaped only where it must;
texts with control characters that have no short escape do not occur.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from foreknown.checkpoint import Tokenizer
from foreknown.errors import RequestError
from foreknown.server.json_schemas import rewrite, rewrite_calls
from foreknown.server.patterns import MAX_PATTERN

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_GRAMMAR = 32 << 10
"""Characters of a grammar."""

MAX_CHOICES = 1024
MAX_CHOICE_BYTES = 64 << 10
"""Of all choices together."""

CACHED = 64
"""Compiled grammars that are kept."""

_SHOWN = 200  # characters of a reason

INDENTED, CLOSE = r" |\n {0,20}", " "
"""What there may be wherever JSON lets whitespace be: as people write it, or as programs do."""

_JSON: JsonCompileOptions = {
    "json_allowed_escapes": 'nrbtf\\"',
    "lenient": False,
    "coerce_one_of": False,
}


def _limits() -> LLParserLimits:
    """What compiling and a step may take: tens of milliseconds and of megabytes at worst."""
    return LLParserLimits(
        max_items_in_row=10_000,
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=200_000,
        step_max_items=50_000,
        max_lexer_states=25_000,
        max_grammar_size=200_000,
        verbose_errors=False,
    )


class GrammarConstraint:
    """One answer within its grammar; an `engine.constraint.Constraint`."""

    __slots__ = ("_address", "_field", "_mask", "_matcher", "_what")

    def __init__(self, matcher: LLMatcher, words: int, what: str, field: str) -> None:
        self._matcher, self._what, self._field = matcher, what, field
        self._mask = np.zeros(words, np.uint32)
        self._address = self._mask.ctypes.data

    @property
    def complete(self) -> bool:
        """Whether the answer is whole and nothing but its end can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self) -> NDArray[np.uint32]:
        """Which tokens may come next.

        Raises:
            RequestError: the grammar has become too costly to follow.
        """
        self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
        self._check()
        return self._mask

    def accept(self, token: int) -> None:
        """Take one more token.

        Raises:
            RequestError: it was not allowed, or the grammar has become too costly to follow.
        """
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RequestError(
                f"{self._what} cannot be followed further: {_shortened(self._matcher.get_error())}",
                field=self._field,
                remedy="make it simpler",
            )


class ConstraintCompiler:
    """Makes constraints over one model's tokens; may be used by several threads.

    Args:
        tokenizer: the model's.
        vocab_size: its number of logits; there may be more of them than tokens.
        end_ids: tokens that end an answer.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_ids: Iterable[int]) -> None:
        self._tokenizer, self._vocab_size = tokenizer, vocab_size
        self._end_ids = sorted(end_ids)
        self._tokens: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = Lock()

    def json_object(self) -> GrammarConstraint:
        """Any JSON object."""
        return self._json({"type": "object"}, "")

    def json_schema(self, schema: Mapping[str, Any], field: str = "") -> GrammarConstraint:
        """JSON that is valid against a schema.

        Raises:
            RequestError: the schema is too large, wrong, or asks for what cannot be kept.
        """
        return self._json(rewrite(schema, field), field)

    def json_schema_of_calls(
        self, tools: Sequence[Mapping[str, Any]], name: str | None = None, *, parallel: bool = True
    ) -> GrammarConstraint:
        """A JSON array of calls: {"name": …, "arguments": …}.

        Args:
            tools: in OpenAI's form.
            name: the only one that may be called.
            parallel: whether there may be several calls.

        Raises:
            RequestError: a tool's parameters are a schema that is refused, or there is none of
                this name.
        """
        return self._json(rewrite_calls(tools, name, parallel=parallel), "tools", CLOSE)

    def regex(self, pattern: str, field: str = "") -> GrammarConstraint:
        """A text that a regular expression, in Rust's syntax, matches from end to end.

        Raises:
            RequestError: it is too long, wrong, or looks around.
        """
        if len(pattern) > MAX_PATTERN:
            raise _too_large("the pattern", len(pattern), MAX_PATTERN, "characters", field)
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise RequestError("the pattern ends in a lone backslash", field=field)
        return self._constraint("the pattern", LLMatcher.grammar_from_regex(pattern), field)

    def grammar(self, text: str, field: str = "") -> GrammarConstraint:
        """A text that obeys a grammar in llguidance's dialect of Lark.

        Raises:
            RequestError: it is too long, wrong, or too costly.
        """
        if len(text) > MAX_GRAMMAR:
            raise _too_large("the grammar", len(text), MAX_GRAMMAR, "characters", field)
        return self._constraint("the grammar", LLMatcher.grammar_from_lark(text), field)

    def choice(self, choices: Sequence[str], field: str = "") -> GrammarConstraint:
        """One of several texts.

        Raises:
            RequestError: there are none, too many, or one is not Unicode.
        """
        if not choices:
            raise RequestError("there is nothing to choose from", field=field, remedy="give a text")
        if len(choices) > MAX_CHOICES:
            raise _too_large("the list of choices", len(choices), MAX_CHOICES, "texts", field)
        size = sum(len(text.encode(errors="replace")) for text in choices)
        if size > MAX_CHOICE_BYTES:
            raise _too_large("the list of choices", size, MAX_CHOICE_BYTES, "bytes", field)
        pattern = "|".join(map(_literally, choices))
        return self._constraint("the choices", LLMatcher.grammar_from_regex(pattern), field)

    def _json(
        self, schema: Mapping[str, Any], field: str, whitespace: str = INDENTED
    ) -> GrammarConstraint:
        text = json.dumps(schema, ensure_ascii=False)
        overrides: JsonCompileOptions = {**_JSON, "whitespace_pattern": whitespace}
        grammar = LLMatcher.grammar_from_json_schema(text, overrides=overrides)
        return self._constraint("the schema", grammar, field)

    def _constraint(self, what: str, grammar: str, field: str) -> GrammarConstraint:
        """A constraint of its own for one answer; what was compiled before is not again."""
        with self._lock:
            tokens = self._tokens = self._tokens or self._read_tokens()
            matcher = self._compiled.get(grammar)
        if matcher is None:
            matcher = self._compile(what, tokens, grammar, field)
        with self._lock:
            self._compiled[grammar] = matcher
            self._compiled.move_to_end(grammar)
            while len(self._compiled) > CACHED:
                self._compiled.popitem(last=False)
            copy = matcher.deep_copy()
        return GrammarConstraint(copy, -(-tokens.vocab_size // 32), what, field)

    def _compile(self, what: str, tokens: LLTokenizer, grammar: str, field: str) -> LLMatcher:
        matcher = LLMatcher(tokens, grammar, log_level=0, limits=_limits())
        reasons = [matcher.get_error()] if matcher.is_error() else matcher.get_grammar_warnings()
        reasons = reasons or self._first_reasons(matcher.deep_copy())
        if reasons:
            raise RequestError(f"{what} cannot be kept to: {_shortened(reasons[0])}",
                               field=field, remedy="make it simpler")  # fmt: skip
        return matcher

    def _first_reasons(self, matcher: LLMatcher) -> list[str]:
        """What only shows when a grammar is used."""
        mask = np.frombuffer(matcher.compute_bitmask(), np.uint32)
        if mask.any() and not matcher.is_error():
            return []
        reason = matcher.get_error()
        none = not reason or reason.startswith("NoExtension")
        return ["no text obeys it" if none else reason]

    def _read_tokens(self) -> LLTokenizer:
        text = self._tokenizer.backend.to_str()
        size = max(self._vocab_size, self._tokenizer.vocab_size)
        ends = self._end_ids or None
        try:
            return LLTokenizer(text, n_vocab=size, eos_token=ends)
        except ValueError:  # a decoder that it does not know
            tokens = TokenizerWrapper(_Tokens(self._tokenizer, self._end_ids))
            return LLTokenizer(tokens, n_vocab=size, eos_token=ends)


class _Tokens:
    """The tokens of a tokenizer by their bytes, as llguidance asks for them."""

    def __init__(self, tokenizer: Tokenizer, end_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.special_token_ids = sorted(tokenizer.special_ids)
        self.bos_token_id = None
        self.eos_token_id = (*end_ids, *self.special_token_ids, 0)[0]

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenizer.encode(text.decode(errors="replace"), add_special_tokens=False)


def _literally(text: str) -> str:
    """A pattern that matches a text and nothing else."""
    return "".join(
        character if character.isascii() and character.isalnum() else f"\\x{{{ord(character):x}}}"
        for character in text
    )


def _shortened(reason: str) -> str:
    """A reason in one line; some repeat all of what they were given."""
    line = re.sub(r"\s+", " ", reason.replace("<non-verbose/>", "")).strip()
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _too_large(what: str, size: int, most: int, unit: str, field: str) -> RequestError:
    return RequestError(
        f"{what} has {size} {unit}, where {most} are the most",
        field=field,
        remedy="send a smaller one",
    )
