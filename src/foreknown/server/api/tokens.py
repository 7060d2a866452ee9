"""POST /tokenize and /detokenize"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, model_validator

from foreknown.server.api.documented import DOCUMENTED
from foreknown.server.api.fields import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Form,
    FunctionTool,
    Name,
    TokenId,
    contradiction,
)
from foreknown.server.api.messages_form import ChatMessage, plain_messages
from foreknown.server.api.prompts import MAX_PROMPT_TOKENS
from foreknown.server.conversation import Conversation, prompt_text
from foreknown.server.errors import Refusal
from foreknown.server.service import Service


class TokenizeRequest(Form):
    """A text or a conversation; the only model may be left out."""

    model: Name | None = None
    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)] | None = (
        None
    )
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True
    return_token_strs: bool = False

    @model_validator(mode="after")
    def _one(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise contradiction("prompt", "give either prompt or messages")
        return self


class Tokenized(Form):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(Form):
    """Token ids; the only model may be left out."""

    model: Name | None = None
    tokens: Annotated[list[TokenId], Field(max_length=MAX_PROMPT_TOKENS)]


class Detokenized(Form):
    prompt: str


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/tokenize", responses=DOCUMENTED)
    async def tokenize(body: TokenizeRequest) -> Tokenized:
        """The tokens of a text, or of a conversation as the model reads it."""
        model = service.model(body.model)
        if body.messages is not None:
            tools = [tool.model_dump(exclude_none=True) for tool in body.tools or ()]
            conversation = Conversation(
                plain_messages(body.messages), tools, not body.add_generation_prompt
            )
            text = await prompt_text(model, conversation)
            ids = await model.encode(text, special=False, param="messages")
        else:
            ids = await model.encode(body.prompt or "", special=body.add_special_tokens)
        texts = [model.token_text(token) for token in ids] if body.return_token_strs else None
        return Tokenized(count=len(ids), max_model_len=model.context, tokens=ids, token_strs=texts)

    @routes.post("/detokenize", responses=DOCUMENTED)
    async def detokenize(body: DetokenizeRequest) -> Detokenized:
        """The text of tokens."""
        model = service.model(body.model)
        if not model.checkpoint.has_tokenizer:
            raise Refusal("this model has no tokenizer", param="model")
        vocab_size = model.engine.program.vocab_size
        wrong = next((token for token in body.tokens if token >= vocab_size), None)
        if wrong is not None:
            raise Refusal(
                f"token {wrong} is not in the vocabulary (0 to {vocab_size - 1})", param="tokens"
            )
        text = model.checkpoint.tokenizer.decode(body.tokens, skip_special_tokens=False)
        return Detokenized(prompt=text)

    return routes
