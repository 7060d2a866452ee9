"""Calibration in between: what is told by the very minutes in which something is measured.

A machine that is shared is another one ten minutes later. Probes that run between what is measured
see the same one, so a forecast by them errs by what the forecaster does not know, and not by what
the machine's neighbours did since it was calibrated. They are the probes of `foreknown calibrate`,
which know nothing of the models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from foreknown.machine import Machine
from foreknown.report.calibration import fitted_costs
from foreknown.report.probing import Rounds, build, load

LONGEST_TURN_NS = 100_000_000
"""A turn takes less, on any machine that this is run on."""


class Meanwhile:
    """Probes that go on whenever there is time."""

    def __init__(self, threads: int) -> None:
        self._rounds = Rounds(load(build(), threads))
        self._n_rounds = 0
        self._turns = self._endless()

    def _endless(self) -> Iterator[None]:
        while True:
            yield from self._rounds.turns()
            self._n_rounds += 1

    def turns(self, number: int) -> None:
        """So many steps of probes."""
        for _ in range(number):
            next(self._turns)

    def fill(self, idle_ns: int) -> None:
        """What time there is, but for what a turn might take too long; then wait."""
        until_ns = time.monotonic_ns() + idle_ns
        while (left_ns := until_ns - time.monotonic_ns()) > LONGEST_TURN_NS:
            next(self._turns)
        time.sleep(max(left_ns, 0) / 1e9)

    def calibrated(self, machine: Machine) -> Machine:
        """The machine as it was meanwhile, by one round at least: a first one is ended now. The
        probes have ended."""
        while not self._n_rounds:
            next(self._turns)
        found = replace(machine, kernels=fitted_costs(self._rounds), noise=self._rounds.noise())
        self._rounds.close()
        return found
