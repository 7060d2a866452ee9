"""Builds a byte-level BPE tokenizer from vocab.json and merges.txt.

These two files do not say how text is split before the merges, so that is read off the
vocabulary: a rule that keeps two characters apart leaves no token that joins them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.checkpoint.files import FETCH_AGAIN, MIB, read_json_object, read_text
from foreknown.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
LIMIT_BYTES = 256 * MIB

# The later of the two splitting rules in use; {digits} is how many digits one token may hold.
_LATER_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_byte_level(directory: Path, add_prefix_space: bool) -> tuple[Tokenizer, tuple[str, ...]]:
    """The tokenizer, and the entries that no merge makes: its special tokens.

    Raises:
        CheckpointError: a file is missing or damaged, or they do not belong together.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = _read_vocabulary(directory / VOCABULARY_FILE)
    merges = _read_merges(directory / MERGES_FILE)
    try:
        model = models.BPE(
            vocab=dict(vocabulary),
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
        )
    except Exception as error:
        raise CheckpointError(
            f"{MERGES_FILE} does not belong to {VOCABULARY_FILE}: {error}",
            where=str(directory / MERGES_FILE),
            remedy=FETCH_AGAIN,
        ) from None
    tokenizer = Tokenizer(model)
    if _joins_punctuation_to_newline(vocabulary):
        one_digit = not any(re.search(r"[0-9]{2}", token) for token in vocabulary)
        split = _LATER_SPLIT.format(digits=r"\p{N}" if one_digit else r"\p{N}{1,3}")
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=False),
            ]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    made = {left + right for left, right in merges}
    special = tuple(token for token in vocabulary if len(token) > 1 and token not in made)
    return tokenizer, special


def _read_vocabulary(path: Path) -> Mapping[str, int]:
    vocabulary = read_json_object(path, LIMIT_BYTES)
    for token, index in vocabulary.items():
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 1 << 32:
            raise CheckpointError(
                f"token {token!r} has the id {index!r}, which is no token id",
                where=str(path),
                remedy=FETCH_AGAIN,
            )
    return vocabulary


def _read_merges(path: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(read_text(path, LIMIT_BYTES).split("\n"), start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, space, right = line.partition(" ")
        if not (left and space and right) or " " in right:
            raise CheckpointError(
                f"{path.name} is damaged: a merge is two tokens with a space between them",
                where=f"{path}, line {number}",
                remedy=FETCH_AGAIN,
            )
        merges.append((left, right))
    return merges


def _joins_punctuation_to_newline(vocabulary: Mapping[str, int]) -> bool:
    # In byte-level text a newline is written Ċ.
    return any(re.search(r"[!-/:-@\[-`{-~]Ċ", token) for token in vocabulary)
