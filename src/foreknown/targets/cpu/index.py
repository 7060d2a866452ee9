"""Integer index expressions with known ranges, kept as a sum of atoms and simplified on the way.

    reshape f32[64,32] -> f32[2048] reads element i of the result at [i / 32, i % 32];
    with i = 32 a + b and 0 <= b < 32 that is [a, b]: no division is left.

An atom is a loop variable, or a quotient or remainder that did not simplify.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Atom:
    """A C expression that is not taken apart further, with its inclusive range."""

    code: str
    low: int
    high: int
    divides: bool = False


@dataclass(frozen=True)
class Index:
    """`constant` plus each atom times its factor."""

    terms: Mapping[Atom, int]
    constant: int = 0

    @property
    def low(self) -> int:
        return self.constant + sum(min(a.low * f, a.high * f) for a, f in self.terms.items())

    @property
    def high(self) -> int:
        return self.constant + sum(max(a.low * f, a.high * f) for a, f in self.terms.items())

    @property
    def divides(self) -> bool:
        """Whether a division or remainder is left, which keeps a loop from running in lanes."""
        return any(a.divides for a in self.terms)

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.constant + other)
        terms = dict(self.terms)
        for atom, factor in other.terms.items():
            terms[atom] = terms.get(atom, 0) + factor
        kept = {a: f for a, f in terms.items() if f}
        return Index(MappingProxyType(kept), self.constant + other.constant)

    def __mul__(self, factor: int) -> Index:
        if factor == 0:
            return number(0)
        terms = MappingProxyType({a: f * factor for a, f in self.terms.items()})
        return Index(terms, self.constant * factor)

    def _split(self, divisor: int) -> tuple[Index, Index]:
        """self = divisor * whole + rest, with as much as possible in whole."""
        whole = {a: f // divisor for a, f in self.terms.items() if f % divisor == 0}
        rest = {a: f for a, f in self.terms.items() if f % divisor}
        return (
            Index(MappingProxyType(whole), self.constant // divisor),
            Index(MappingProxyType(rest), self.constant % divisor),
        )

    def __floordiv__(self, divisor: int) -> Index:
        whole, rest = self._split(divisor)
        if rest.low // divisor == rest.high // divisor:
            return whole + rest.low // divisor
        low, high = rest.low // divisor, rest.high // divisor
        return whole + variable(f"({rest._operand()} / {divisor})", low, high, divides=True)

    def __mod__(self, divisor: int) -> Index:
        _, rest = self._split(divisor)
        if rest.low // divisor == rest.high // divisor:
            return rest + -(rest.low // divisor) * divisor
        return variable(f"({rest._operand()} % {divisor})", 0, divisor - 1, divides=True)

    def _operand(self) -> str:
        """The expression as one side of a division."""
        single = len(self.terms) == 1 and not self.constant and set(self.terms.values()) == {1}
        return str(self) if single else f"({self})"

    def __str__(self) -> str:
        parts = [a.code if f == 1 else f"{f} * {a.code}" for a, f in self.terms.items()]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)


def number(value: int) -> Index:
    """A constant index."""
    return Index(MappingProxyType({}), value)


def variable(code: str, low: int, high: int, *, divides: bool = False) -> Index:
    """A loop variable, or any C expression of known range."""
    if low == high:
        return number(low)
    return Index(MappingProxyType({Atom(code, low, high, divides): 1}))


def flatten(indices: Sequence[Index], shape: Sequence[int]) -> Index:
    """The row-major position of an element."""
    position = number(0)
    for index, extent in zip(indices, shape, strict=True):
        position = position * extent + index
    return position


def unflatten(position: Index, shape: Sequence[int]) -> tuple[Index, ...]:
    """The element at a row-major position."""
    indices: list[Index] = []
    for extent in reversed(shape):
        indices.append(position % extent if extent > 1 else number(0))
        position = position // extent
    return tuple(reversed(indices))
