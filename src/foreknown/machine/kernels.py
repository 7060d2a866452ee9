"""What a phase asks of a machine, in the terms in which a machine is measured.

    Product    rows of k elements into n outputs, with weights of one format
    Attention  tokens over their past, in one format of state
    Rows       elements of fused row operations, by what they take
    Recurrence a scan: elements of state, token after token

Knows nothing of graphs: the plan tells a phase's kernels, and probes measure the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LOWBIT_PANEL, PANEL = 32, 16
"""Outputs that one thread computes at least together, for weights in few bits and others."""

ROW_KINDS = (
    "cheap",
    "function",
    "reduced",
    "quantised",
    "looked_up",
    "unpacked",
    "stored",
    "sorted",
    "kilobytes",
)
"""Elements that a row phase works on, by what they take; see `Rows`."""


@dataclass(frozen=True)
class Product:
    """Rows times matrices.

    Attributes:
        weights: "f32", "bf16", or bits and group as in "int4/32".
        outputs: n of one matrix.
        width: k of one matrix.
        matrices: that a row meets, each with its own part.
        lead: rows of k that a row of the step has for each matrix.
        experts: matrices to choose from; 0: no choice.
        chosen: of the experts, for each row.
    """

    weights: str
    outputs: int
    width: int
    matrices: int = 1
    lead: int = 1
    experts: int = 0
    chosen: int = 0

    @property
    def panel(self) -> int:
        """Outputs that lie together."""
        return LOWBIT_PANEL if "/" in self.weights else PANEL


@dataclass(frozen=True)
class Attention:
    """Tokens over their past.

    Attributes:
        kept: the format of keys and values: "f32", "bf16" or "int8".
        heads: of queries.
        groups: of keys and values.
        width: of a key.
        value_width: of a value.
        window: positions that a token sees at most; 0: all.
        kept_bytes: of one position, over all groups.
    """

    kept: str
    heads: int
    groups: int
    width: int
    value_width: int
    window: int = 0
    kept_bytes: float = 0.0


@dataclass(frozen=True)
class Rows:
    """Elements of one row by kind, of `ROW_KINDS`.

    cheap: an addition or the like; function: an exponential or the like; reduced: into a sum;
    quantised: rounded to codes; looked_up: of tables; unpacked: of tables in few bits; stored:
    written to state; sorted: looked at by a choice of the largest; kilobytes: that cross the
    phase's border.
    """

    counts: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Recurrence:
    """A scan.

    Attributes:
        elements: of its state.
    """

    elements: int


Kernel = Product | Attention | Rows | Recurrence
_KINDS: Mapping[str, type[Any]] = {k.__name__: k for k in (Product, Attention, Rows, Recurrence)}


def kernel_record(kernel: Kernel) -> dict[str, Any]:
    """As JSON holds it."""
    return {"kernel": type(kernel).__name__, **asdict(kernel)}


def read_kernel(record: Mapping[str, Any]) -> Kernel:
    """A kernel from its record."""
    fields = dict(record)
    kind = _KINDS[fields.pop("kernel")]
    if kind is Rows:
        return Rows(tuple((str(name), float(count)) for name, count in fields["counts"]))
    made: Kernel = kind(**fields)
    return made
