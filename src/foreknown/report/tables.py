"""Tables and numbers for people."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TextIO

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def bytes_text(count: float) -> str:
    """1536 → 1.5 KiB"""
    for unit in UNITS[:-1]:
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {UNITS[-1]}"


def seconds_text(seconds: float) -> str:
    """0.0123 → 12.3 ms"""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds:.1f} s"


class Table:
    """Rows under a title; numbers stand right. Drawn by rich, which is imported only now."""

    def __init__(self, title: str, columns: Sequence[str], right: Sequence[str] = ()) -> None:
        self.title, self.columns, self.right = title, columns, frozenset(right)
        self.rows: list[tuple[str, ...]] = []

    def row(self, *cells: object) -> None:
        self.rows.append(tuple(map(str, cells)))

    def print(self, file: TextIO) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table as Drawn
        from rich.text import Text

        headed = any(self.columns)
        drawn = Drawn(
            title=Text(self.title, style="bold"),
            title_justify="left",
            box=box.SIMPLE_HEAD if headed else box.SIMPLE,
            show_header=headed,
            pad_edge=False,
        )
        for name in self.columns:
            drawn.add_column(name, justify="right" if name in self.right else "left")
        for cells in self.rows:
            drawn.add_row(*(Text(cell) for cell in cells))
        if file.isatty():
            Console(file=file, highlight=False).print(drawn)
            return
        paper = io.StringIO()
        Console(file=paper, width=160, highlight=False).print(drawn)
        file.writelines(f"{line.rstrip()}\n" for line in paper.getvalue().splitlines())
