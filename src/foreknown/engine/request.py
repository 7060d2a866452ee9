"""What a caller asks of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from foreknown.engine.constraint import Constraint
from foreknown.engine.promises import Objective
from foreknown.engine.sampling import SamplingParams

Embed = Literal["", "mean", "last", "first"]


@dataclass(frozen=True)
class Beams:
    """Beam search instead of sampling: the likeliest whole answers that are found.

    Attributes:
        width: beams that advance together, and answers that are kept.
        length_penalty: an answer counts its log-probability divided by its length to this power.
        n: how many of the best are given.
    """

    width: int
    length_penalty: float = 1.0
    n: int = 1


@dataclass(frozen=True)
class Request:
    """A prompt to be continued.

    Attributes:
        prompt: token ids, at least one.
        params: how tokens are chosen and when to stop.
        id: names the request in outputs; empty: the engine gives it one. Of several answers,
            each has the number of its place after it.
        user: whose it is: users take turns, whoever asks for more.
        salt: requests share the state of equal prompts only if they have the same one.
        samples: how many answers, drawn with the seeds seed, seed + 1, …
        new_constraint: makes what an answer must obey, one for each sample.
        prompt_logprobs: the log-probabilities of the prompt's own tokens too, each with those of
            so many best ones; None: not.
        embed: no answer, but the mean over the prompt's hidden states, or the last or first one.
        beams: beam search; the settings of draws do not matter then.
        objective: what must be kept; None: whatever comes.
    """

    prompt: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    id: str = ""
    user: str = ""
    salt: str = ""
    samples: int = 1
    new_constraint: Callable[[], Constraint] | None = None
    prompt_logprobs: int | None = None
    embed: Embed = ""
    beams: Beams | None = None
    objective: Objective | None = None
