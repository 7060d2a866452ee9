"""Writes C that reads as if by hand: indentation, blocks and loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from foreknown.targets.cpu.index import Index, variable

Loop = tuple[Index, int]


class Writer:
    """Lines of C at the current depth of blocks."""

    def __init__(self, depth: int = 0) -> None:
        self.lines: list[str] = []
        self.depth = depth

    def line(self, text: str) -> None:
        """One line at the current depth."""
        self.lines.append("    " * self.depth + text)

    def mark(self) -> int:
        """A place to `insert` at later."""
        return len(self.lines)

    def insert(self, at: int, text: str) -> None:
        """One line at a marked place, at the current depth."""
        self.lines.insert(at, "    " * self.depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """`head { … }`."""
        self.line(f"{head} {{".lstrip())
        self.depth += 1
        yield
        self.depth -= 1
        self.line("}")

    @contextmanager
    def loops(self, loops: Sequence[Loop]) -> Iterator[None]:
        """Nested loops, outermost first; an extent of one needs none."""
        with ExitStack() as stack:
            for index, extent in loops:
                if index.terms:
                    stack.enter_context(self.block(_head(index, extent)))
            yield

    def statement_in_loops(self, indices: Sequence[Index], shape: Sequence[int], text: str) -> None:
        """One statement under nested loops, the innermost on its own line."""
        loops = [(i, n) for i, n in zip(indices, shape, strict=True) if i.terms]
        with self.loops(loops[:-1]):
            self.line(f"{_head(*loops[-1])} {text}" if loops else text)

    @staticmethod
    def loop_variable(extent: int, depth: int | None = None) -> Index:
        """`i`, or `i0`, `i1`, … for nested loops; the number 0 where the extent is one."""
        return variable("i" if depth is None else f"i{depth}", 0, extent - 1)


def _head(index: Index, extent: int) -> str:
    name = str(index)
    return f"for (int {name} = 0; {name} < {extent}; {name}++)"
