"""Finds the artifact that a user means: one on disk, a checkpoint's (compiled on first use and kept
in the user's cache), or that of the model inside the package.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from foreknown.artifact.build import Options, Progress, compile_checkpoint
from foreknown.artifact.format import Artifact, is_artifact, open_artifact
from foreknown.artifact.origin import PACKAGE, origin
from foreknown.checkpoint import Checkpoint, open_checkpoint
from foreknown.errors import ArtifactError
from foreknown.targets.cpu.toolchain import cache_directory, find_target

BUNDLED = PACKAGE / "bundled"
_NAME_ONE = (
    "name an artifact (foreknown compile makes one) or a directory with a config.json, or leave "
    "the model out to use the bundled one"
)


@dataclass(frozen=True)
class Found:
    """An artifact, and what can be done if it turns out to be damaged.

    Attributes:
        kept_in_cache: it was made by us and may be made again.
    """

    artifact: Artifact
    kept_in_cache: bool


def find_artifact(
    model: Path | None,
    options: Options,
    progress: Progress = lambda part, done, total: None,
    *,
    afresh: bool = False,
) -> Found:
    """The artifact at a path, of a checkpoint at a path, or of the bundled model.

    Args:
        options: how a checkpoint is compiled; an artifact is what it is.
        afresh: what lies in the cache has shown damage: look at all of it, compile what is wrong.

    Raises:
        ArtifactError: the artifact is damaged, or the path is neither artifact nor checkpoint.
        ForeknownError: the checkpoint does not compile.
    """
    path = model_path(model)
    if is_artifact(path):
        return Found(open_artifact(path), kept_in_cache=False)
    if path.is_file():
        raise ArtifactError(
            "this is neither an artifact nor a checkpoint",
            where=str(path),
            remedy=_NAME_ONE,
        )
    checkpoint = open_checkpoint(path)
    options = replace(options, target=find_target(options.target).name)
    kept = _place(checkpoint, options)
    with _locked(kept):
        if not afresh and _is_current(kept, checkpoint, options):
            return Found(open_artifact(kept), True)
        return Found(compile_checkpoint(path, kept, options, progress), True)


def model_path(model: Path | None) -> Path:
    """Where a model lies: an artifact, a directory with a config.json, or such a file.

    Raises:
        ArtifactError: there is none.
    """
    path = BUNDLED if model is None else model.expanduser().absolute()
    is_config = path.suffix == ".json" and path.is_file()
    if is_artifact(path) or is_config or (path / "config.json").is_file():
        return path
    raise ArtifactError(
        "this is neither an artifact nor a checkpoint"
        if path.exists()
        else "there is no such model",
        where=str(path),
        remedy=_NAME_ONE,
    )


def current_artifact(path: Path, options: Options) -> Artifact | None:
    """What the cache holds of a checkpoint, if it is what compiling would make; nothing is made."""
    checkpoint = open_checkpoint(path)
    options = replace(options, target=find_target(options.target).name)
    kept = _place(checkpoint, options)
    return open_artifact(kept) if _is_current(kept, checkpoint, options) else None


def _is_current(kept: Path, checkpoint: Checkpoint, options: Options) -> bool:
    """Whether the cache holds what compiling would make; its weights are checked when loaded."""
    if not is_artifact(kept):
        return False
    try:
        manifest = open_artifact(kept).manifest
    except ArtifactError:
        return False
    return manifest.origin == origin(checkpoint, options)


def _place(checkpoint: Checkpoint, options: Options) -> Path:
    digest = hashlib.sha256(repr((str(checkpoint.directory), astuple(options))).encode())
    name = f"{checkpoint.directory.name}-{digest.hexdigest()[:12]}"
    return cache_directory() / "artifacts" / name


@contextmanager
def _locked(kept: Path) -> Iterator[None]:
    """One process at a time compiles into a place of the cache; others wait, and find it made."""
    import fcntl

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(kept.with_name(f"{kept.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise ArtifactError(
            f"the cache cannot be written: {error.strerror}",
            where=str(kept.parent),
            remedy="set FOREKNOWN_CACHE to a directory that can be written, or compile with "
            "-o ARTIFACT",
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
