"""A checkpoint as found: a directory, and what each of its files says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foreknown.checkpoint.byte_level import MERGES_FILE, VOCABULARY_FILE
from foreknown.checkpoint.config import CONFIG_FILE, CheckpointConfig, read_config
from foreknown.checkpoint.generation import GENERATION_FILE, GenerationDefaults, read_generation
from foreknown.checkpoint.pooling import Pooling, pooling_files, read_pooling
from foreknown.checkpoint.shards import has_weights, open_tensors
from foreknown.checkpoint.special_tokens import (
    ADDED_TOKENS,
    SPECIAL_TOKENS_MAP,
    TOKENIZER_CONFIG,
    read_special_tokens,
)
from foreknown.checkpoint.template import (
    TEMPLATE_FILE,
    TEMPLATE_FOLDER,
    ChatTemplate,
    read_chat_template,
)
from foreknown.checkpoint.tensors import TensorStore
from foreknown.checkpoint.tokenizer import (
    TOKENIZER_FILE,
    Tokenizer,
    has_tokenizer,
    open_tokenizer,
)
from foreknown.errors import CheckpointError

_TEXT_FILES = (
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
    VOCABULARY_FILE,
    MERGES_FILE,
    TEMPLATE_FILE,
)


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face directory; all but `config` is read when first asked for, then kept.

    Each property raises CheckpointError where its files are damaged.
    """

    directory: Path
    config: CheckpointConfig

    @cached_property
    def tensors(self) -> TensorStore | None:
        """The weights by name; None where there is only a configuration."""
        return open_tensors(self.directory) if has_weights(self.directory) else None

    @property
    def has_tokenizer(self) -> bool:
        return has_tokenizer(self.directory)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; a CheckpointError where there is none (see `has_tokenizer`)."""
        return open_tokenizer(self.directory)

    @cached_property
    def chat_template(self) -> ChatTemplate | None:
        """The chat templates with this checkpoint's special tokens; None where there are none."""
        named = (
            self.tokenizer.special_tokens
            if self.has_tokenizer
            else read_special_tokens(self.directory).named
        )
        return read_chat_template(self.directory, named)

    @cached_property
    def generation(self) -> GenerationDefaults:
        """How to choose tokens and where to stop, from all files that say so."""
        return read_generation(
            self.directory,
            self.config,
            lambda: self.tokenizer.eos_token_id if self.has_tokenizer else None,
        )

    @cached_property
    def pooling(self) -> Pooling | None:
        """How embeddings are made of hidden states; None where no file says it."""
        return read_pooling(self.directory)

    def text_files(self) -> tuple[Path, ...]:
        """Every file but the weights that `open_checkpoint` reads, relative to the directory.

        Copied elsewhere, they open as a checkpoint without weights.
        """
        names = [Path(name) for name in _TEXT_FILES if (self.directory / name).is_file()]
        templates = sorted((self.directory / TEMPLATE_FOLDER).glob("*.jinja"))
        names += (file.relative_to(self.directory) for file in templates)
        return (*names, *pooling_files(self.directory))


def open_checkpoint(path: str | Path) -> Checkpoint:
    """The checkpoint in a directory.

    Raises:
        CheckpointError: no such directory, or its config.json is missing or damaged.
    """
    directory = Path(path).expanduser()
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        raise CheckpointError(
            f"{directory.name or directory} {found}, not a checkpoint's directory",
            where=str(directory),
            remedy="give the directory that holds config.json and the weights",
        )
    return Checkpoint(directory.resolve(), read_config(directory))
