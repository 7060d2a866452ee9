"""Coverage of model types: the JSON, the table for people, and docs/coverage.md."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from foreknown.report.tables import Table

if TYPE_CHECKING:
    from foreknown.capture.coverage import Coverage

COMMAND = "foreknown coverage --markdown docs/coverage.md"


def coverage_record(found: Sequence[Coverage]) -> dict[str, Any]:
    """As `coverage --json` prints it."""
    return {
        "transformers": importlib.metadata.version("transformers"),
        "total": len(found),
        "exact": sum(one.status == "exact" for one in found),
        "types": [
            {
                "model_type": one.model_type,
                "status": one.status,
                "max_abs_err": one.max_abs_err,
                "seconds": round(one.seconds, 2),
                "reason": one.reason,
            }
            for one in found
        ],
    }


def print_coverage(record: dict[str, Any], file: TextIO) -> None:
    """For people."""
    table = Table(
        "", ("type", "status", "max error", "seconds", "reason"), ("max error", "seconds")
    )
    for one in record["types"]:
        table.row(
            one["model_type"], one["status"], _error(one), f"{one['seconds']:.1f}", one["reason"]
        )
    table.print(file)
    file.write(f"{_summary(record)}\n")


def coverage_markdown(record: dict[str, Any]) -> str:
    """docs/coverage.md."""
    lines = [
        "# Coverage",
        "",
        f"{_summary(record)}. Made by `{COMMAND}`.",
        "",
        "For each type a tiny random checkpoint is saved, compiled, and run through the compiled",
        "program: a prompt, then token by token, then two sequences mixed in one batch. *Exact*:",
        "every logit within 1e-4 of the largest, and the same greedy tokens, as transformers in",
        "eager f32. *Refused*: at compile time, by name. *Wrong*: anything else.",
        "",
        "| type | status | max abs error | seconds | reason |",
        "|---|---|---|---|---|",
    ]
    for one in sorted(record["types"], key=lambda one: one["model_type"]):
        reason = " ".join(one["reason"].replace("|", "\\|").split())
        lines.append(
            f"| {one['model_type']} | {one['status']} | {_error(one)} | {one['seconds']:.1f} "
            f"| {reason} |"
        )
    return "\n".join(lines) + "\n"


def _error(one: dict[str, Any]) -> str:
    return "" if one["max_abs_err"] is None else f"{one['max_abs_err']:.1e}"


def _summary(record: dict[str, Any]) -> str:
    counts = Counter(one["status"] for one in record["types"])
    return (
        f"{counts['exact']} of {record['total']} types of transformers {record['transformers']} "
        f"exact, {counts['refused']} refused, {counts['wrong']} wrong"
    )
