"""The most of something that fits."""

from __future__ import annotations

from collections.abc import Callable


def largest(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest number of [least, most] that fits, where what is larger fits less.

    `least` is taken to fit, and `most` is tried first, since it mostly does.
    """
    number = most
    while least < most:
        if fits(number):
            least = number
        else:
            most = number - 1
        number = (least + most + 1) // 2
    return least
