"""The steps of a tokenizer's decoder, as stages that take texts one at a time.

A decoder is a chain of steps over a list of token texts (`Tokenizer.decode` runs it on the whole
list). Here each step gives on what nothing later can change, and keeps what may still change. The
pieces together equal the decoded whole, and each stage does work in proportion to the text it is
given, so a token costs the same at any place.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any, Protocol


class Stage(Protocol):
    """One step of a decoder; `finish` gives what was kept back."""

    def push(self, text: str) -> list[str]: ...

    def finish(self) -> list[str]: ...


class _Map:
    """A step that changes each text by itself."""

    def __init__(self, change: Callable[[str], str]) -> None:
        self._change = change

    def push(self, text: str) -> list[str]:
        return [self._change(text)]

    def finish(self) -> list[str]:
        return []


class _First:
    """A step that treats the first text differently from the rest."""

    def __init__(self, first: Callable[[str], str], rest: Callable[[str], str]) -> None:
        self._change, self._rest = first, rest

    def push(self, text: str) -> list[str]:
        changed = self._change(text)
        self._change = self._rest
        return [changed]

    def finish(self) -> list[str]:
        return []


class _Last:
    """A step that treats the last text differently: one text is kept back."""

    def __init__(self, inner: Callable[[str], str], last: Callable[[str], str]) -> None:
        self._inner, self._last = inner, last
        self._kept: str | None = None

    def push(self, text: str) -> list[str]:
        given = [] if self._kept is None else [self._inner(self._kept)]
        self._kept = text
        return given

    def finish(self) -> list[str]:
        return [] if self._kept is None else [self._last(self._kept)]


class _Bytes:
    """Byte-level texts: each character stands for a byte of UTF-8."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, text: str) -> list[str]:
        try:
            encoded = bytes(_BYTE_OF[character] for character in text)
        except KeyError:  # an added token, written as it is
            encoded = text.encode()
        return [self._decoder.decode(encoded)]

    def finish(self) -> list[str]:
        return [self._decoder.decode(b"", final=True)]


class _ByteFallback:
    """Texts such as <0xE6> are bytes; others are themselves.

    A run of bytes is kept to its end, because one wrong byte turns all of the run to U+FFFD.
    """

    def __init__(self) -> None:
        self._run = bytearray()

    def push(self, text: str) -> list[str]:
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            try:
                self._run.append(int(text[3:5], 16))
            except ValueError:
                pass
            else:
                return []
        return [*self.finish(), text]

    def finish(self) -> list[str]:
        if not self._run:
            return []
        run, self._run = bytes(self._run), bytearray()
        try:
            return [run.decode("utf-8")]
        except UnicodeDecodeError:
            return ["\ufffd"] * len(run)


class _StripAll:
    """Takes up to `start` and `stop` of one character off the ends of the whole text."""

    def __init__(self, character: str, start: int, stop: int) -> None:
        self._character, self._start, self._stop = character, start, stop
        self._kept = ""

    def push(self, text: str) -> list[str]:
        while self._start and text:
            if not text.startswith(self._character):
                self._start = 0
            else:
                text, self._start = text[1:], self._start - 1
        text = self._kept + text
        end = len(text)
        while end and len(text) - end < self._stop and text[end - 1] == self._character:
            end -= 1
        self._kept = text[end:]
        return [text[:end]]

    def finish(self) -> list[str]:
        return []


class CleanUp:
    """Spaces out before punctuation; cut where no rule can reach across."""

    def __init__(self) -> None:
        self._kept = ""

    def push(self, text: str) -> list[str]:
        self._kept += text
        # Every rule starts with a space, and crosses one only after an apostrophe or an n.
        cuts = [match.end() for match in re.finditer(r"[^ 'n](?= )", self._kept)]
        if not cuts:
            return []
        ready, self._kept = self._kept[: cuts[-1]], self._kept[cuts[-1] :]
        return [_clean_up(ready)]

    def finish(self) -> list[str]:
        return [_clean_up(self._kept)]


class Whole:
    """A step nothing is known of: all is kept to the end, so that the text is at least right."""

    def __init__(self, decode: Callable[[list[str]], str]) -> None:
        self._decode = decode
        self._kept: list[str] = []

    def push(self, text: str) -> list[str]:
        self._kept.append(text)
        return []

    def finish(self) -> list[str]:
        return [self._decode(self._kept)]


def _clean_up(text: str) -> str:
    from foreknown.checkpoint.tokenizer import clean_up

    return clean_up(text)


def stages_of(step: dict[str, Any] | None) -> list[Stage] | None:
    """The stages of a decoder, None if one of its steps is not known."""
    if step is None:
        return [_First(lambda text: text, lambda text: " " + text)]
    steps = step["decoders"] if step["type"] == "Sequence" else [step]
    stages: list[Stage] = []
    fused = False  # whether the texts so far are pieces of one
    for each in steps:
        stage = _fused_stage(each) if fused else _stage(each)
        if stage is None:
            return None
        stages += stage
        fused = fused or each["type"] in ("Fuse", "ByteLevel")
    return stages


def _stage(step: dict[str, Any]) -> list[Stage] | None:
    """A step over single tokens."""
    kind = step["type"]
    if kind == "Fuse":
        return []
    if kind == "ByteLevel":
        return [_Bytes()]
    if kind == "ByteFallback":
        return [_ByteFallback()]
    if kind == "Replace":
        return [_Map(_replacement(step))]
    if kind == "Strip":
        return [_Map(lambda text: _strip(text, step["content"], step["start"], step["stop"]))]
    if kind == "Metaspace":
        mark = step["replacement"]
        first = " " if step["prepend_scheme"] == "never" else ""
        return [
            _First(lambda text: text.replace(mark, first), lambda text: text.replace(mark, " "))
        ]
    if kind == "WordPiece":
        prefix, change = step["prefix"], _clean_up if step["cleanup"] else str
        return [
            _First(
                change,
                lambda text: change(
                    text.removeprefix(prefix) if text.startswith(prefix) else " " + text
                ),
            )
        ]
    if kind == "BPEDecoder":
        suffix = step["suffix"]
        return [_Last(lambda text: text.replace(suffix, " "), lambda t: t.replace(suffix, ""))]
    return None


def _fused_stage(step: dict[str, Any]) -> list[Stage] | None:
    """A step over one text that comes in pieces."""
    kind = step["type"]
    if kind == "Fuse":
        return []
    if kind == "Strip":
        return [_StripAll(step["content"], step["start"], step["stop"])]
    if kind == "Replace" and len(step["pattern"].get("String", "")) == 1:
        return [_Map(_replacement(step))]
    return None


def _replacement(step: dict[str, Any]) -> Callable[[str], str]:
    pattern, content = step["pattern"], step["content"]
    if "String" in pattern:
        return lambda text: text.replace(pattern["String"], content)
    from tokenizers import Regex, decoders

    replace = decoders.Replace(Regex(pattern["Regex"]), content)
    return lambda text: replace.decode([text])


def _strip(text: str, character: str, start: int, stop: int) -> str:
    begin = 0
    while begin < min(start, len(text)) and text[begin] == character:
        begin += 1
    end = len(text)
    while end > begin and len(text) - end < stop and text[end - 1] == character:
        end -= 1
    return text[begin:end]


def _byte_of() -> dict[str, int]:
    """The byte each character of a byte-level text stands for: printable ones are themselves,
    the others are numbered from U+0100."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    return {chr(byte): byte for byte in shown} | {
        chr(0x100 + index): byte for index, byte in enumerate(hidden)
    }


_BYTE_OF = _byte_of()


def bytes_of(token: str, decoder: str) -> bytes:
    """The bytes of one token's text.

    Args:
        decoder: the decoder's description, as tokenizer.json has it.
    """
    if '"ByteLevel"' in decoder and all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    if '"ByteFallback"' in decoder and re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()
