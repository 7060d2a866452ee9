"""Numbers and tables for people."""

from __future__ import annotations

import io

import pytest

from foreknown.report.tables import Table, bytes_text, seconds_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 50, "3072.0 TiB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(12e-6, "12 µs"), (0.0123, "12.3 ms"), (61.25, "61.2 s")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_table_shows_cells_as_they_are() -> None:
    table = Table("a title", ("name", "n"), right=("n",))
    table.row("[bold]not markup[/bold]", 3)
    out = io.StringIO()
    table.print(out)
    assert "[bold]not markup[/bold]" in out.getvalue()
    assert "a title" in out.getvalue()
