"""A model that is being served: its program's engine, and how it reads and writes text."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from foreknown.artifact import Artifact, LoadedProgram
from foreknown.checkpoint import Checkpoint
from foreknown.engine import Engine, SamplingParams
from foreknown.engine.defaults import with_defaults
from foreknown.errors import RequestError
from foreknown.plan.price import StepPrice
from foreknown.server.answers import AnswerFormat
from foreknown.server.errors import TOO_LONG, Refusal

if TYPE_CHECKING:
    from foreknown.server.constraints import ConstraintCompiler

THREAD_CHARACTERS = 16_384
"""Longer texts are turned into tokens beside the event loop, so that others' tokens do not wait."""

SHRINKING = 4
"""How much shorter a tokenizer may make a text before it cuts it into tokens."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded model under its name.

    Attributes:
        index: its engine's place in the engine thread.
        answer_format: how its answers tell calls and reasoning from text, as its template shows.
        created_s: when it was compiled, in seconds since 1970.
        price: of its steps on this machine; None: nobody knows.
    """

    name: str
    index: int
    artifact: Artifact
    loaded: LoadedProgram
    checkpoint: Checkpoint
    engine: Engine
    answer_format: AnswerFormat
    created_s: int
    price: StepPrice | None = None

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.engine.max_length

    @property
    def fingerprint(self) -> str:
        """Of everything that the bits of an answer depend on, but request and seed."""
        return f"fk-{self.artifact.manifest.weights_checksum}"

    @property
    def chats(self) -> bool:
        return self.checkpoint.chat_template is not None

    @cached_property
    def constraints(self) -> ConstraintCompiler:
        """Grammars over its tokens; made when first asked for, since that takes a while."""
        from foreknown.server.constraints import ConstraintCompiler

        return ConstraintCompiler(
            self.checkpoint.tokenizer, self.engine.program.vocab_size, self.engine.end_ids
        )

    def params(self, **given: Any) -> SamplingParams:
        """Settings of a request over the checkpoint's own; see `with_defaults`.

        Raises:
            RequestError: a value outside its range.
        """
        return with_defaults(self.checkpoint.generation, **given)

    @cached_property
    def _most_characters(self) -> int:
        """No longer text has as few tokens as the context holds, whatever it is."""
        vocabulary = self.checkpoint.tokenizer.backend.get_vocab()
        return SHRINKING * self.context * max(map(len, vocabulary), default=1)

    async def encode(self, text: str, *, special: bool = True, param: str = "prompt") -> list[int]:
        """Token ids of a text.

        Raises:
            Refusal: there is no tokenizer, the text is no Unicode, or it is far too long.
        """
        if not self.checkpoint.has_tokenizer:
            raise Refusal(
                "this model has no tokenizer", param=param, remedy="send the prompt as token ids"
            )
        if len(text) > self._most_characters:
            raise Refusal(
                f"the text of {len(text)} characters is longer than the model's context length "
                f"of {self.context} tokens can be",
                param=param,
                code=TOO_LONG,
                remedy="shorten it, or compile with a longer --context",
            )
        encode = self.checkpoint.tokenizer.encode
        try:
            if len(text) < THREAD_CHARACTERS:
                return encode(text, special)
            return await asyncio.to_thread(encode, text, special)
        except RequestError as error:
            raise Refusal(error.what, param=param, remedy=error.remedy) from None

    def token_text(self, token: int) -> str:
        """One token alone, as text; a part of a character shows as U+FFFD."""
        if not self.checkpoint.has_tokenizer:
            return f"token_id:{token}"
        return self.checkpoint.tokenizer.decode([token], skip_special_tokens=False)

    def token_bytes(self, token: int) -> bytes:
        """One token alone, as bytes."""
        if not self.checkpoint.has_tokenizer:
            return b""
        return self.checkpoint.tokenizer.token_bytes(token)
