"""What strategies showed on a model: the evaluation profile, a JSON file in the user's cache.

`foreknown evaluate` writes it, `--strategy auto` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from foreknown.errors import RequestError
from foreknown.machine.keeping import REMEDY, keep_text
from foreknown.targets.cpu.toolchain import cache_directory

FORMAT = 1
LARGEST_FILE = 16 << 20
"""Bytes."""
_AGAIN = "measure again: foreknown evaluate MODEL --task NAME --strategy TEXT"


@dataclass(frozen=True)
class Entry:
    """What a strategy showed on a task in one budget.

    Attributes:
        strategy: its text form.
        verifier: beside it, as a user names it; "": it uses none, or its text names it.
        is_baseline: whether it is the greedy draft that others were compared with.
        temperature, draft_tokens: of each draft, and how many tokens it had at most.
        deadline_ms, budget_tokens: of each answer; None: no limit.
        right: answers of n.
        low, high: 95 % interval of the accuracy.
        seconds: of an answer, in the mean; None: not measured.
        tokens: of an answer, in the mean.
        seed: of the draws.
        machine: whose seconds these are, and the date of its profile; "": it was estimated.
    """

    task: str
    strategy: str
    verifier: str
    is_baseline: bool
    temperature: float
    draft_tokens: int
    deadline_ms: float | None
    budget_tokens: int | None
    n: int
    right: int
    low: float
    high: float
    seconds: float | None
    tokens: float
    seed: int
    machine: str

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.n or not self.n or self.draft_tokens < 1:
            raise ValueError("an entry's counts make no sense")

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.right / self.n

    @property
    def way(self) -> Entry:
        """What was done, without what it showed, and on which task."""
        nothing = {"n": 1, "right": 0, "low": 0.0, "high": 0.0, "seconds": None, "tokens": 0.0}
        return replace(self, task="", seed=0, machine="", **nothing)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Profile:
    """All that was measured on one model.

    Attributes:
        model: fingerprint of its weights.
    """

    model: str
    entries: tuple[Entry, ...] = ()

    def with_entries(self, new: Iterable[Entry]) -> Profile:
        """The same with more; what was measured again is replaced."""
        entries = {(entry.task, entry.way): entry for entry in self.entries}
        entries.update({(entry.task, entry.way): entry for entry in new})
        return replace(self, entries=tuple(entries.values()))


def profile_path(model: str) -> Path:
    """Where a model's profile is kept."""
    return cache_directory() / "evaluations" / f"{model}.json"


def read_profile(path: Path, model: str) -> Profile:
    """The profile of a model.

    Raises:
        RequestError: there is none, it is damaged, or of another model.
    """
    if not path.exists():
        raise RequestError(
            "nothing was measured of this model yet",
            where=str(path),
            remedy="foreknown evaluate MODEL --task NAME --strategy TEXT first",
            field="strategy",
        )
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError("it is too large")
        profile = _profile(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise RequestError(
            f"the evaluation profile cannot be read: {error}",
            where=str(path),
            remedy=f"delete the file and {_AGAIN}",
        ) from None
    if profile.model != model:
        raise RequestError(
            f"the evaluation profile is of another model: {profile.model}, this one is {model}",
            where=str(path),
            remedy=f"name another file, or {_AGAIN}",
        )
    return profile


def write_profile(profile: Profile, path: Path) -> None:
    """Keep a profile, whole or not at all.

    Raises:
        RequestError: it cannot be written there.
    """
    record = {
        "format": FORMAT,
        "model": profile.model,
        "entries": [asdict(entry) for entry in profile.entries],
    }
    try:
        keep_text(path, json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise RequestError(
            f"the evaluation profile cannot be kept: {error.strerror or error}",
            where=str(path),
            remedy=REMEDY,
        ) from None


def _profile(raw: Any) -> Profile:
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ValueError("it is of another format")
    return Profile(str(raw["model"]), tuple(map(_entry, raw["entries"])))


def _entry(raw: Mapping[str, Any]) -> Entry:
    return Entry(
        task=str(raw["task"]),
        strategy=str(raw["strategy"]),
        verifier=str(raw["verifier"]),
        is_baseline=bool(raw["is_baseline"]),
        temperature=float(raw["temperature"]),
        draft_tokens=int(raw["draft_tokens"]),
        deadline_ms=_number(raw["deadline_ms"]),
        budget_tokens=None if raw["budget_tokens"] is None else int(raw["budget_tokens"]),
        n=int(raw["n"]),
        right=int(raw["right"]),
        low=float(raw["low"]),
        high=float(raw["high"]),
        seconds=_number(raw["seconds"]),
        tokens=float(raw["tokens"]),
        seed=int(raw["seed"]),
        machine=str(raw["machine"]),
    )


def _number(raw: Any) -> float | None:
    return None if raw is None else float(raw)
