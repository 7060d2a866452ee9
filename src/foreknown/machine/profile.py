"""A machine's description as text: a TOML file that a person can read and correct."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from foreknown.errors import MachineError
from foreknown.machine.keeping import REMEDY, keep_text
from foreknown.machine.kernel_costs import (
    STEPS,
    AttentionCosts,
    EngineCosts,
    KernelCosts,
    ProductTable,
    RowCosts,
)
from foreknown.machine.kernels import ROW_KINDS
from foreknown.machine.machine import AGAIN, Machine
from foreknown.machine.reading import Table, Wrong, read_fields, read_value, require_known, shown

T = TypeVar("T")
FORMAT = 7
MOST_BYTES = 1 << 20
WEIGHTS = ("f32", "bf16", "int8/32", "int8/64", "int4/32", "int4/64")
KEPT = ("f32", "bf16", "int8")
"""Formats of weights and of state that kernels read."""
UNITS = {
    "read_gb_s": "working set in bytes, 1e9 bytes a second",
    "streamed_shares": "working set in bytes, how much of it comes from memory each time",
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
PAIRS = ("read_gb_s", "streamed_shares")
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
        lines += ["", f"# {KERNELS}", "[kernels]"]
        lines += _pair("streamed_shares", kernels.streamed_shares)
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
    if name in PAIRS and isinstance(value, tuple):
        rows = [f"  [{size}, {number:.3f}]," for size, number in value]
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
        MachineError: it is missing, damaged, or of another format; says which field is wrong, and
            what is expected there.
    """
    try:
        return _machine(tomllib.loads(_text(path)))
    except OSError as error:
        why = error.strerror or str(error)
    except RecursionError:
        why = "its lists are too deep"
    except ValueError as error:
        why = str(error)
    except MachineError as error:
        raise MachineError(error.what, where=str(path), remedy=error.remedy) from None
    raise MachineError(
        f"the machine's profile cannot be read: {why}", where=str(path), remedy=AGAIN
    )


def _text(path: Path) -> str:
    with path.open("rb") as file:
        found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise Wrong(f"it has more than {MOST_BYTES} bytes")
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise Wrong("it is not text") from None


def _machine(raw: Table) -> Machine:
    if "format" not in raw:
        raise Wrong(f"format is missing, where {FORMAT} is expected")
    if (found := raw.pop("format")) != FORMAT:
        raise Wrong(f"it is of another format: {shown(found)}, where {FORMAT} is expected")
    features = read_value(raw, "features", "tuple[str, ...]")
    kernels = _kernels(read_value(raw, "kernels", "Table")) if "kernels" in raw else None
    return read_fields(Machine, raw, features=features, kernels=kernels)


def _kernels(raw: Table) -> KernelCosts:
    def tables(title: str, read: Callable[[Table, str], T]) -> tuple[T, ...]:
        listed = read_value(raw, title, "tuple[Table, ...]", "kernels")
        return tuple(read(one, f"kernels.{title} {n}") for n, one in enumerate(listed, 1))

    engine = read_value(raw, "engine", "Table", "kernels")
    kernels = read_fields(
        KernelCosts,
        raw,
        "kernels",
        products=tables("products", _product),
        attention=tables("attention", _attention),
        rows=tables("rows", _rows),
        engine=read_fields(EngineCosts, engine, "kernels.engine"),
    )
    steps = [one.steps for one in kernels.rows]
    _require_once("products", "weights", [one.weights for one in kernels.products])
    _require_once("attention", "kept", [one.kept for one in kernels.attention])
    _require_once("rows", "steps", steps)
    # one thread computes a lone token as it does others, so that kind may lack
    if missing := [kind for kind in STEPS if kind != "alone" and kind not in steps]:
        raise Wrong(f"kernels.rows has no table whose steps are {missing[0]}")
    return kernels


def _product(raw: Table, place: str) -> ProductTable:
    table = read_fields(ProductTable, raw, place)
    _require_format(table.weights, WEIGHTS, f"weights of {place}")
    tokens = list(table.tokens)
    if len(tokens) < 2 or tokens != sorted(set(tokens)):
        raise Wrong(f"tokens of {place} are not two or more in ascending order")
    for name, column in vars(table).items():
        if name != "weights" and len(column) != len(tokens):
            raise Wrong(f"{name} and tokens of {place} are not of the same length")
    return table


def _attention(raw: Table, place: str) -> AttentionCosts:
    costs = read_fields(AttentionCosts, raw, place)
    _require_format(costs.kept, KEPT, f"kept of {place}")
    return costs


def _rows(raw: Table, place: str) -> RowCosts:
    elements, within = read_value(raw, "element_ps", "Table", place), f"element_ps of {place}"
    each = tuple(read_value(elements, kind, "float", within) for kind in ROW_KINDS)
    require_known(elements, ROW_KINDS, within)
    costs = read_fields(RowCosts, raw, place, element_ps=each)
    _require_format(costs.steps, STEPS, f"steps of {place}")
    return costs


def _require_format(found: str, known: Sequence[str], name: str) -> None:
    if found not in known:
        raise Wrong(f"{name} is {shown(found)}, where one of {', '.join(known)} is expected")


def _require_once(title: str, name: str, found: list[str]) -> None:
    if twice := [value for value in found if found.count(value) > 1]:
        raise Wrong(f"kernels.{title} has two tables whose {name} is {twice[0]}")
