"""Gives each request its turn, so that nobody's many requests delay another's few.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): virtual time is the turn of whoever started
last, a user's next turn comes when virtual time has passed the cost of all its earlier ones. One
user alone is served in the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass

_SWEPT_AT = 64
"""Users known before those without a claim are looked for."""


@dataclass
class _User:
    """What a user has asked for.

    Attributes:
        end: the turn that its next request would have.
        started_end: the same, counting only what has started.
        n_queued: requests that have not started.
    """

    end: int = 0
    started_end: int = 0
    n_queued: int = 0


class FairTurns:
    """Turns by tokens. Users are forgotten when virtual time has passed them."""

    def __init__(self) -> None:
        self._now = 0
        self._users: dict[str, _User] = {}
        self._sweep_at = _SWEPT_AT

    @property
    def n_users(self) -> int:
        """Users that are remembered."""
        return len(self._users)

    def queue(self, name: str, cost: int) -> int:
        """The turn of a user's new request.

        Args:
            cost: tokens that it may take.
        """
        if len(self._users) >= self._sweep_at:
            self._sweep()
        user = self._users.setdefault(name, _User())
        turn = max(self._now, user.end)
        user.end = turn + cost
        user.n_queued += 1
        return turn

    def start(self, name: str, turn: int, cost: int) -> None:
        """Take note that a request that was queued has started."""
        self._now = max(self._now, turn)
        user = self._users[name]
        user.started_end = max(user.started_end, turn + cost)
        user.n_queued -= 1

    def leave(self, name: str) -> None:
        """Take note that a request that was queued will not start."""
        user = self._users[name]
        user.n_queued -= 1
        if not user.n_queued:
            user.end = user.started_end

    def pass_over(self, turn: int) -> None:
        """Take note that no newcomer comes before that turn."""
        self._now = max(self._now, turn)

    def restart(self) -> None:
        """Forget everything: there is nobody left whose turn it could be."""
        self._now = 0
        self._users.clear()

    def _sweep(self) -> None:
        self._users = {
            name: user
            for name, user in self._users.items()
            if user.n_queued or user.end > self._now
        }
        self._sweep_at = max(_SWEPT_AT, 2 * len(self._users))
