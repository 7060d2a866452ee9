"""Text to token ids and back, as transformers' AutoTokenizer does it for the same directory.

tokenizer.json is the whole truth where it exists; else vocab.json with merges.txt. Code that a
checkpoint brings is not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.checkpoint.byte_level import MERGES_FILE, VOCABULARY_FILE, build_byte_level
from foreknown.checkpoint.config import CONFIG_FILE
from foreknown.checkpoint.files import (
    FETCH_AGAIN,
    MIB,
    parse_json_object,
    read_json_object_if_present,
    read_text,
)
from foreknown.checkpoint.special_tokens import SpecialTokens, TokenText, read_special_tokens
from foreknown.errors import CheckpointError, RequestError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

    from foreknown.checkpoint.incremental import Detokenizer

TOKENIZER_FILE = "tokenizer.json"
LIMIT_BYTES = 256 * MIB

# What transformers takes out of text where a word-piece tokenizer asks for it.
_CLEAN_UP = tuple(
    (before, before.strip(" ") if before != " ' " else "'")
    for before in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
)


class Tokenizer:
    """A tokenizer with its special tokens; use `open_tokenizer` to get one."""

    def __init__(self, backend: Backend, tokens: SpecialTokens) -> None:
        self.backend = backend
        self.special_tokens: Mapping[str, str] = tokens.named
        self.cleans_up = (
            bool(tokens.config.get("clean_up_tokenization_spaces"))
            and type(backend.model).__name__ != "BPE"
        )
        decoder = backend.decoder
        # The decoder's own description, as tokenizer.json has it.
        self._decoder: str = "" if decoder is None else decoder.__getstate__().decode()
        self.special_ids: frozenset[int] = frozenset(
            index for index, token in backend.get_added_tokens_decoder().items() if token.special
        )

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, added ones included; the model may have rows beyond."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @property
    def bos_token_id(self) -> int | None:
        return self._named_id("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        return self._named_id("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        return self._named_id("pad_token")

    def token_id(self, token: str) -> int | None:
        """The id of a token's text, None if there is no such token."""
        return self.backend.token_to_id(token)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text; with `add_special_tokens`, those that start or end a text too.

        Raises:
            RequestError: the text holds lone surrogates, which no tokenizer can take.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the text is not Unicode: a lone surrogate at character {error.start}",
                remedy="decode the text as UTF-8 before sending it",
            ) from None
        return list(self.backend.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of token ids; ids that are no token give nothing."""
        text = self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return clean_up(text) if self.cleans_up else text

    def detokenizer(
        self, skip_special_tokens: bool = True, shown: frozenset[str] = frozenset()
    ) -> Detokenizer:
        """A fresh streaming decoder; all its pieces together equal `decode` of all ids.

        Args:
            shown: special tokens that are not skipped all the same.
        """
        from foreknown.checkpoint.incremental import Detokenizer

        skipped = self.special_ids if skip_special_tokens else frozenset()
        return Detokenizer(self, skipped - {self.token_id(text) for text in shown})

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for, in the middle of a text; b"" if there is no such."""
        from foreknown.checkpoint.decoder_stages import bytes_of

        token = self.backend.id_to_token(token_id)
        if token is None:
            return b""
        if token_id in self.backend.get_added_tokens_decoder():
            return token.encode()
        return bytes_of(token, self._decoder)

    def _named_id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self.backend.token_to_id(token)


def clean_up(text: str) -> str:
    """Takes out the spaces that a word-piece decoder leaves before punctuation."""
    for before, after in _CLEAN_UP:
        text = text.replace(before, after)
    return text


def has_tokenizer(directory: Path) -> bool:
    """Whether `open_tokenizer` would find files to read."""
    return (directory / TOKENIZER_FILE).exists() or (
        (directory / VOCABULARY_FILE).exists() and (directory / MERGES_FILE).exists()
    )


def open_tokenizer(directory: Path) -> Tokenizer:
    """The tokenizer in a directory.

    Raises:
        CheckpointError: no tokenizer that can be read, a damaged file, or (without
            tokenizer.json) a special token whose id the vocabulary contradicts.
    """
    tokens = read_special_tokens(directory)
    path = directory / TOKENIZER_FILE
    if path.exists():
        backend = _read_backend(path)
    elif has_tokenizer(directory):
        prefix = bool(tokens.config.get("add_prefix_space"))
        backend, unmade = build_byte_level(directory, prefix)
        tokens = _with_unmade(tokens, unmade, backend, directory)
    else:
        raise _no_tokenizer(directory)
    _add_tokens(backend, tokens)
    if not path.exists():
        _check_ids(backend, tokens, directory)
        _add_ends(backend, tokens)
    # As transformers resets them on each call: a checkpoint must not shorten prompts silently.
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = bool(tokens.config.get("split_special_tokens"))
    return Tokenizer(backend, tokens)


def _read_backend(path: Path) -> Backend:
    from tokenizers import Tokenizer as Backend

    text = read_text(path, LIMIT_BYTES)
    try:
        return Backend.from_str(text)
    except BaseException as error:  # a panic of the Rust library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        parse_json_object(text, path)  # says where, if it is not even JSON
        raise CheckpointError(
            f"tokenizer.json is damaged or of an unknown kind: {error}",
            where=str(path),
            remedy=FETCH_AGAIN,
        ) from None


def _with_unmade(
    tokens: SpecialTokens, unmade: tuple[str, ...], backend: Backend, directory: Path
) -> SpecialTokens:
    """Adds what the vocabulary itself shows; names come from config.json if nothing tells them."""
    named = dict(tokens.named)
    if not tokens.config and not named:
        config = read_json_object_if_present(directory / CONFIG_FILE)
        for name in ("bos_token", "eos_token", "pad_token"):
            index = config.get(f"{name}_id")
            token = backend.id_to_token(index) if type(index) is int and index >= 0 else None
            if token is not None:
                named[name] = token
        if not named and len(unmade) == 1:
            named = {"bos_token": unmade[0], "eos_token": unmade[0]}
    found = tuple(TokenText(token, {"special": True}) for token in unmade)
    return SpecialTokens(
        named, tokens.named_tokens, (*tokens.extra, *found), tokens.by_id, tokens.config
    )


def _add_tokens(backend: Backend, tokens: SpecialTokens) -> None:
    from tokenizers import AddedToken

    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    named = {token.content for token in tokens.named_tokens}
    wanted = [*tokens.by_id.values(), *tokens.named_tokens, *tokens.extra]
    for token in wanted:
        if token.content in known:
            continue
        known.add(token.content)
        special = token.flags.get("special", True) or token.content in named
        backend.add_tokens([AddedToken(token.content, **{**token.flags, "special": special})])


def _check_ids(backend: Backend, tokens: SpecialTokens, directory: Path) -> None:
    for index, token in tokens.by_id.items():
        found = backend.token_to_id(token.content)
        if found != index:
            raise CheckpointError(
                f"special token {token.content!r} has the id {index} in one file and {found} in "
                "another",
                where=str(directory),
                remedy="take all tokenizer files from one and the same checkpoint",
            )


def _add_ends(backend: Backend, tokens: SpecialTokens) -> None:
    """Start and end tokens around a text, where the settings ask for them."""
    from tokenizers.processors import TemplateProcessing

    ends = {}
    for name in ("bos_token", "eos_token"):
        token = tokens.named.get(name)
        if token is not None and tokens.config.get(f"add_{name}") is True:
            ends[name] = (token, backend.token_to_id(token))
    if not ends:
        return
    start = f"{ends['bos_token'][0]}:0 " if "bos_token" in ends else ""
    end = f" {ends['eos_token'][0]}:0" if "eos_token" in ends else ""
    single = f"{start}$A:0{end}"
    backend.post_processor = TemplateProcessing(
        single=single, pair=f"{single} $B:1", special_tokens=list(ends.values())
    )


def _no_tokenizer(directory: Path) -> CheckpointError:
    others = [
        file.name
        for pattern in ("tokenizer.model", "*.tiktoken", "tiktoken.model", "tekken.json")
        for file in sorted(directory.glob(pattern))
    ]
    if others:
        return CheckpointError(
            f"the tokenizer is only there as {others[0]}, which is not read",
            where=str(directory),
            remedy='convert it once: python -c "from transformers import AutoTokenizer as T; '
            f"T.from_pretrained('{directory}').save_pretrained('{directory}')\"",
        )
    return CheckpointError(
        "there is no tokenizer",
        where=str(directory),
        remedy=f"add {TOKENIZER_FILE}, or {VOCABULARY_FILE} and {MERGES_FILE}",
    )
