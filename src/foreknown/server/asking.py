"""From a conversation and its wishes to what the engine is asked, and how its answer is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from foreknown.engine import Beams, Request, SamplingParams
from foreknown.engine.constraint import Constraint
from foreknown.errors import RequestError
from foreknown.server.answers import AnswerParser, calls_parser, text_parser
from foreknown.server.conversation import Conversation, Tools, prompt_text
from foreknown.server.errors import Refusal, refused
from foreknown.server.served_model import ServedModel

PROMPT_END = 200
"""Characters of a prompt that tell whether the answer begins inside something."""

Grammar = tuple[Literal["json_object", "json_schema", "regex", "grammar", "choice"], Any]
"""A kind of constraint and what it is made from."""


MustCall = str | Literal[True] | None
"""The name of a function that must be called, or True for any of them."""


@dataclass(frozen=True)
class Wishes:
    """What a caller wants of an answer, beside how its tokens are chosen.

    Attributes:
        grammar: what its text must obey.
        grammar_param: the field that asked for it.
        tools: functions that may be called, in OpenAI's form.
        must_call: the name of the one to be called, or True for any; None: none need be.
        parallel: whether several calls may be made at once; None: if the model was taught how.
        samples: how many answers.
        beams: beam search instead of samples.
        user: whose request it is, for fair turns and for who shares prefixes.
    """

    grammar: Grammar | None = None
    grammar_param: str = "response_format"
    tools: Tools = ()
    must_call: MustCall = None
    parallel: bool | None = None
    samples: int = 1
    beams: Beams | None = None
    user: str = ""


def forced_call(names: Sequence[str], name: str | None) -> MustCall:
    """The call that must be made: of the tool of this name, or of any of these.

    Raises:
        Refusal: there is no such tool.
    """
    if not names or (name is not None and name not in names):
        raise Refusal("tool_choice asks for a tool that is not there", param="tool_choice")
    return name or True


@dataclass(frozen=True)
class Asked:
    """A request for the engine, and a fresh parser for each of its samples."""

    request: Request
    new_parser: Callable[[], AnswerParser]


async def ask(
    model: ServedModel, conversation: Conversation, params: SamplingParams, wishes: Wishes
) -> Asked:
    """What the engine is asked for a conversation, with the tools that are wished for.

    Raises:
        Refusal: it cannot be asked so.
    """
    text = await prompt_text(model, replace(conversation, tools=wishes.tools))
    prompt = await model.encode(text, special=False, param="messages")
    constraint = await constrained(model, wishes)
    end = text[-PROMPT_END:]
    tools = list(wishes.tools) if wishes.tools else None

    def new_parser() -> AnswerParser:
        if wishes.must_call is not None:
            return calls_parser()
        if wishes.grammar is not None:
            return text_parser()
        return model.answer_format.parser(end, tools=tools, reasoning=True)

    return Asked(request(prompt, params, wishes, constraint), new_parser)


def request(
    prompt: Sequence[int],
    params: SamplingParams,
    wishes: Wishes,
    constraint: Callable[[], Constraint] | None = None,
    prompt_logprobs: int | None = None,
) -> Request:
    """A prompt with its wishes, as the engine takes it."""
    return Request(
        prompt,
        params,
        user=wishes.user,
        salt=wishes.user,
        samples=wishes.samples,
        beams=wishes.beams,
        new_constraint=constraint,
        prompt_logprobs=prompt_logprobs,
    )


async def constrained(model: ServedModel, wishes: Wishes) -> Callable[[], Constraint] | None:
    """What makes a fresh constraint for each sample; None if there is none.

    Raises:
        Refusal: the grammar is refused.
    """
    if wishes.grammar is None and wishes.must_call is None:
        return None
    if not model.checkpoint.has_tokenizer:
        raise Refusal("this model has no tokenizer, so no grammar", param=wishes.grammar_param)
    try:
        make = await asyncio.to_thread(_maker, model, wishes)
        first = await asyncio.to_thread(make)
    except RequestError as error:
        raise refused(error, wishes.grammar_param) from None
    unused = [first]
    return lambda: unused.pop() if unused else make()


def _maker(model: ServedModel, wishes: Wishes) -> Callable[[], Constraint]:
    compiler = model.constraints
    if wishes.must_call is not None:
        name = None if wishes.must_call is True else wishes.must_call
        parallel = wishes.parallel
        if parallel is None:
            parallel = name is None and model.answer_format.calls_tools
        return lambda: compiler.json_schema_of_calls(wishes.tools, name, parallel=parallel)
    assert wishes.grammar is not None
    kind, source = wishes.grammar
    if kind == "json_object":
        return compiler.json_object
    return lambda: getattr(compiler, kind)(source, wishes.grammar_param)
