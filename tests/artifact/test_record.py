"""plan.json tells of every phase what it asks of a machine, and reads back."""

from __future__ import annotations

from pathlib import Path

from foreknown.artifact import open_artifact
from foreknown.machine.kernels import Attention, Product, Rows, kernel_record


def test_kernels_of_phases_read_back(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    phases, records = artifact.phases(), artifact.plan()["phases"]
    kinds = {"rows": Rows, "linear": Product, "attend": Attention}
    for phase, record in zip(phases, records, strict=True):
        assert phase.kernels
        assert all(isinstance(kernel, kinds[phase.kind]) for kernel in phase.kernels)
        assert phase.rows == record["rows"]
        again = [kernel_record(kernel) for kernel in phase.kernels]
        assert [
            {**one, "counts": list(map(list, one["counts"]))} if "counts" in one else one
            for one in again
        ] == record["kernels"]
    heads = [phase for phase in phases if phase.rows == "R" and phase.kind == "linear"]
    assert [kernel.outputs for kernel in heads[-1].kernels if isinstance(kernel, Product)] == [1728]
