"""Chat templates: a conversation becomes the text of a prompt, as transformers would write it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from foreknown.checkpoint.files import read_json_object_if_present, read_text
from foreknown.checkpoint.special_tokens import TOKENIZER_CONFIG
from foreknown.errors import CheckpointError, RequestError

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_FOLDER = "chat_templates"
TEMPLATE_LIMIT_BYTES = 1024 * 1024
DEFAULT = "default"
WITH_TOOLS = "tool_use"

_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")


@dataclass(frozen=True)
class ChatTemplate:
    """The templates of a checkpoint by name, and the special tokens they may write.

    `origins` says which file each came from.
    """

    sources: Mapping[str, str]
    origins: Mapping[str, Path]
    special_tokens: Mapping[str, str]

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        name: str | None = None,
        now: datetime | None = None,
        **variables: Any,
    ) -> str:
        """The prompt for a conversation. Encode it without adding special tokens again.

        Args:
            messages: {"role", "content", …} each; entries that are None are left out.
            tools: JSON schemas of functions that the model may call.
            add_generation_prompt: end with what opens the assistant's answer.
            name: one of several templates; else "tool_use" for tools where there is one, else
                "default".
            now: what `strftime_now` tells; else the local time.
            variables: passed on to the template, over the special tokens.

        Raises:
            CheckpointError: the template itself is at fault: it does not parse, reaches out of
                the sandbox, or runs or grows without end.
            RequestError: the template refuses this conversation, or cannot render it.
        """
        from foreknown.checkpoint.sandbox import OverBudget, check_length, metered

        if not messages:
            raise RequestError("the conversation is empty", remedy="give at least one message")
        chosen = self._choose(name, tools)
        template = _compile(self.sources[chosen], self.origins[chosen])
        given = {
            **self.special_tokens,
            **_plain(variables),
            "messages": [_message(message, index) for index, message in enumerate(messages)],
            "tools": _plain(tools),
            "documents": _plain(documents),
            "add_generation_prompt": add_generation_prompt,
        }
        pieces: list[str] = []
        length_chars = 0
        try:
            with metered(now or datetime.now()):
                for piece in template.generate(given):
                    length_chars += len(piece)
                    check_length(length_chars)
                    pieces.append(piece)
        except OverBudget as error:
            raise CheckpointError(
                f"the chat template does not come to an end: it took {error}",
                where=_place(self.origins[chosen], error),
                remedy="correct the template, or send a plain prompt",
            ) from None
        except Exception as error:
            raise _explained(error, self.origins[chosen]) from None
        return "".join(pieces)

    def _choose(self, name: str | None, tools: object) -> str:
        if name is None:
            name = WITH_TOOLS if tools is not None and WITH_TOOLS in self.sources else DEFAULT
        if name not in self.sources:
            raise RequestError(
                f"there is no chat template named {name!r}",
                where=str(next(iter(self.origins.values()))),
                remedy=f"name one of {', '.join(sorted(self.sources))}",
            )
        return name


def read_chat_template(
    directory: Path, special_tokens: Mapping[str, str] | None = None
) -> ChatTemplate | None:
    """The chat templates in a directory, None if there are none.

    Files of their own take the place of what tokenizer_config.json holds, as in transformers.

    Raises:
        CheckpointError: a file is damaged, or tokenizer_config.json holds something else.
    """
    files = {DEFAULT: directory / TEMPLATE_FILE} if (directory / TEMPLATE_FILE).exists() else {}
    files |= {file.stem: file for file in sorted((directory / TEMPLATE_FOLDER).glob("*.jinja"))}
    sources = {name: read_text(file, TEMPLATE_LIMIT_BYTES) for name, file in files.items()}
    if not sources:
        config = directory / TOKENIZER_CONFIG
        sources = _from_config(read_json_object_if_present(config).get("chat_template"), config)
        files = dict.fromkeys(sources, config)
    return ChatTemplate(sources, files, dict(special_tokens or {})) if sources else None


def _from_config(value: Any, path: Path) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, list):
        value = {
            entry["name"]: entry["template"]
            for entry in value
            if isinstance(entry, dict) and {"name", "template"} <= entry.keys()
        } or None
    if isinstance(value, dict) and all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        return value
    raise CheckpointError(
        "chat_template is neither a text nor a list of named texts",
        where=str(path),
        remedy=f"correct {path.name}, or put the template into {TEMPLATE_FILE}",
    )


@functools.lru_cache(maxsize=32)
def _compile(source: str, origin: Path) -> Template:
    from jinja2.exceptions import TemplateSyntaxError

    from foreknown.checkpoint.sandbox import ChatEnvironment

    try:
        return ChatEnvironment().from_string(source)
    except TemplateSyntaxError as error:
        raise CheckpointError(
            f"the chat template does not parse: {error.message}",
            where=f"{origin}, template line {error.lineno}",
            remedy="correct the template, or send a plain prompt",
        ) from None
    except Exception as error:
        raise CheckpointError(
            f"the chat template does not compile: {error}",
            where=str(origin),
            remedy="correct the template, or send a plain prompt",
        ) from None


def _message(message: Mapping[str, Any], index: int) -> dict[Any, Any]:
    """A message of plain values, its reasoning under every name that templates read it by."""
    if not isinstance(message, Mapping):
        raise RequestError(
            f"message {index} is a {type(message).__name__}, not an object",
            remedy='give each message as {"role": …, "content": …}',
        )
    plain: dict[Any, Any] = _plain({k: v for k, v in message.items() if v is not None})
    reasoning = next((plain[key] for key in _REASONING_KEYS if key in plain), None)
    if reasoning is not None:
        plain = {"thinking": reasoning, **plain, "reasoning_content": reasoning}
    return plain


def _plain(value: Any) -> Any:
    """The same in plain JSON types: methods of other objects are none of a template's business."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


def _explained(error: Exception, origin: Path) -> CheckpointError | RequestError:
    from jinja2.exceptions import SecurityError, TemplateError

    where = _place(origin, error)
    if isinstance(error, (SecurityError, RecursionError)):
        why = "calls itself without end" if isinstance(error, RecursionError) else str(error)
        return CheckpointError(
            f"the chat template may not do this: {why}",
            where=where,
            remedy="correct the template, or send a plain prompt",
        )
    if type(error) is TemplateError:
        return RequestError(
            f"the chat template refuses this conversation: {error}",
            where=where,
            remedy="change the conversation as the message asks",
        )
    return RequestError(
        f"the chat template cannot render this conversation: {error}",
        where=where,
        remedy="compare the messages with what the template reads on that line",
    )


def _place(origin: Path, error: BaseException) -> str:
    """The file and the last line of the template on the way to the error."""
    line = 0
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            line = frame.tb_lineno
        frame = frame.tb_next
    return f"{origin}, template line {line}" if line else str(origin)
