"""Says in the log when a machine is no longer what was forecast of it, and when it is again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from foreknown.engine import Engine

_log = logging.getLogger("foreknown.server")


class DriftLog:
    """A line when a drift begins and when it ends, and when the clock has jumped.

    Args:
        names: of the engines' models, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._drifting = [False] * len(self._names)
        self._jumps = [0] * len(self._names)

    def __call__(self, index: int, engine: Engine) -> None:
        """Look at an engine after its step."""
        drift = engine.drift
        if drift.has_drifted != self._drifting[index]:
            self._drifting[index] = drift.has_drifted
            self._tell(index, drift.ratio, drift.margin)
        if drift.clock_jumps != self._jumps[index]:
            self._jumps[index] = drift.clock_jumps
            _log.warning(
                "the clock jumped: what was promised until then is not judged by it",
                extra={"event": "clock_jump", "model": self._names[index]},
            )

    def _tell(self, index: int, ratio: float, margin: float) -> None:
        extra = {"event": "drift", "model": self._names[index], "drift_ratio": round(ratio, 3)}
        if self._drifting[index]:
            _log.warning(
                "steps take %.2f times what was forecast: promises add %.0f %% from now on",
                ratio, 100 * margin, extra=extra,
            )  # fmt: skip
        else:
            _log.info("steps take what was forecast again", extra=extra)
