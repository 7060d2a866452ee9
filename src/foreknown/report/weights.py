"""The formats of a model's matrices: bits for each weight, and why any is wider than asked for."""

from __future__ import annotations

from math import prod
from typing import Any, TextIO

from foreknown.artifact import Artifact
from foreknown.report.tables import Table, bytes_text


def weights_record(artifact: Artifact) -> dict[str, Any]:
    """As JSON shows it: every constant of two axes or more, and their mean bits for a weight."""
    matrices = []
    for constant in artifact.plan()["constants"]:
        size = prod(constant["shape"])
        if len(constant["shape"]) < 2:
            continue
        kept = ("value", "shape", "stored", "bytes", "why_not_lowbit", "block_panels")
        bits = constant["bytes"] * 8 / size
        matrices.append({**{k: constant[k] for k in kept}, "bits_per_weight": round(bits, 4)})
    count = sum(prod(m["shape"]) for m in matrices)
    whole = sum(m["bytes"] for m in matrices)
    return {
        "weights": artifact.manifest.weights,
        "state": artifact.manifest.state,
        "bits_per_weight": round(whole * 8 / max(count, 1), 4),
        "matrices": matrices,
    }


def print_weights(record: dict[str, Any], file: TextIO) -> None:
    """For people."""
    columns = ("size", "bits", "stored", "shape", "value")
    title = f"matrices in {record['weights']}, state in {record['state']}"
    table = Table(title, columns, right=("size", "bits"))
    for one in record["matrices"]:
        why = one["why_not_lowbit"]
        table.row(
            bytes_text(one["bytes"]),
            f"{one['bits_per_weight']:.2f}",
            f"{one['stored']}: {why}" if why else one["stored"],
            " x ".join(map(str, one["shape"])),
            one["value"],
        )
    table.print(file)
    file.write(f"{record['bits_per_weight']:.2f} bits for a weight\n")
