"""Prompts: one or several, as texts or as token ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import Annotated

from pydantic import Discriminator, Field, Tag

from foreknown.server.api.fields import TokenId
from foreknown.server.errors import Refusal
from foreknown.server.served_model import ServedModel

MAX_PROMPT_TOKENS = 1 << 20
MANY_TOKENS = 256
"""After a longer text others have their turn, since many such texts may come at once."""

Ids = Annotated[list[TokenId], Field(min_length=1, max_length=MAX_PROMPT_TOKENS)]


def _kind(prompt: object) -> str | None:
    """Which form a prompt has, by its first element."""
    if isinstance(prompt, str):
        return "text"
    if not isinstance(prompt, list):
        return None
    first = prompt[0] if prompt else 0
    return "texts" if isinstance(first, str) else "lists" if isinstance(first, list) else "ids"


Prompt = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[Ids, Tag("ids")]
    | Annotated[list[str], Tag("texts")]
    | Annotated[list[Ids], Tag("lists")],
    Discriminator(
        _kind,
        custom_error_type="prompt",
        custom_error_message="Input should be a text, token ids, or a list of either",
    ),
]

_Given = str | list[int] | list[str] | list[list[int]]


def prompts_of(prompt: _Given) -> list[str] | list[list[int]]:
    """Each prompt by itself."""
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [prompt]
    return prompt


def require_few(prompts: Sized, most: int, param: str) -> None:
    """Refuse more prompts than one request may have.

    Raises:
        Refusal: there are more.
    """
    if len(prompts) > most:
        raise Refusal(f"{param} has more than {most} prompts", param=param)


async def token_ids(
    model: ServedModel, prompt: str | list[int], *, special: bool = True, param: str = "prompt"
) -> list[int]:
    """A prompt's token ids.

    Raises:
        Refusal: see `ServedModel.encode`.
    """
    if not isinstance(prompt, str):
        return prompt
    ids = await model.encode(prompt, special=special, param=param)
    if len(ids) > MANY_TOKENS:
        await asyncio.sleep(0)
    return ids
