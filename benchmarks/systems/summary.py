"""What a contest showed: rows, ratios and limits, ready for JSON, for people and for the plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from systems.case import DECODE, LONG_CONTEXT, Case
from systems.contest import Contestant
from systems.lineup import OURS

_FOUR = ("Q4_0", "int4")
RIVALS = {"int4": _FOUR, "int4@64": _FOUR, "int8": ("Q8_0", "int8")}
"""The peers' formats that each of ours is measured against."""
PREFIX = {"int4": "", "int4@64": "int4@64 ", "int8": "int8 "}
"""How the ratios of each format are told apart."""


def rows(
    contestants: Sequence[Contestant],
    cases: Sequence[Case],
    limits: Mapping[str, Sequence[float]],
    config: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Every system's tokens a second in every case, with the limit that the machine sets it."""
    middle = {name: statistics.median(values) for name, values in limits.items()}
    found = []
    for case in cases:
        for contestant in contestants:
            speeds = contestant.speeds(case)
            limit = limit_tok_s(
                case, contestant.step_bytes[case], step_operations(config, case), middle
            )
            found.append(
                {
                    "system": contestant.system,
                    "weights": contestant.weights,
                    **case.record(),
                    "case": case.name,
                    "tok_s": round(statistics.median(speeds), 2),
                    "min_tok_s": round(min(speeds), 2),
                    "max_tok_s": round(max(speeds), 2),
                    "limit_tok_s": round(limit, 2),
                }
            )
    return found


def limit_tok_s(
    case: Case, step_bytes: float, operations: float, limits: Mapping[str, float]
) -> float:
    """Tokens a second at which the memory or the arithmetic of the machine is used up."""
    least_s = max(step_bytes / limits["read_gb_s"] / 1e9, operations / limits["int8_gop_s"] / 1e9)
    return case.tokens_of_step / least_s


def step_operations(config: Mapping[str, Any], case: Case) -> float:
    """Multiplications and additions of a step in products with weights, attention left out."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    kv_heads = config.get("num_key_value_heads") or heads
    attention = hidden * width * (2 * heads + 2 * kv_heads)
    layer = attention + 3 * hidden * config["intermediate_size"]
    weights_of_all_tokens = config["num_hidden_layers"] * layer * case.tokens_of_step
    weights_of_logits = hidden * config["vocab_size"] * case.batch
    return 2.0 * float(weights_of_all_tokens + weights_of_logits)


def ratios(
    contestants: Sequence[Contestant], cases: Sequence[Case], read_gb_s: Sequence[float]
) -> dict[str, float]:
    """Ours against the better peer, by case; and the share of the bandwidth that we use.

    Each is a median of the rounds' own ratios, which the machine's mood of a round cancels out of.
    """
    found: dict[str, float] = {}
    for ours in (c for c in contestants if c.system == OURS and c.weights in RIVALS):
        peers = [c for c in contestants if c.system != OURS and c.weights in RIVALS[ours.weights]]
        for case in cases:
            name = PREFIX[ours.weights] + case.name
            if peers:
                best = max(peers, key=lambda c: statistics.median(c.speeds(case)))
                found[name] = _median_ratio(ours.speeds(case), best.speeds(case))
            if case.metric == DECODE and case.batch == 1 and case.tokens != LONG_CONTEXT:
                used = [ours.step_bytes[case] / s / 1e9 for s in ours.step_s[case]]
                share = _median_ratio(used, read_gb_s)
                found[f"{PREFIX[ours.weights]}share of read bandwidth"] = share
    return found


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 4)


def possible_cases(cases: Sequence[Case], config: Mapping[str, Any]) -> list[Case]:
    """The cases that fit into the model's context."""
    return [case for case in cases if case.tokens <= config["max_position_embeddings"]]
