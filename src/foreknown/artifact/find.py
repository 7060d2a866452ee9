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

import foreknown
from foreknown.artifact.build import Options, Progress, compile_checkpoint
from foreknown.artifact.format import Artifact, is_artifact, open_artifact
from foreknown.checkpoint import Checkpoint, open_checkpoint
from foreknown.errors import ArtifactError
from foreknown.targets.cpu.toolchain import cache_directory, find_target

PACKAGE = Path(foreknown.__file__).parent
BUNDLED = PACKAGE / "bundled"


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
        afresh: compile even if the cache holds what is wanted.

    Raises:
        ArtifactError: the artifact is damaged, or the path is neither artifact nor checkpoint.
        ForeknownError: the checkpoint does not compile.
    """
    path = BUNDLED if model is None else model.expanduser().absolute()
    if is_artifact(path):
        return Found(open_artifact(path), kept_in_cache=False)
    if not (path / "config.json").is_file():
        raise ArtifactError(
            "this is neither an artifact nor a checkpoint"
            if path.exists()
            else "there is no such model",
            where=str(path),
            remedy="name an artifact (foreknown compile makes one) or a directory with a "
            "config.json, or leave the model out to use the bundled one",
        )
    checkpoint = open_checkpoint(path)
    kept = _place(checkpoint, options)
    with _locked(kept):
        return Found(_kept_or_compiled(checkpoint, kept, options, progress, afresh), True)


def _kept_or_compiled(
    checkpoint: Checkpoint, kept: Path, options: Options, progress: Progress, afresh: bool
) -> Artifact:
    stamp, made_from = _beside(kept, "from"), _origin(checkpoint)
    if not afresh and stamp.is_file() and stamp.read_text() == made_from:
        try:
            return open_artifact(kept)
        except ArtifactError:
            pass  # ours, and made again
    stamp.unlink(missing_ok=True)
    artifact = compile_checkpoint(checkpoint.directory, kept, options, progress)
    stamp.write_text(made_from)
    return artifact


def _place(checkpoint: Checkpoint, options: Options) -> Path:
    options = replace(options, target=find_target(options.target).name)
    digest = hashlib.sha256(repr((str(checkpoint.directory), astuple(options))).encode())
    name = f"{checkpoint.directory.name}-{digest.hexdigest()[:12]}"
    return cache_directory() / "artifacts" / name


def _beside(kept: Path, suffix: str) -> Path:
    return kept.with_name(f"{kept.name}.{suffix}")


def _origin(checkpoint: Checkpoint) -> str:
    """Changes with the checkpoint's files, and with this package's own."""
    tensors = checkpoint.tensors.fingerprint() if checkpoint.tensors else ""
    digest = hashlib.sha256(f"{foreknown.__version__} {tensors}".encode())
    own = [f for f in PACKAGE.rglob("*") if f.suffix in (".py", ".c", ".h")]
    texts = [checkpoint.directory / name for name in checkpoint.text_files()]
    code = sorted(checkpoint.directory.glob("*.py"))
    for file in [*sorted(own), *texts, *code]:
        status = file.stat()
        digest.update(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()


@contextmanager
def _locked(kept: Path) -> Iterator[None]:
    """One process at a time compiles into a place of the cache; others wait, and find it made."""
    import fcntl

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(_beside(kept, "lock"), os.O_CREAT | os.O_RDWR, 0o644)
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
