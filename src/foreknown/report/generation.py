"""One request's outputs, gathered: text, tokens, times; and forecast beside measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TextIO

from foreknown.artifact.loading import MemoryPlan
from foreknown.engine import Output
from foreknown.report.forecast import Forecast
from foreknown.report.objectives import ms_text
from foreknown.report.tables import Table, bytes_text


@dataclass
class Generation:
    """What has come so far.

    Attributes:
        prompt_tokens: tokens that went in.
        load_ms: what loading took before.
        start_ns: when the request was made, by the engine's clock.
    """

    prompt_tokens: int
    load_ms: float
    start_ns: int
    outputs: list[Output] = field(default_factory=list)

    def add(self, output: Output) -> None:
        self.outputs.append(output)

    @property
    def text(self) -> str:
        return "".join(output.text for output in self.outputs)

    @property
    def token_ids(self) -> list[int]:
        return [output.token for output in self.outputs if output.token is not None]

    @property
    def finish_reason(self) -> str | None:
        return self.outputs[-1].finish_reason if self.outputs else None

    @property
    def first_token_ms(self) -> float | None:
        return (self.outputs[0].time_ns - self.start_ns) / 1e6 if self.outputs else None

    @property
    def total_ms(self) -> float | None:
        """To the last token."""
        return (self.outputs[-1].time_ns - self.start_ns) / 1e6 if self.outputs else None

    @property
    def decode_tok_s(self) -> float | None:
        """Tokens a second after the first; None for fewer than two."""
        times = [output.time_ns for output in self.outputs if output.token is not None]
        if len(times) < 2 or times[-1] == times[0]:
            return None
        return (len(times) - 1) / (times[-1] - times[0]) * 1e9

    def record(self, forecast: Forecast | None, *, top: bool = False) -> dict[str, Any]:
        """As `run --json` prints it; `top` adds the likeliest tokens at each place."""
        record: dict[str, Any] = {
            "text": self.text,
            "token_ids": self.token_ids,
            "logprobs": [output.logprob for output in self.outputs if output.token is not None],
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": len(self.token_ids),
            "finish_reason": self.finish_reason,
            "timings": {
                "load_ms": round(self.load_ms, 3),
                "first_token_ms": _rounded(self.first_token_ms),
                "decode_tok_s": _rounded(self.decode_tok_s),
                "total_ms": _rounded(self.total_ms),
            },
            "forecast": forecast.short_record() if forecast else None,
        }
        if top:
            record["top_logprobs"] = [
                [{"token_id": token, "logprob": logprob} for token, logprob in output.top_logprobs]
                for output in self.outputs
                if output.token is not None
            ]
        return record


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def print_stats(
    generation: Generation,
    forecast: Forecast | None,
    memory: MemoryPlan,
    resident: int,
    file: TextIO,
) -> None:
    """For people, after the answer.

    Args:
        resident: bytes by which the process has grown since before the model was loaded.
    """
    file.write("\n")
    columns = ("", "forecast", "measured")
    count = len(generation.token_ids)
    table = Table(f"{generation.prompt_tokens} tokens in, {count} out", columns, right=columns[1:])
    first, speed, total = generation.first_token_ms, generation.decode_tok_s, generation.total_ms
    table.row(
        "first token",
        ms_text(forecast.ttft_ms) if forecast else "-",
        "-" if first is None else ms_text(first),
    )
    table.row(
        "tokens a second",
        f"{forecast.decode_tok_s:,.0f}" if forecast else "-",
        "-" if speed is None else f"{speed:,.0f}",
    )
    table.row(
        "all of it",
        f"{ms_text(forecast.low_ms)} to {ms_text(forecast.high_ms)}" if forecast else "-",
        "-" if total is None else ms_text(total),
    )
    table.row("memory", bytes_text(memory.total), bytes_text(resident))
    table.row("loading", "", f"{generation.load_ms:.0f} ms")
    table.print(file)
    if forecast is not None and (forecast.machine.estimated or forecast.estimated):
        file.write(f"forecast: {forecast.provenance['machine']}\n")
