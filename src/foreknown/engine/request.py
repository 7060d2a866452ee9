"""What a caller asks of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from foreknown.engine.sampling import SamplingParams


@dataclass(frozen=True)
class Request:
    """A prompt to be continued.

    Attributes:
        prompt: token ids, at least one.
        params: how tokens are chosen and when to stop.
        id: names the request in outputs; empty: the engine gives it one.
    """

    prompt: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    id: str = ""
