"""What a benchmark of serving found, for people: tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FIGURES = {
    "tok_s": "tokens/s",
    "first_p50_ms": "first token p50",
    "first_p99_ms": "p99, ms",
    "gap_p50_ms": "gap p50",
    "gap_p99_ms": "p99, ms ",
}


NOISE = 0.1
"""Processors that others may use before figures are called unsteady."""


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def print_record(record: dict[str, Any]) -> None:
    """Everything that was measured."""
    if "rows" in record:
        _print_comparison(record)
    if "overhead" in record:
        _print_overhead(record["overhead"])
    if "arrival" in record:
        _print_arrival(record["arrival"])
    if "prefix" in record:
        rows = [
            [
                name,
                _spread(found["first_ms"]),
                _spread(found["second_ms"]),
                f"{found['sooner']:.1f}",
            ]
            for name, found in record["prefix"].items()
        ]
        print("First token of two requests that share 1,000 tokens, ms\n")
        print(markdown(("", "first", "second", "times sooner"), rows))
    if "same" in record:
        rows = [
            [name, str(found["compared"]), str(found["different"])]
            for name, found in record["same"].items()
        ]
        print("The same request alone, in company and cached\n")
        print(markdown(("", "pairs compared", "different bytes"), rows))
    load = record["load"]
    print(
        f"{record['model']} {record['weights']}, {record['threads']} threads, prompts of "
        f"{load['n_prompt']} tokens, answers of {load['n_output']}; medians of "
        f"{record['rounds']} rounds"
    )
    if record["others"] > NOISE:
        print(f"unsteady: other programs used {record['others']:.2f} processors meanwhile")
    for system in record["systems"]:
        print(f"{system['system']}: {system['settings']}")
        if missing := system.get("missing_instructions"):
            print(f"  built without {', '.join(missing)}: this comparison is unfair")


def _print_comparison(record: dict[str, Any]) -> None:
    rows = [
        [f"{row['users']} users, {row['system']}", *(f"{row[name]:,.1f}" for name in FIGURES)]
        for row in sorted(record["rows"], key=lambda row: row["users"])
    ]
    print(markdown(("", *FIGURES.values()), rows))
    if record["ratios"]:
        rows = [
            [f"{row['users']} users, to {row['peer']}", *(f"{row[name]:.2f}" for name in FIGURES)]
            for row in record["ratios"]
        ]
        print("Times better than the peer (medians of the rounds' own ratios)\n")
        print(markdown(("", *FIGURES.values()), rows))
    share = max(row["client_share"] for row in record["rows"])
    print(f"The users themselves took at most {share:.1%} of a processor.")


def _print_overhead(found: dict[str, Any]) -> None:
    print(f"{found['users']} users decoding, tokens/s, and first tokens on an idle engine, ms\n")
    rows = [
        ["decode", _spread(found["engine_tok_s"]), _spread(found["server_tok_s"]),
         f"{found['ratio']:.1%}"],
        ["first token", _spread(found["engine_first_ms"]), _spread(found["server_first_ms"]),
         f"+{found['added_first_ms']:.2f} ms"],
    ]  # fmt: skip
    print(markdown(("", "engine alone", "through HTTP", ""), rows))


def _print_arrival(found: dict[str, Any]) -> None:
    rows = [
        [
            name,
            _spread(one["calm_to_median_before"]),
            _spread(one["to_median_before"]),
            _spread(one["p99_to_median_before"]),
            _spread(one["to_median_during"]),
            _spread(one["first_ms"]),
        ]
        for name, one in found.items()
    ]
    some = next(iter(found.values()))
    print(
        f"{some['users']} users decoding while a prompt of {some['prompt']} tokens arrives: gaps "
        "between their tokens, in median gaps of before (the last but one: of meanwhile)\n"
    )
    titles = ("", "largest before", "largest", "99 % below", "largest", "its first token, ms")
    print(markdown(titles, rows))


def _spread(found: dict[str, Any]) -> str:
    return f"{found['median']:,.2f} ({found['min']:,.2f} to {found['max']:,.2f})"
