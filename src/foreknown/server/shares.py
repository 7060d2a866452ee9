"""What a request takes of a machine that it shares: its part of the time, energy and price."""

from __future__ import annotations

from dataclasses import dataclass

from foreknown.plan.price import StepPrice, decode_shape, prompt_shape


@dataclass(frozen=True)
class Share:
    """One request's part.

    Attributes:
        busy_s: seconds in which the machine computes for it alone, as it were.
        joules: that it takes meanwhile.
        usd: that the machine costs meanwhile; 0: nobody said what it costs.
    """

    busy_s: float
    joules: float
    usd: float


def share(
    price: StepPrice,
    n_prompt: int,
    n_output: int,
    company: int,
    *,
    max_tokens: int,
    max_rows: int,
    samples: int = 1,
    slower: float = 1.0,
) -> Share:
    """The part of a request whose answers have their greatest length, and nothing of whose prompt
    is computed already.

    Args:
        company: answers that decode beside its own: all of them pay alike for a step.
        max_tokens: of the largest step.
        max_rows: that decode in one step at most.
        samples: answers of the request; the first computes the prompt for all of them.
        slower: what steps took lately, in times their forecast.
    """
    busy_s = 0.0
    for start in range(0, n_prompt, max_tokens):
        stop = min(start + max_tokens, n_prompt)
        busy_s += price.seconds(prompt_shape(start, stop, rows=int(stop == n_prompt)))
    if n_output > 1:
        batch = min(company + samples, max_rows)
        step_s = price.seconds(decode_shape(batch, n_prompt + n_output / 2))
        busy_s += (n_output - 1) * samples * step_s / batch
    busy_s *= slower
    machine = price.machine
    return Share(busy_s, machine.busy_watts * busy_s, machine.usd_per_hour * busy_s / 3600)
