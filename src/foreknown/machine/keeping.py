"""Writes a file that stays, whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

REMEDY = "set FOREKNOWN_CACHE to a directory that can be written"
"""For what is kept in the user's cache and cannot be."""


def keep_text(path: Path, text: str) -> None:
    """Put a text in a file's place; its directory is made if need be.

    Raises:
        OSError: it cannot be written there; what was there stays.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
