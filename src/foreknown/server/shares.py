"""What an answer takes of a machine that it shares: its part of the time, energy and price."""

from __future__ import annotations

from dataclasses import dataclass

from foreknown.plan.price import StepPrice, decode_shape, prompt_shape


@dataclass(frozen=True)
class Share:
    """One answer's part.

    Attributes:
        busy_s: seconds in which the machine computes for it alone, as it were.
        joules: that it takes meanwhile.
        usd: that the machine costs meanwhile; None: nobody said what it costs.
    """

    busy_s: float
    joules: float
    usd: float | None


def share(price: StepPrice, n_prompt: int, n_output: int, company: int, max_tokens: int) -> Share:
    """The part of an answer of its greatest length, none of whose prompt is computed already.

    Args:
        company: answers that decode beside it: all of them pay alike for a step.
        max_tokens: of the largest step.
    """
    busy_s = 0.0
    for start in range(0, n_prompt, max_tokens):
        stop = min(start + max_tokens, n_prompt)
        busy_s += price.seconds(prompt_shape(start, stop, rows=int(stop == n_prompt)))
    if n_output > 1:
        batch = company + 1
        step_s = price.seconds(decode_shape(batch, n_prompt + n_output / 2))
        busy_s += (n_output - 1) * step_s / batch
    machine = price.machine
    usd = machine.usd_per_hour * busy_s / 3600 if machine.usd_per_hour else None
    return Share(busy_s, machine.busy_watts * busy_s, usd)
