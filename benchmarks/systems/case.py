"""What is measured: prompts and single tokens of some sequences, at some context."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PREFILL, DECODE = "prefill", "decode"
SHORT_CONTEXT, LONG_CONTEXT = 128, 4096
MOST_STEPS = 32
"""Steps of a decode case in one round, at most; the last attends to the whole context."""


@dataclass(frozen=True)
class Case:
    """One kind of step.

    Attributes:
        metric: "prefill": all tokens of one prompt in one go, logits of the last wanted;
            "decode": one token of each sequence, logits of each wanted.
        tokens: of the prompt; or positions that a decoded token attends to, its own the last.
        batch: sequences.
    """

    metric: str
    tokens: int
    batch: int

    @property
    def name(self) -> str:
        """As tables, ratios and the plot say it."""
        if self.metric == PREFILL:
            return f"prefill {self.tokens}"
        context = "" if self.tokens == SHORT_CONTEXT else f", context {self.tokens}"
        return f"decode batch {self.batch}{context}"

    @property
    def tokens_of_step(self) -> int:
        """Tokens that one step brings forward."""
        return self.tokens if self.metric == PREFILL else self.batch

    @property
    def first_past(self) -> int:
        """Tokens of a sequence that are there before the first step of a round."""
        return 0 if self.metric == PREFILL else max(1, self.tokens - MOST_STEPS)

    def record(self) -> dict[str, Any]:
        """As JSON; `Case(**record)` reads it."""
        return asdict(self)


CASES = (
    Case(PREFILL, 512, 1),
    *(Case(DECODE, SHORT_CONTEXT, batch) for batch in (1, 4, 8, 16)),
    Case(DECODE, LONG_CONTEXT, 1),
)
