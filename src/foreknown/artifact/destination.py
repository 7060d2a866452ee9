"""A directory that appears whole or not at all, whatever interrupts its making."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foreknown.artifact.format import is_artifact
from foreknown.errors import ArtifactError


def require_replaceable(destination: Path) -> None:
    """Refuse a destination that cannot be written, or that holds something of the user's.

    Raises:
        ArtifactError: a read-only disk, or a directory that is neither empty nor an artifact.
    """
    there = next(place for place in destination.parents if place.exists())
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        raise ArtifactError(
            "the disk is read-only", where=str(there), remedy="write the artifact to another place"
        )
    if destination.exists() and not is_artifact(destination):
        if destination.is_dir() and not any(destination.iterdir()):
            return
        raise ArtifactError(
            "the destination exists and is no artifact, so it is left alone",
            where=str(destination),
            remedy="choose another name for the artifact, or remove what is there",
        )


@contextmanager
def directory_for(destination: Path, weights_bytes: int) -> Iterator[Path]:
    """A directory that becomes `destination` if the block ends well, and vanishes if not."""
    partial = destination.with_name(f".{destination.name}.partial-{os.getpid()}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        free = shutil.disk_usage(destination.parent).free
        if free < weights_bytes:
            raise ArtifactError(
                f"{-(-weights_bytes >> 20)} MiB are needed and {free >> 20} MiB are free "
                "on the disk",
                where=str(destination.parent),
                remedy="free some space, or write the artifact to another disk",
            )
        yield partial
        _sync(partial)
        if destination.exists():
            old = destination.with_name(f".{destination.name}.old-{os.getpid()}")
            destination.rename(old)
            try:
                partial.rename(destination)
            except BaseException:
                old.rename(destination)
                raise
            shutil.rmtree(old)
        else:
            partial.rename(destination)
    except OSError as error:
        reasons = {
            errno.ENOSPC: ("the disk is full", "free some space, or write to another disk"),
            errno.EROFS: ("the disk is read-only", "write the artifact to another place"),
            errno.EACCES: ("there is no permission to write here", "choose another place"),
        }
        what, remedy = reasons.get(
            error.errno or 0,
            (f"the artifact cannot be written: {error}", "look at the disk, or choose another"),
        )
        raise ArtifactError(what, where=str(destination), remedy=remedy) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Have the files on the disk before the directory gets its name."""
    for file in directory.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
