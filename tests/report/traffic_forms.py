"""Random traces, and their text in each of the three forms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import strategies as st

Row = tuple[int, int, int]
"""Milliseconds, tokens of the prompt, tokens of the answer."""

START = datetime(2024, 2, 28, 23, 59, 58)

rows = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(1, 200), st.integers(1, 60)),
    min_size=1,
    max_size=30,
).map(lambda found: [(ms - min(found)[0], *more) for ms, *more in sorted(found)])


def azure(found: Sequence[Row]) -> str:
    lines = [f"{START + timedelta(milliseconds=ms)},{n},{m}\r\n" for ms, n, m in found]
    return "".join(["TIMESTAMP,ContextTokens,GeneratedTokens\r\n", *lines])


def mooncake(found: Sequence[Row]) -> str:
    return "".join(
        json.dumps({"timestamp": ms, "input_length": n, "output_length": m, "hash_ids": []}) + "\n"
        for ms, n, m in found
    )


def plain_ms(found: Sequence[Row]) -> str:
    lines = [f"{m},{ms},{n}\n" for ms, n, m in found]
    return "".join(["output_tokens,arrival_ms,prompt_tokens\n", *lines])


def plain_s(found: Sequence[Row]) -> str:
    lines = [f"{1e6 + ms / 1e3:.3f}, {n}, {m}, \n" for ms, n, m in found]
    return "".join(["arrival_s, prompt_tokens, output_tokens, user\n", *lines])


FORMS = {"azure": azure, "mooncake": mooncake, "plain_ms": plain_ms, "plain_s": plain_s}


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.txt"
    path.write_text(text, "utf-8", newline="")
    return path
