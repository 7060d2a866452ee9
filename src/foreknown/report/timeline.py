"""What was going on at each moment of a rehearsal: who waited, who was answered, was it busy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.rehearsal import Outcome

Seconds = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """Counts that hold from each time to the next.

    Attributes:
        times_s: ascending, f64[n].
        waiting: requests without their first token, i64[n].
        answering: requests with their first token and not their last, i64[n].
    """

    times_s: Seconds
    waiting: Counts
    answering: Counts

    @property
    def largest_queue(self) -> int:
        """Most requests that ever waited for their first token at once."""
        return int(self.waiting.max(initial=0))

    def busy_shares(self, edges_s: Seconds) -> Seconds:
        """Share of each window in which there was work; an engine with work is never idle.

        Args:
            edges_s: of the windows, ascending, f64[n + 1].
        """
        if len(self.times_s) < 2:
            return np.zeros(len(edges_s) - 1)
        busy = (self.waiting + self.answering)[:-1] > 0
        so_far = np.concatenate([[0.0], np.cumsum(np.diff(self.times_s) * busy)])
        shares: Seconds = np.diff(np.interp(edges_s, self.times_s, so_far)) / np.diff(edges_s)
        return shares

    def largest_in(self, counts: Counts, edges_s: Seconds) -> Counts:
        """The largest of some counts in each window, those that it begins with among them."""
        first = np.searchsorted(self.times_s, edges_s[:-1], side="right") - 1
        last = np.searchsorted(self.times_s, edges_s[1:], side="left")
        found = [counts[max(a, 0) : b].max(initial=0) for a, b in zip(first, last, strict=True)]
        return np.asarray(found, np.int64)


def timeline(outcomes: Iterable[Outcome]) -> Timeline:
    """Of all requests that were not refused."""
    served = [one for one in outcomes if not one.refused]
    came, first, last = (
        np.fromiter(times, np.int64, len(served))
        for times in (
            (one.arrival.time_ns for one in served),
            (one.first_ns for one in served),
            (one.last_ns for one in served),
        )
    )
    ones, none = np.ones(len(served), np.int64), np.zeros(len(served), np.int64)
    times = np.concatenate([came, first, last])
    waiting = np.concatenate([ones, -ones, none])
    answering = np.concatenate([none, ones, -ones])
    order = np.argsort(times, kind="stable")
    times = times[order]
    # What happens at one time happens together: nobody waits who is answered as another comes.
    settled = np.append(np.diff(times) > 0, True)[: len(times)]
    return Timeline(
        times[settled] / 1e9,
        np.cumsum(waiting[order])[settled],
        np.cumsum(answering[order])[settled],
    )
