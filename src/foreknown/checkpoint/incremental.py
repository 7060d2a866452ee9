"""Token ids to text, one by one, never half a character."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from foreknown.checkpoint.decoder_stages import CleanUp, Stage, Whole, stages_of

if TYPE_CHECKING:
    from foreknown.checkpoint.tokenizer import Tokenizer


class Detokenizer:
    """A streaming decoder for one generation; `Tokenizer.detokenizer` makes one."""

    def __init__(self, tokenizer: Tokenizer, skipped: frozenset[int]) -> None:
        self._id_to_token = tokenizer.backend.id_to_token
        self._skipped = skipped
        decoder = tokenizer.backend.decoder
        # The decoder's own description, as tokenizer.json has it.
        step = None if decoder is None else json.loads(decoder.__getstate__())
        stages = stages_of(step)
        if stages is None:
            stages = [Whole(decoder.decode)]
        if tokenizer.cleans_up:
            stages.append(CleanUp())
        self._stages: list[Stage] = stages

    def push(self, token_id: int) -> str:
        """The text that is certain now; empty while a character is incomplete."""
        if token_id in self._skipped:
            return ""
        token = self._id_to_token(token_id)
        return "" if token is None else "".join(self._run(0, [token]))

    def finish(self) -> str:
        """The rest, incomplete characters as U+FFFD. Call it once, after the last token."""
        pieces: list[str] = []
        for index, stage in enumerate(self._stages):
            pieces += self._run(index + 1, stage.finish())
        return "".join(pieces)

    def _run(self, first: int, texts: list[str]) -> list[str]:
        for stage in self._stages[first:]:
            texts = [piece for text in texts for piece in stage.push(text)]
        return texts
