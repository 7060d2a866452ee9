"""What an artifact was made from, as one digest: equal origins give equal artifacts."""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import foreknown
from foreknown.checkpoint import Checkpoint

if TYPE_CHECKING:
    from foreknown.artifact.build import Options

PACKAGE = Path(foreknown.__file__).parent


def origin(checkpoint: Checkpoint, options: Options) -> str:
    """Changes with the checkpoint's files, with the options, and with this package's own source.

    Files are told apart by path, size and time of change: gigabytes are not read.
    """
    tensors = checkpoint.tensors.fingerprint() if checkpoint.tensors else ""
    digest = hashlib.sha256(repr((foreknown.__version__, tensors, astuple(options))).encode())
    own = [f for f in PACKAGE.rglob("*") if f.suffix in (".py", ".c", ".h")]
    texts = [checkpoint.directory / name for name in checkpoint.text_files()]
    code = sorted(checkpoint.directory.glob("*.py"))
    for file in [*sorted(own), *texts, *code]:
        status = file.stat()
        digest.update(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()
