"""Reads generation_config.json: how a checkpoint wants its tokens chosen, and where it stops."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foreknown.checkpoint.config import CheckpointConfig
from foreknown.checkpoint.files import read_json_object_if_present
from foreknown.errors import CheckpointError

GENERATION_FILE = "generation_config.json"


@dataclass(frozen=True)
class GenerationDefaults:
    """The checkpoint's own defaults; None where it gives none.

    `top_k` 0 means no bound. `max_new_tokens` and `min_new_tokens` count tokens, `max_length` the
    prompt as well.
    """

    eos_token_ids: tuple[int, ...] = ()
    bos_token_id: int | None = None
    pad_token_id: int | None = None
    do_sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    max_length: int | None = None
    stop_strings: tuple[str, ...] = ()


def read_generation(
    directory: Path,
    config: CheckpointConfig | None = None,
    tokenizer_eos: Callable[[], int | None] = lambda: None,
) -> GenerationDefaults:
    """The defaults in a directory; end of sequence also from config.json, then the tokenizer.

    Args:
        tokenizer_eos: asked only if neither file names an end of sequence, because loading a
            tokenizer takes time.

    Raises:
        CheckpointError: a value of the wrong type or out of its range.
    """
    path = directory / GENERATION_FILE
    raw = read_json_object_if_present(path)
    read = _Values(raw, path)

    def token_ids(key: str) -> tuple[int, ...]:
        found = read.token_ids(key)
        if found or config is None:
            return found
        return _Values({key: config.lookup(key)}, config.path).token_ids(key)

    eos = token_ids("eos_token_id")
    if not eos:
        from_tokenizer = tokenizer_eos()
        eos = () if from_tokenizer is None else (from_tokenizer,)
    return GenerationDefaults(
        eos_token_ids=eos,
        bos_token_id=next(iter(token_ids("bos_token_id")), None),
        pad_token_id=next(iter(token_ids("pad_token_id")), None),
        do_sample=read.flag("do_sample"),
        temperature=read.real("temperature", 0.0, math.inf),
        top_k=read.whole("top_k", 0),
        top_p=read.real("top_p", 0.0, 1.0),
        min_p=read.real("min_p", 0.0, 1.0),
        repetition_penalty=read.real("repetition_penalty", 0.0, math.inf, above=True),
        presence_penalty=read.real("presence_penalty", -math.inf, math.inf),
        frequency_penalty=read.real("frequency_penalty", -math.inf, math.inf),
        max_new_tokens=read.whole("max_new_tokens", 1),
        min_new_tokens=read.whole("min_new_tokens", 0),
        max_length=read.whole("max_length", 1),
        stop_strings=read.texts("stop_strings"),
    )


@dataclass(frozen=True)
class _Values:
    """Typed access to one file's values."""

    raw: Mapping[str, Any]
    path: Path

    def flag(self, key: str) -> bool:
        value = self.raw.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return bool(value)

    def whole(self, key: str, least: int) -> int | None:
        value = self.raw.get(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not _is_whole(value) or value < least:
            raise self._wrong(key, f"a whole number of at least {least}")
        return int(value)

    def real(self, key: str, least: float, most: float, above: bool = False) -> float | None:
        value = self.raw.get(key)
        if value is None:
            return None
        known = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not known or not math.isfinite(value) or not least <= value <= most:
            raise self._wrong(key, f"a number from {least:g} to {most:g}")
        if above and value == least:
            raise self._wrong(key, f"a number above {least:g}")
        return float(value)

    def token_ids(self, key: str) -> tuple[int, ...]:
        value = self.raw.get(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        if not all(_is_whole(item) for item in items):
            raise self._wrong(key, "a token id or a list of them")
        # A negative id is how some files say "none".
        return tuple(dict.fromkeys(item for item in items if item >= 0))

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.raw.get(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in items):
            raise self._wrong(key, "a text or a list of them")
        return tuple(items)

    def _wrong(self, key: str, expected: str) -> CheckpointError:
        return CheckpointError(
            f"{key} is {self.raw.get(key)!r}, where {expected} is expected",
            where=str(self.path),
            remedy=f"correct {self.path.name}, or remove the entry",
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
