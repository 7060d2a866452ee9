"""Ends a stream of text at a stop string, wherever tokens happen to split it."""

from __future__ import annotations


class StopStrings:
    """Passes text on, but never a part of a stop string.

    The text ends where, read character by character, a stop string is first complete (the
    longest, if several are at once). Text that may be the start of one is held back until it
    is known.

    Attributes:
        found: the stop string that ended the text; empty if none did.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.found = ""

    @property
    def stopped(self) -> bool:
        return bool(self.found)

    def push(self, text: str) -> str:
        """Take more text; returns what can be shown. Empty once stopped."""
        if self.stopped or not text:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        found = [
            (start + len(stop), start, stop)
            for stop in self._stops
            if (start := text.find(stop)) >= 0
        ]
        if found:
            _, start, self.found = min(found)
            self._held = ""
            return text[:start]
        held = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """The text that was held back, now that no more will come."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper start of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
