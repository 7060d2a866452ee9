"""A machine's description as text: a TOML file that a person can read and correct."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foreknown.errors import MachineError
from foreknown.machine.keeping import REMEDY, keep_text
from foreknown.machine.kernel_costs import (
    AttentionCosts,
    EngineCosts,
    KernelCosts,
    ProductTable,
    RowCosts,
)
from foreknown.machine.kernels import ROW_KINDS
from foreknown.machine.machine import AGAIN, Machine

FORMAT = 4
UNITS = {
    "read_gb_s": "working set in bytes, 1e9 bytes a second",
    "f32_gflop_s": "1e9 operations a second in f32",
    "int8_gop_s": "1e9 operations a second of codes of 8 bits with codes of 4",
    "barrier_us": "microseconds until all threads have met",
    "first_touch_gb_s": "1e9 bytes a second of memory written for the first time",
    "noise": "how far repeats of a step are apart, relative",
    "quiet": "whether nothing else ran while this was measured",
    "idle_watts": "drawn while nothing runs",
    "busy_watts": "drawn in a step",
    "usd_per_hour": "what the machine costs; 0 if nobody said",
}
ENGINE = "beside a step's phases: scheduling, waking threads, choosing tokens"
KERNELS = "what the generator's kernels take: *_us microseconds, *_ns nano-, *_ps picoseconds"
PRODUCT = "for each number of tokens: a weight streamed from memory and cached, an output, a phase"
ATTENTION = "a phase, a token and group, for positions attended to, a byte of those kept"
ROWS = "a phase, what it takes more uncached, a row, and elements of it by kind"


def machine_toml(machine: Machine) -> str:
    """The description's text."""
    told = "An estimate from the processor's features" if machine.estimated else "Measured"
    lines = [f"# {told} by `foreknown calibrate`; a forecast is made of these numbers."]
    lines.append(f"format = {FORMAT}")
    for name, value in vars(machine).items():
        if name != "kernels":
            lines += _pair(name, value)
    if machine.kernels is not None:
        kernels = machine.kernels
        lines += ["", f"# {KERNELS}", "[kernels]", f"cached_bytes = {kernels.cached_bytes}"]
        lines += ["", f"[kernels.engine]  # {ENGINE}"]
        lines += [f"{name} = {value:.4f}" for name, value in asdict(kernels.engine).items()]
        for title, text, parts in (
            ("products", PRODUCT, kernels.products),
            ("attention", ATTENTION, kernels.attention),
            ("rows", ROWS, kernels.rows),
        ):
            for part in parts:
                lines += ["", f"[[kernels.{title}]]  # {text}"]
                for name, value in asdict(part).items():
                    if name == "element_ps":
                        lines += [
                            f"{name}.{k} = {v:.4f}" for k, v in zip(ROW_KINDS, value, strict=True)
                        ]
                    else:
                        lines += _pair(name, value)
    return "\n".join(lines) + "\n"


def _pair(name: str, value: object) -> list[str]:
    comment = f"  # {UNITS[name]}" if name in UNITS else ""
    if name == "read_gb_s" and isinstance(value, tuple):
        rows = [f"  [{size}, {speed:.3f}]," for size, speed in value]
        return [f"{name} = [{comment}", *rows, "]"]
    return [f"{name} = {_value(value)}{comment}"]


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.4f}"
        case str():
            return f'"{_plain(value)}"'
        case tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return str(value)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("\\", "/").replace('"', "'")


def write_machine(machine: Machine, path: Path) -> None:
    """Keep a description, whole or not at all.

    Raises:
        MachineError: it cannot be written there.
    """
    try:
        keep_text(path, machine_toml(machine))
    except OSError as error:
        raise MachineError(
            f"the machine's profile cannot be kept: {error.strerror or error}",
            where=str(path),
            remedy=REMEDY,
        ) from None


def read_machine(path: Path) -> Machine:
    """A description from its file.

    Raises:
        MachineError: it is missing, damaged, or of another format.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        if raw.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        table = tuple((int(size), float(speed)) for size, speed in raw.pop("read_gb_s"))
        features = tuple(map(str, raw.pop("features")))
        kernels = raw.pop("kernels", None)
        return Machine(
            read_gb_s=table,
            features=features,
            kernels=None if kernels is None else _kernels(kernels),
            **raw,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MachineError(
            f"the machine's profile cannot be read: {error}", where=str(path), remedy=AGAIN
        ) from None
    except MachineError as error:
        raise MachineError(error.what, where=str(path), remedy=error.remedy) from None


def _kernels(raw: Mapping[str, Any]) -> KernelCosts:
    return KernelCosts(
        cached_bytes=int(raw["cached_bytes"]),
        products=tuple(_product(one) for one in raw["products"]),
        attention=tuple(AttentionCosts(**_floats(one, but="kept")) for one in raw["attention"]),
        rows=tuple(_rows(one) for one in raw["rows"]),
        engine=EngineCosts(**_floats(raw["engine"])),
    )


def _product(raw: Mapping[str, Any]) -> ProductTable:
    columns = {k: tuple(v) for k, v in raw.items() if k != "weights"}
    tokens = [int(t) for t in columns["tokens"]]
    if len(tokens) < 2 or tokens != sorted(set(tokens)):
        raise ValueError("the tokens of a product are not in ascending order")
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError("the columns of a product are not of the same length")
    return ProductTable(weights=str(raw["weights"]), **columns)


def _rows(raw: Mapping[str, Any]) -> RowCosts:
    elements: Mapping[str, float] = raw["element_ps"]
    rest = {k: v for k, v in raw.items() if k != "element_ps"}
    return RowCosts(
        **_floats(rest, but="steps"), element_ps=tuple(float(elements[k]) for k in ROW_KINDS)
    )


def _floats(raw: Mapping[str, Any], but: str = "") -> dict[str, Any]:
    return {k: v if k == but else float(v) for k, v in raw.items()}
