"""How a request wants its tokens chosen, checked before anything runs.

What each setting does to the logits, and in which order, stands at the top of
`targets/cpu/runtime/sample.c`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from foreknown.errors import RequestError

MAX_LOGPROBS = 128
MAX_STOPS = 64
MAX_TOP_K = 2**31 - 1
GREEDY_BELOW = 1e-5
"""Temperatures under this are greedy, as in vLLM: 1 / temperature would leave f32's range."""

_SEEDS = (-(2**63), 2**64 - 1)


@dataclass(frozen=True)
class SamplingParams:
    """Settings of one request; the defaults draw from the model's own distribution.

    Attributes:
        max_tokens: output tokens at most; None: as many as the context has room for.
        temperature: 0 is greedy, of equal logits the lowest id.
        top_k: the k best tokens only; 0 is off.
        top_p: the fewest best tokens that together reach this probability; 1 is off.
        min_p: only tokens with at least this share of the best one's probability; 0 is off.
        repetition_penalty: over prompt and output, divides positive logits and multiplies
            negative ones; 1 is off.
        presence_penalty: subtracted once from each token that is in the output.
        frequency_penalty: subtracted for each time a token is in the output.
        logit_bias: token → added to its logit.
        seed: of the draws; None: a random one.
        stop: texts that end the output and are not part of it.
        stop_token_ids: tokens that end the output, besides the model's end of sequence.
        ignore_eos: the model's end of sequence is a token like any other.
        min_tokens: output tokens before which no token or text ends the output.
        logprobs: None: no log-probabilities; n: the token's own and those of the n best.

    Raises:
        RequestError: a value of the wrong type or outside its range; names field and range.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        if self.max_tokens is not None:
            _whole("max_tokens", self.max_tokens, 1)
        _real("temperature", self.temperature, 0, 100)
        _whole("top_k", self.top_k, 0, MAX_TOP_K)
        _real("top_p", self.top_p, 0, 1)
        _real("min_p", self.min_p, 0, 1)
        _real("repetition_penalty", self.repetition_penalty, 0.01, 100)
        _real("presence_penalty", self.presence_penalty, -100, 100)
        _real("frequency_penalty", self.frequency_penalty, -100, 100)
        if self.seed is not None:
            _whole("seed", self.seed, *_SEEDS)
        if not isinstance(self.ignore_eos, bool):
            raise _wrong("ignore_eos", self.ignore_eos, "true or false")
        _whole("min_tokens", self.min_tokens, 0)
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise _wrong("min_tokens", self.min_tokens, f"at most max_tokens ({self.max_tokens})")
        if self.logprobs is not None:
            _whole("logprobs", self.logprobs, 0, MAX_LOGPROBS)
        self._check_collections()

    def _check_collections(self) -> None:
        if not isinstance(self.logit_bias, Mapping):
            raise _wrong("logit_bias", self.logit_bias, "a mapping of token ids to numbers")
        for token, bias in self.logit_bias.items():
            _whole("a token of logit_bias", token, 0)
            _real(f"logit_bias of token {token}", bias, -100, 100)
        if not isinstance(self.stop, (tuple, list)) or len(self.stop) > MAX_STOPS:
            raise _wrong("stop", self.stop, f"a text, or up to {MAX_STOPS} of them")
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise _wrong("an entry of stop", text, "a text of at least one character")
        if not isinstance(self.stop_token_ids, (tuple, list)):
            raise _wrong("stop_token_ids", self.stop_token_ids, "a list of token ids")
        for token in self.stop_token_ids:
            _whole("an entry of stop_token_ids", token, 0)
        object.__setattr__(self, "logit_bias", MappingProxyType(dict(self.logit_bias)))
        object.__setattr__(self, "stop", tuple(self.stop))
        object.__setattr__(self, "stop_token_ids", tuple(self.stop_token_ids))

    def check_vocabulary(self, vocab_size: int) -> None:
        """Refuse tokens that this model does not have.

        Raises:
            RequestError: a token of `logit_bias` or `stop_token_ids` is not in the vocabulary.
        """
        for token in self.logit_bias:
            _whole(f"logit_bias.{token}", token, 0, vocab_size - 1)
        for place, token in enumerate(self.stop_token_ids):
            _whole(f"stop_token_ids[{place}]", token, 0, vocab_size - 1)

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def penalises(self) -> bool:
        """Whether the history of tokens matters."""
        return (
            self.repetition_penalty != 1
            or self.presence_penalty != 0
            or self.frequency_penalty != 0
        )


def _whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    expected = f"a whole number of at least {least}"
    if most is not None:
        expected = f"a whole number from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, value, expected)
    if value < least or (most is not None and value > most):
        raise _wrong(name, value, expected)


def _real(name: str, value: Any, least: float, most: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        raise _wrong(name, value, f"a number from {least:g} to {most:g}")


def _wrong(name: str, value: Any, expected: str) -> RequestError:
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return RequestError(
        f"{name} is {shown}, where {expected} is expected",
        remedy=f"give {expected}",
        field=name,
    )
