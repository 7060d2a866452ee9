"""What clients are asked about here: problems never asked before, a tool, an object."""

from __future__ import annotations

import random
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tests.serving import Served

MODEL = "bundled"
WHO = "Who are you?"


def problem() -> str:
    """A fresh problem that the bundled model can work out in steps."""
    people, on, off = random.randint(10, 60), random.randint(2, 30), random.randint(2, 9)
    return (
        f"A bus carries {people} people. {on} get on and {off} get off. "
        "How many people are on the bus now?"
    )


def user(text: str) -> Any:
    """One message, of a type that every SDK's annotations take."""
    return {"role": "user", "content": text}


class Bus(BaseModel):
    """A bus; every value is bounded, so that an answer under its schema comes to an end."""

    model_config = ConfigDict(extra="forbid")

    colour: Literal["red", "green", "blue"]
    seats: Annotated[int, Field(ge=1, le=80)]
    full: bool
    stops: Annotated[list[Literal["north", "south"]], Field(max_length=3)]


class AddNumbers(BaseModel):
    """Add two numbers."""

    model_config = ConfigDict(extra="forbid")

    first: Annotated[int, Field(ge=0, le=999)]
    second: Annotated[int, Field(ge=0, le=999)]


ADD: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {
            "first": {"type": "integer", "minimum": 0, "maximum": 999},
            "second": {"type": "integer", "minimum": 0, "maximum": 999},
        },
        "required": ["first", "second"],
        "additionalProperties": False,
    },
}
PAINT: dict[str, Any] = {
    "name": "paint",
    "description": "Paint the bus.",
    "parameters": {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green", "blue"]}},
        "required": ["colour"],
        "additionalProperties": False,
    },
}


def check_call(name: str, arguments: dict[str, Any]) -> None:
    """A call is of a tool above, with arguments that its schema allows."""
    if name == "paint":
        assert set(arguments) == {"colour"}
        assert arguments["colour"] in {"red", "green", "blue"}
    else:
        assert name == "add"
        assert set(arguments) == {"first", "second"}
        assert all(type(v) is int and 0 <= v <= 999 for v in arguments.values())


def until_idle(served: Served, within_s: float = 5) -> None:
    """Wait until no sequence runs or waits and no block is held; that is to be soon."""
    deadline = time.monotonic() + within_s
    while True:
        engine = served.engine()
        if not (engine["running"] or engine["waiting"] or engine["blocks"]["held"]):
            return
        assert time.monotonic() < deadline, engine
        time.sleep(0.02)


def until_running(served: Served, within_s: float = 5) -> None:
    """Wait until the engine has something to do."""
    deadline = time.monotonic() + within_s
    while not served.engine()["running"]:
        assert time.monotonic() < deadline, "nothing began to run"
        time.sleep(0.005)
