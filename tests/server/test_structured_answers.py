"""Structured answers of a compiled model: whole, valid, and the same alone or in company."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from foreknown.artifact import load_program, open_artifact
from foreknown.checkpoint import open_checkpoint
from foreknown.checkpoint.tokenizer import Tokenizer
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.constraint import Constraint
from foreknown.server.constraints import ConstraintCompiler
from foreknown.targets.cpu.program import Program

N_SEQUENCES = 4
END = 2
SCHEMAS: dict[str, dict[str, Any]] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    },
    "choice": {"enum": ["yes", "no", None]},
    "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "number", "minimum": -1, "maximum": 1, "multipleOf": 0.5},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
                },
                "required": ["value", "next"],
                "additionalProperties": False,
            }
        },
    },
}
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.0, "seed": 1},
    {"temperature": 3.0, "seed": 2, "top_p": 0.99},
    {"temperature": 100.0, "seed": 3, "repetition_penalty": 1.3, "logit_bias": {END: -100.0}},
    {"temperature": 1.5, "seed": 4, "top_k": 40, "min_p": 0.01, "logprobs": 3},
]


@pytest.fixture(scope="module")
def tokenizer(bundled_artifact: Path) -> Tokenizer:
    return open_checkpoint(open_artifact(bundled_artifact).checkpoint_directory).tokenizer


@pytest.fixture(scope="module")
def program(bundled_artifact: Path) -> Iterator[Program]:
    loaded = load_program(open_artifact(bundled_artifact), sequences=N_SEQUENCES, n_threads=1)
    with loaded.program as program:
        yield program


@pytest.fixture(scope="module")
def compiler(program: Program, tokenizer: Tokenizer) -> ConstraintCompiler:
    return ConstraintCompiler(tokenizer, program.vocab_size, {END})


def answers(
    program: Program, tokenizer: Tokenizer, requests: list[Request]
) -> list[tuple[str, str | None]]:
    """Text and reason for its end of each request, all of them at once."""
    engine = Engine(program, end_ids={END}, new_detokenizer=tokenizer.detokenizer)
    names = [engine.add(request) for request in requests]
    texts, reasons = dict.fromkeys(names, ""), dict[str, str | None]()
    for _ in range(10_000):
        if not engine.has_work:
            break
        for output in engine.step():
            assert output.error is None
            texts[output.request_id] += output.text
            if output.finish_reason is not None:
                reasons[output.request_id] = output.finish_reason
    engine.check_integrity()
    return [(texts[name], reasons[name]) for name in names]


def request(
    tokenizer: Tokenizer, new_constraint: Callable[[], Constraint], **settings: Any
) -> Request:
    prompt = "<|im_start|>user\nTell me about Tom in JSON.<|im_end|>\n<|im_start|>assistant\n"
    return Request(
        tokenizer.encode(prompt),
        SamplingParams(max_tokens=250, **settings),
        new_constraint=new_constraint,
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_finished_answers_are_valid(
    program: Program, tokenizer: Tokenizer, compiler: ConstraintCompiler, name: str
) -> None:
    schema = SCHEMAS[name]
    requests = [
        request(tokenizer, lambda: compiler.json_schema(schema), **settings)
        for settings in SETTINGS
    ]
    together = answers(program, tokenizer, requests)
    for text, reason in together:
        if reason == "stop":
            Draft202012Validator(schema).validate(json.loads(text))
    assert sum(reason == "stop" for _, reason in together) >= 3, together
    alone = [answers(program, tokenizer, [one])[0] for one in requests]
    assert alone == together


def test_constrained_and_free_answers_in_one_batch(
    program: Program, tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    bound = request(tokenizer, lambda: compiler.choice(["green", "blue"]), temperature=0.0)
    free = Request(bound.prompt, SamplingParams(max_tokens=20, temperature=0.0))
    (chosen, reason), free_answer = answers(program, tokenizer, [bound, free])
    assert chosen in ("green", "blue")
    assert reason == "stop"
    assert free_answer == answers(program, tokenizer, [free])[0]


def test_each_sample_has_a_constraint_of_its_own(
    program: Program, tokenizer: Tokenizer, compiler: ConstraintCompiler
) -> None:
    engine = Engine(program, end_ids={END}, new_detokenizer=tokenizer.detokenizer)
    asked = Request(
        tokenizer.encode("Say a number."),
        SamplingParams(temperature=5.0, seed=1, max_tokens=30),
        samples=3,
        new_constraint=lambda: compiler.regex("[0-9]{4}"),
    )
    texts = dict.fromkeys(engine.add_samples(asked), "")
    while engine.has_work:
        for output in engine.step():
            texts[output.request_id] += output.text
    assert all(text.isdecimal() and len(text) == 4 for text in texts.values())
    assert len(set(texts.values())) > 1
