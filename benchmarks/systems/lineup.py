"""Converts a checkpoint for every system that is asked for, and loads them side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from systems.contest import Contestant
from systems.conversions import Conversions
from systems.worker import Worker

OURS = "foreknown"
LLAMA_FORMATS = ("Q4_0", "Q8_0")
OPENVINO_GROUP = 64


@dataclass(frozen=True)
class Entry:
    """A system and its form of the checkpoint, ready to be loaded.

    Attributes:
        python: the interpreter that it runs in.
        module: its worker, a module of this folder.
        form: what the worker loads.
    """

    system: str
    weights: str
    python: Path
    module: str
    form: Path


def ours(conversions: Conversions, formats: Sequence[str]) -> list[Entry]:
    """An artifact of each format."""
    python = Path(sys.executable)
    return [Entry(OURS, name, python, "our_speed", conversions.ours(name)) for name in formats]


def llama(conversions: Conversions, python: Path) -> list[Entry]:
    """llama.cpp with the mixtures of formats that its users take."""
    return [
        Entry("llama.cpp", kind, python, "llama_speed", conversions.gguf(python, kind))
        for kind in LLAMA_FORMATS
    ]


def openvino(conversions: Conversions, python: Path) -> list[Entry]:
    """OpenVINO with symmetric 4-bit weights in groups."""
    exported = conversions.openvino_int4(python, OPENVINO_GROUP)
    return [Entry("openvino", "int4", python, "openvino_speed", exported)]


PEERS = {"llama.cpp": llama, "openvino": openvino}


def load(
    entries: Sequence[Entry], conversions: Conversions, n_threads: int, stack: ExitStack
) -> list[Contestant]:
    """Start a process for each entry; they end with the stack."""
    contestants = []
    for entry in entries:
        log = conversions.log(f"run-{entry.form.stem}")
        worker = Worker(entry.python, entry.module, [str(entry.form), str(n_threads)], log)
        contestants.append(Contestant(entry.system, entry.weights, stack.enter_context(worker)))
    return contestants
