"""Fields that several interfaces share, and the settings of sampling that they make."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from foreknown.engine import Beams, SamplingParams
from foreknown.engine.promises import LONGEST_MS
from foreknown.engine.sampling import MAX_STOPS, MAX_TOP_K
from foreknown.server.asking import Grammar
from foreknown.server.errors import Refusal
from foreknown.server.json_schemas import MAX_BYTES
from foreknown.server.served_model import ServedModel

TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]
JsonObject = dict[str, Any]

Ms = Annotated[float, Field(gt=0, le=LONGEST_MS, allow_inf_nan=False)]
"""Milliseconds after a request's arrival."""

BIASES = 4096
MAX_TOOLS, MAX_MESSAGES = 128, 4096


def contradiction(param: str, why: str) -> PydanticCustomError:
    """Fields that do not go together; `param` is the one to change."""
    return PydanticCustomError("contradiction", "{why}", {"param": param, "why": why})


class Form(BaseModel):
    """A request's body: of exact types, and without fields that nobody reads."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class Objectives(Form):
    """What is to be kept, in milliseconds after the request's arrival.

    Attributes:
        deadline_ms: until the last token.
        ttft_ms: until the first token.
        tpot_ms: from one token to the next, in the mean.
    """

    deadline_ms: Ms | None = None
    ttft_ms: Ms | None = None
    tpot_ms: Ms | None = None

    @property
    def objectives(self) -> dict[str, Any]:
        """These fields alone, and whether a forecast is wanted."""
        named = (*Objectives.model_fields, "forecast")
        return {name: getattr(self, name, None) for name in named}


class Foretold(Objectives):
    """A request that is held to what was told of it.

    Attributes:
        forecast: the answer says beforehand what it will take, and at its end what it took.
    """

    forecast: bool = False


class StreamOptions(Form):
    """What a stream says beside its text.

    Attributes:
        include_usage: a last chunk with the tokens that were counted.
        continuous_usage_stats: so does every chunk.
        include_obfuscation: padding against who reads sizes off the wire: there is none.
    """

    include_usage: bool = False
    continuous_usage_stats: bool = False
    include_obfuscation: bool = False


def _of_object(schema: JsonObject) -> JsonObject:
    """A schema that may be that of a function's parameters.

    Raises:
        ValueError: it is too large, or of something else than an object.
    """
    if schema.get("type", "object") != "object":
        raise ValueError('the parameters of a function are of "type": "object"')
    if len(json.dumps(schema)) > MAX_BYTES:
        raise ValueError(f"the schema is larger than {MAX_BYTES} bytes")
    return schema


Parameters = Annotated[JsonObject, AfterValidator(_of_object)]


class Function(Form):
    name: FunctionName
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None


class FunctionTool(Form):
    type: Literal["function"]
    function: Function


class JsonSchema(Form):
    name: Name
    description: str | None = None
    schema_: Annotated[JsonObject | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextFormat(Form):
    type: Literal["text"]


class JsonObjectFormat(Form):
    type: Literal["json_object"]


class JsonSchemaFormat(Form):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


class StructuredOutputs(Form):
    """More grammars than a response format has: exactly one of them."""

    json_: Annotated[JsonObject | None, Field(alias="json")] = None
    json_object: Literal[True] | None = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    grammar: Annotated[str, Field(min_length=1)] | None = None
    choice: Annotated[list[str], Field(min_length=1, max_length=1024)] | None = None

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of json, json_object, regex, grammar, choice")
        return self

    @property
    def chosen(self) -> Grammar:
        """The one grammar that was given."""
        if self.json_ is not None:
            return "json_schema", self.json_
        if self.regex is not None:
            return "regex", self.regex
        if self.grammar is not None:
            return "grammar", self.grammar
        if self.choice is not None:
            return "choice", self.choice
        return "json_object", None


_PASSED_ON = (
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
    "ignore_eos",
    "min_tokens",
)
_NEUTRAL = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


Stop = StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


def stops(given: str | list[str] | None) -> tuple[str, ...] | None:
    """Stop strings, as the engine takes them; None: as the checkpoint says."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


class Sampling(Form):
    """How tokens are chosen and when to stop; None: as the checkpoint says."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=MAX_TOP_K)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_STOPS)] | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=BIASES)] | None = None
    ignore_eos: bool = False
    min_tokens: Annotated[int, Field(ge=0)] = 0

    def params(
        self,
        model: ServedModel,
        *,
        max_tokens: int | None,
        logprobs: int | None,
        searches: bool = False,
    ) -> SamplingParams:
        """Settings for the engine.

        Args:
            searches: beam search goes by the model's own probabilities, so the checkpoint's
                defaults for drawing tokens are left aside.

        Raises:
            Refusal, RequestError: a value that makes no sense for this model.
        """
        given: dict[str, Any] = dict(_NEUTRAL) if searches else {}
        for name in _PASSED_ON:
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        if self.top_k is not None:
            given["top_k"] = max(self.top_k, 0)
        if self.stop is not None:
            given["stop"] = stops(self.stop)
        if self.stop_token_ids is not None:
            given["stop_token_ids"] = tuple(self.stop_token_ids)
        if self.logit_bias is not None:
            given["logit_bias"] = _biases(self.logit_bias)
        return model.params(max_tokens=max_tokens, logprobs=logprobs, **given)


class OpenAIRequest(Sampling, Foretold):
    """What chat and completions have in common."""

    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None
    beam_width: Annotated[int, Field(ge=2)] | None = None
    length_penalty: Annotated[float, Field(ge=-10, le=10)] | None = None

    @model_validator(mode="after")
    def _fit(self) -> OpenAIRequest:
        if self.stream_options is not None and not self.stream:
            raise contradiction("stream_options", "stream_options needs stream to be true")
        if self.length_penalty is not None and self.beam_width is None:
            raise contradiction("length_penalty", "length_penalty needs beam_width")
        return self

    @property
    def wanted(self) -> int:
        """Choices for each prompt."""
        return self.n or 1

    @property
    def beams(self) -> Beams | None:
        """The beam search that is asked for, if one is.

        Raises:
            Refusal: more choices are wanted than there are beams.
        """
        if self.beam_width is None:
            return None
        if self.wanted > self.beam_width:
            raise Refusal("n is larger than beam_width", param="n", code="invalid_value")
        penalty = 1.0 if self.length_penalty is None else self.length_penalty
        return Beams(self.beam_width, penalty, self.wanted)


def _biases(given: dict[str, float]) -> dict[int, float]:
    biases = {}
    for token, bias in given.items():
        if not (token.isascii() and token.isdigit()):
            param = f"logit_bias.{token}"
            raise Refusal(f"{param}: this is no token id", param=param, code="invalid_value")
        biases[int(token)] = bias
    return biases
