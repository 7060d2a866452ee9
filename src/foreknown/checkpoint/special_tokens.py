"""What a tokenizer's side files say about special tokens.

Precedence as in transformers 5: tokenizer_config.json with `added_tokens_decoder` is complete;
without it, special_tokens_map.json overrides the names and added_tokens.json adds tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foreknown.checkpoint.files import read_json_object_if_present
from foreknown.errors import CheckpointError

TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
ADDED_TOKENS = "added_tokens.json"

STANDARD_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class TokenText:
    """A token that is matched before the text is split; flags as in `tokenizers.AddedToken`."""

    content: str
    flags: Mapping[str, bool]


@dataclass(frozen=True)
class SpecialTokens:
    """`named` maps names as bos_token to texts; `by_id` are tokens with the ids they must have."""

    named: Mapping[str, str]
    named_tokens: tuple[TokenText, ...]
    extra: tuple[TokenText, ...]
    by_id: Mapping[int, TokenText]
    config: Mapping[str, Any]


def read_special_tokens(directory: Path) -> SpecialTokens:
    """The special tokens of a tokenizer's directory, empty where no file tells any.

    Raises:
        CheckpointError: a side file is damaged or an entry is no token.
    """
    path = directory / TOKENIZER_CONFIG
    config = read_json_object_if_present(path)
    settings = dict(config)
    by_id: dict[int, TokenText] = {}
    if "added_tokens_decoder" in config:
        decoder = config["added_tokens_decoder"]
        if not isinstance(decoder, dict):
            raise _wrong(path, "added_tokens_decoder", decoder)
        for key, value in decoder.items():
            if not (key.isdecimal() and isinstance(value, dict)):
                raise _wrong(path, f"added_tokens_decoder[{key!r}]", value)
            by_id[int(key)] = _token(path, "added_tokens_decoder", value)
    else:
        settings |= read_json_object_if_present(directory / SPECIAL_TOKENS_MAP)
    named: dict[str, TokenText] = {}
    for key, value in settings.items():
        standard = key in STANDARD_NAMES and value is not None
        if standard or (key.endswith("_token") and isinstance(value, str)):
            named[key] = _token(path, key, value)
    extra_value = settings.get("extra_special_tokens") or settings.get("additional_special_tokens")
    extra: list[TokenText] = []
    if isinstance(extra_value, dict):
        named |= {key: _token(path, key, value) for key, value in extra_value.items()}
    elif extra_value is not None:
        if not isinstance(extra_value, list):
            raise _wrong(path, "extra_special_tokens", extra_value)
        extra = [_token(path, "extra_special_tokens", value) for value in extra_value]
    if "added_tokens_decoder" not in config:
        special = {token.content for token in [*named.values(), *extra]}
        added = directory / ADDED_TOKENS
        for content, index in read_json_object_if_present(added).items():
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise _wrong(added, content, index)
            flags = {"special": content in special, "normalized": content not in special}
            by_id[index] = TokenText(content, flags)
    return SpecialTokens(
        named={key: token.content for key, token in named.items()},
        named_tokens=tuple(named.values()),
        extra=tuple(extra),
        by_id=dict(sorted(by_id.items())),
        config=config,
    )


def _token(path: Path, key: str, value: Any) -> TokenText:
    if isinstance(value, str):
        return TokenText(value, {"special": True})
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = {flag: bool(value[flag]) for flag in _FLAGS if flag in value}
        return TokenText(value["content"], flags)
    raise _wrong(path, key, value)


def _wrong(path: Path, key: str, value: object) -> CheckpointError:
    return CheckpointError(
        f"{key} is {value!r:.200}, which describes no token",
        where=str(path),
        remedy=f"correct {path.name}, or take it from where the checkpoint was made",
    )
