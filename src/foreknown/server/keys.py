"""API keys by name: from a file or the environment, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from foreknown.errors import RequestError

ENVIRONMENT = "FOREKNOWN_API_KEYS"
LEAST_CHARACTERS = 8
LIMIT_BYTES = 1 << 20
FORM = "one `NAME KEY` a line"


class Keys:
    """The keys that are accepted; none at all means that everybody is.

    Only digests are held, so comparing takes the same time for every key and every guess.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = tuple((name, _digest(key)) for name, key in keys.items())

    def __bool__(self) -> bool:
        return bool(self._digests)

    def name_of(self, key: str) -> str | None:
        """Whose key this is; None if nobody's."""
        found, digest = None, _digest(key)
        for name, known in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found


def read_keys(path: Path | None, environment: Mapping[str, str] = os.environ) -> Keys:
    """Keys of a file, else of the environment (entries `NAME KEY`, separated by commas or lines).

    Raises:
        RequestError: the file cannot be read, others may read it too, or an entry makes no sense.
    """
    if path is not None:
        return Keys(_parse(_read(path), str(path)))
    return Keys(_parse(environment.get(ENVIRONMENT, "").replace(",", "\n"), ENVIRONMENT))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise RequestError(
                    "the file of API keys can be read by everybody, or changed by others",
                    where=str(path),
                    remedy=f"chmod 600 {path}",
                )
            return file.read(LIMIT_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"the file of API keys cannot be read: {error}",
            where=str(path),
            remedy=f"give a text file with {FORM}",
        ) from None


def _parse(text: str, where: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] in keys or len(words[1]) < LEAST_CHARACTERS:
            raise RequestError(
                f"entry {number} of the API keys is not a new name and a key of at least "
                f"{LEAST_CHARACTERS} characters",
                where=where,
                remedy=f"write {FORM}",
            )
        keys[words[0]] = words[1]
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
