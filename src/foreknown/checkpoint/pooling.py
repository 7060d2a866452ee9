"""Reads how one embedding is made of the hidden states of a text's tokens.

The files are those of Sentence Transformers: modules.json lists what follows the model, and each
module has a folder of its own. Of modules, pooling and scaling to length one are understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foreknown.checkpoint.files import FETCH_AGAIN, read_json_object, read_text
from foreknown.errors import CheckpointError

MODULES_FILE = "modules.json"
USUAL_FOLDER = "1_Pooling"
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WITHOUT = f"remove {MODULES_FILE} and the module's folder to use the model without them"

Mode = Literal["mean", "last", "first"]
_MODES: Mapping[str, Mode] = {"mean": "mean", "lasttoken": "last", "cls": "first"}
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class Pooling:
    """How a text's embedding is made.

    Attributes:
        mode: the mean over its tokens' hidden states, or the state of its last or first token.
        normalise: whether it is then scaled to length one.
    """

    mode: Mode
    normalise: bool


def read_pooling(directory: Path) -> Pooling | None:
    """What a checkpoint's directory says of pooling; None where it says nothing.

    Raises:
        CheckpointError: a file is damaged, or asks for something else than a `Pooling`.
    """
    modules = _modules(directory)
    folder = _pooling_folder(directory, modules)
    if folder is None:
        return None
    for kind, _ in modules or ():
        if kind not in {"Transformer", "Pooling", "Normalize"}:
            raise CheckpointError(
                f"embeddings go through a module that is not supported: {kind}",
                where=str(directory / MODULES_FILE),
                remedy=_WITHOUT,
            )
    path = directory / folder / "config.json"
    (name, *others) = _names(read_json_object(path), path)
    if others or name not in _MODES:
        raise CheckpointError(
            f"embeddings are pooled by {' and '.join([name, *others])}, which is not supported",
            where=str(path),
            remedy=f"of modes, {', '.join(_MODES)} are supported; {_WITHOUT}",
        )
    return Pooling(_MODES[name], any(kind == "Normalize" for kind, _ in modules or ()))


def pooling_files(directory: Path) -> tuple[Path, ...]:
    """The files that `read_pooling` reads, of those that are there, relative to the directory.

    Raises:
        CheckpointError: modules.json is damaged.
    """
    modules = _modules(directory)
    folder = _pooling_folder(directory, modules)
    names = [Path(MODULES_FILE), *([] if folder is None else [Path(folder) / "config.json"])]
    return tuple(name for name in names if (directory / name).is_file())


def _pooling_folder(directory: Path, modules: list[tuple[str, str]] | None) -> str | None:
    if modules is None:
        return USUAL_FOLDER if (directory / USUAL_FOLDER / "config.json").is_file() else None
    return next((folder for kind, folder in modules if kind == "Pooling"), None)


def _modules(directory: Path) -> list[tuple[str, str]] | None:
    """Kind and folder of each module; None where no file lists them."""
    path = directory / MODULES_FILE
    if not path.exists():
        return None
    try:
        raw = json.loads(read_text(path))
        found = [(str(m["type"]).rpartition(".")[2], str(m["path"])) for m in raw]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise CheckpointError(
            f"{MODULES_FILE} is no list of modules with a type and a path",
            where=str(path),
            remedy=FETCH_AGAIN,
        ) from None
    for kind, folder in found:
        # It is copied into artifacts: a path that leads elsewhere must not.
        if kind == "Pooling" and not _FOLDER.fullmatch(folder):
            raise CheckpointError(
                f"the folder of a module is {folder!r}, not a plain name",
                where=str(path),
                remedy=FETCH_AGAIN,
            )
    return found


def _names(raw: Mapping[str, Any], path: Path) -> list[str]:
    """The modes that a pooling's configuration asks for, at least one; without any, the mean."""
    given = raw.get("pooling_mode")
    if given is not None:
        names = given if isinstance(given, list) else [given]
        if not names or not all(isinstance(name, str) for name in names):
            raise _odd("pooling_mode", given, path)
        return names
    for flag in _FLAGS:
        if not isinstance(raw.get(flag, False), bool):
            raise _odd(flag, raw[flag], path)
    return [name for flag, name in _FLAGS.items() if raw.get(flag)] or ["mean"]


def _odd(name: str, value: object, path: Path) -> CheckpointError:
    return CheckpointError(
        f"{name} is {value!r}, which names no way of pooling",
        where=str(path),
        remedy=f"correct {path.name}",
    )
