"""Prometheus metrics, named in the style that dashboards of language-model servers know."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from foreknown.engine import Engine
from foreknown.server.underway import Usage

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_RATIOS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1, 1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2, 4)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)

_GAUGES: tuple[tuple[str, str, Callable[[Engine], float]], ...] = (
    ("num_requests_running", "Sequences that hold blocks.", lambda e: e.stats().running),
    ("num_requests_waiting", "Sequences that wait for their turn.", lambda e: e.stats().waiting),
    (
        "kv_cache_usage_perc",
        "Share of the blocks of state that sequences hold, 0 to 1.",
        lambda e: e.stats().held_blocks / max(e.stats().total_blocks, 1),
    ),
    ("drift_ratio", "What steps took lately, in times their forecast.", lambda e: e.drift.ratio),
    (
        "promise_margin_ratio",
        "What promises add to forecasts, as a share of them.",
        lambda e: e.drift.margin,
    ),
)
_COUNTERS: tuple[tuple[str, str, Callable[[Engine], float]], ...] = (
    (
        "prefix_cache_queries",
        "Prompt tokens that were looked for in the prefix cache.",
        lambda e: e.stats().prefix_asked,
    ),
    (
        "prefix_cache_hits",
        "Prompt tokens that were found in the prefix cache.",
        lambda e: e.stats().prefix_found,
    ),
    (
        "num_preemptions",
        "Sequences that gave their blocks back and were computed again.",
        lambda e: e.stats().preemptions,
    ),
    ("engine_steps", "Steps that were run.", lambda e: e.n_steps),
    ("clock_jumps", "Times that the clock jumped.", lambda e: e.drift.clock_jumps),
    ("spec_decode_num_draft_tokens", "Tokens that were guessed.", lambda e: e.n_drafted),
    ("spec_decode_num_accepted_tokens", "Guesses that were right.", lambda e: e.n_accepted),
)
PREFIX = "foreknown:"
FORECAST_EVERY_NS = 1_000_000_000

Fate = Literal["made", "kept", "broken", "aborted", "refused"]
_FATES: dict[Fate, str] = {
    "made": "Promises that were given.",
    "kept": "Promises that were kept.",
    "broken": "Promises whose answers came too late.",
    "aborted": "Promises whose requests were given up before they were due.",
    "refused": "Objectives that could not be promised.",
}


class Metrics:
    """What is counted of requests; what engines count is read when it is asked for.

    Args:
        engines: of each model, by its name.
    """

    def __init__(self, engines: Sequence[tuple[str, Engine]]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Engines(engines))

        def histogram(name: str, what: str, buckets: Sequence[float]) -> Histogram:
            labels = ("model_name",)
            return Histogram(
                PREFIX + name, what, labels, registry=self.registry, buckets=tuple(buckets)
            )

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(PREFIX + name, what, labels, registry=self.registry)

        self._first = histogram(
            "time_to_first_token_seconds", "From a request's arrival to its first token.", _SECONDS
        )
        self._next = histogram(
            "inter_token_latency_seconds", "Between a token and the one before it.", _SECONDS
        )
        self._whole = histogram(
            "e2e_request_latency_seconds", "From a request's arrival to its last token.", _SECONDS
        )
        self._output = histogram("request_generation_tokens", "Tokens of an answer.", _TOKENS)
        self._prompt = histogram("request_prompt_tokens", "Tokens of a prompt.", _TOKENS)
        self._prompt_total = counter("prompt_tokens", "Tokens of prompts.", "model_name")
        self._output_total = counter("generation_tokens", "Tokens of answers.", "model_name")
        self._finished = counter(
            "request_success", "Samples that ended, by why.", "model_name", "finished_reason"
        )
        self._strategies = counter(
            "strategy_answers",
            "Answers by a strategy.",
            "model_name",
            "strategy",
            "finished_reason",
        )
        self._promises = {
            fate: counter(f"promises_{fate}", what, "model_name") for fate, what in _FATES.items()
        }
        self._errors = Histogram(
            PREFIX + "forecast_error_ratio",
            "What answers took, in times what was told: of the first token, and in total.",
            ("model_name", "of"),
            registry=self.registry,
            buckets=_RATIOS,
        )
        self._fates: Tally[tuple[str, Fate]] = Tally()
        self._next_forecast_ns: Tally[str] = Tally()
        for name, _ in engines:
            for promises in self._promises.values():
                promises.labels(name)
            for of in ("ttft", "total"):
                self._errors.labels(name, of)
        self._responses = counter("http_requests", "Responses by status.", "handler", "status")

    def asked(self, model: str, prompt_tokens: int) -> None:
        self._prompt.labels(model).observe(prompt_tokens)
        self._prompt_total.labels(model).inc(prompt_tokens)

    def first_token(self, model: str, seconds: float) -> None:
        self._first.labels(model).observe(seconds)
        self._output_total.labels(model).inc()

    def next_token(self, model: str, seconds: float) -> None:
        self._next.labels(model).observe(seconds)
        self._output_total.labels(model).inc()

    def request(self, model: str, output_tokens: int, seconds: float) -> None:
        self._output.labels(model).observe(output_tokens)
        self._whole.labels(model).observe(seconds)

    def finished(self, model: str, reason: str, n_samples: int = 1) -> None:
        self._finished.labels(model, reason).inc(n_samples)

    def deliberated(
        self, model: str, strategy: str, reason: str, seconds: float, usage: Usage
    ) -> None:
        """An answer by a strategy; its tokens are those of all drafts together."""
        self.asked(model, usage.prompt_tokens)
        self._output_total.labels(model).inc(usage.completion_tokens)
        self.request(model, usage.completion_tokens, seconds)
        self._strategies.labels(model, strategy, reason).inc()

    def promised(self, model: str, fate: Fate) -> None:
        self._promises[fate].labels(model).inc()
        self._fates[model, fate] += 1

    def forecast_is_due(self, model: str, now_ns: int) -> bool:
        """Whether a request of a model is to be forecast only to see how far that errs: one a
        second, whatever callers ask for."""
        if now_ns < self._next_forecast_ns[model]:
            return False
        self._next_forecast_ns[model] = now_ns + FORECAST_EVERY_NS
        return True

    def forecast_erred(self, model: str, of: str, ratio: float) -> None:
        self._errors.labels(model, of).observe(ratio)

    def promises(self, model: str) -> dict[str, int]:
        """How many there were of each fate."""
        return {fate: self._fates[model, fate] for fate in _FATES}

    def responded(self, handler: str, status: int) -> None:
        self._responses.labels(handler, str(status)).inc()

    def text(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text form, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class _Engines(Collector):
    """Reads what the engines count, at the moment of asking."""

    def __init__(self, engines: Sequence[tuple[str, Engine]]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        for name, what, read in _GAUGES:
            yield self._filled(GaugeMetricFamily(PREFIX + name, what, labels=["model_name"]), read)
        for name, what, read in _COUNTERS:
            yield self._filled(
                CounterMetricFamily(PREFIX + name, what, labels=["model_name"]), read
            )

    def describe(self) -> Iterable[Metric]:
        return ()

    def _filled(
        self, family: GaugeMetricFamily | CounterMetricFamily, read: Callable[[Engine], float]
    ) -> Metric:
        for name, engine in self._engines:
            family.add_metric([name], read(engine))
        return family
