"""Progress bars on standard error: for people at a terminal, for what takes over a second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]
PATIENCE_S = 1.0


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Told a part's name, how much of it is done and how much there is; draws if it takes long."""
    if quiet or not sys.stderr.isatty():
        yield lambda part, done, total: None
        return
    drawing = _Drawing()
    try:
        yield drawing.tell
    finally:
        drawing.end()


class _Drawing:
    """Bars that appear after a second, by a timer: a part may say nothing until it is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[int, int]] = {}
        self._tasks: dict[str, int] = {}
        self._bars: Bars | None = None
        self._timer = threading.Timer(PATIENCE_S, self._begin)
        self._timer.daemon = True
        self._timer.start()
        self._next_s = 0.0

    def tell(self, part: str, done: int, total: int) -> None:
        with self._lock:
            self._parts[part] = (done, total)
            now = time.monotonic()
            if self._bars is not None and (now >= self._next_s or done >= total):
                self._next_s = now + 0.05
                self._draw()

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            if self._bars is not None:
                self._draw()
                self._bars.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        with self._lock:
            self._bars = Progress(
                TextColumn("{task.description:<24}"),
                BarColumn(),
                TaskProgressColumn(),
                Elapsed(),
                console=Console(stderr=True),
                transient=True,
            )
            self._draw()
            self._bars.start()

    def _draw(self) -> None:
        from rich.progress import TaskID

        assert self._bars is not None
        for part, (done, total) in self._parts.items():
            if part not in self._tasks:
                self._tasks[part] = self._bars.add_task(part, total=None)
            # one step that says nothing until it is done pulses, and then is full
            shown = None if total == 1 and done == 0 else total
            self._bars.update(TaskID(self._tasks[part]), completed=done, total=shown)
