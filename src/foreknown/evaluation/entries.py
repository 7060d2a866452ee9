"""Keeps what was measured in the evaluation profile of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from foreknown.errors import RequestError
from foreknown.evaluation.measured import Measured
from foreknown.machine import Machine
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.expression import Call
from foreknown.strategies.profile import (
    Entry,
    Profile,
    profile_path,
    read_profile,
    write_profile,
)


class Kept:
    """The evaluation profile of a model, in its file.

    Args:
        model: fingerprint of its weights.
        machine: whose seconds will be measured.
        path: None: in the user's cache.

    Raises:
        RequestError: there is a file that is damaged, or of another model.
    """

    def __init__(self, model: str, machine: Machine, path: Path | None = None) -> None:
        self._machine, self._path = machine, path or profile_path(model)
        self._profile = Profile(model)
        if self._path.exists():
            self._profile = read_profile(self._path, model)

    def add(self, measured: Sequence[Measured], kit: Kit, verifier: str) -> None:
        """Keep what was measured, in place of what was before; see `entries`.

        Raises:
            RequestError: the file cannot be written.
        """
        new = entries(measured, kit, verifier, self._machine)
        self._profile = self._profile.with_entries(new)
        write_profile(self._profile, self._path)


def entries(measured: Iterable[Measured], kit: Kit, verifier: str, machine: Machine) -> list[Entry]:
    """An entry for each.

    Args:
        kit: that strategies were made with.
        verifier: beside them, as a user names it.
        machine: whose seconds these are.
    """
    return [
        Entry(
            task=one.task,
            strategy=str(one.setting.call),
            verifier=verifier if _uses_verifier(one.setting.call, kit) else "",
            is_baseline=one.setting.is_baseline,
            temperature=one.setting.params.temperature,
            draft_tokens=one.setting.params.max_tokens or 1,
            deadline_ms=one.setting.budget.deadline_ms,
            budget_tokens=one.setting.budget.max_tokens,
            n=one.n,
            right=one.n_right,
            low=one.interval.low,
            high=one.interval.high,
            seconds=one.seconds,
            tokens=one.tokens,
            seed=one.setting.params.seed or 0,
            machine="" if machine.estimated else f"{machine.name}, {machine.date}",
        )
        for one in measured
    ]


def _uses_verifier(call: Call, kit: Kit) -> bool:
    """Whether a strategy that can be made could not be made without the kit's verifier."""
    try:
        built(call, replace(kit, verifier=None))
    except RequestError:
        return True
    return False
