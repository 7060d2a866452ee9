"""Law 7: on an artifact, running imports neither torch nor transformers, and starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foreknown.machine import read_machine

TRAINING_STACK = {"torch", "transformers", "safetensors"}
DRAWING = {"rich"}
RUN = ["run", "{}", "--prompt", "Hi", "--max-tokens", "2", "--json"]

PROGRAM = """
import json, sys, time
start = time.perf_counter()
from foreknown.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, time.perf_counter() - start, sorted(sys.modules)]), file=sys.stderr)
"""


ONE_ANSWER = """
import os, re, signal, sys, threading, urllib.request
class Heard:  # what a server says of its address on standard error
    def write(self, text):
        sys.__stderr__.write(text)
        found = re.search("at (http:[^ ]+)", text)
        if found:
            threading.Thread(target=ask, args=(found[1].strip(),)).start()
    def isatty(self):
        return False
    def flush(self):
        sys.__stderr__.flush()
def ask(url):
    body = b'{"model": "m", "prompt": "Hi", "max_tokens": 2}'
    kind = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url + "/v1/completions", body, kind)).read()
    os.kill(os.getpid(), signal.SIGTERM)
sys.stderr = Heard()
"""


ONE_ROUND = """
import foreknown.report.calibration as calibration
calibration.FEWEST_ROUNDS, calibration.MEASURE_SECONDS = 1, 0.0
"""


def in_a_fresh_process(
    words: list[str], artifact: Path, typed: str = "", before: str = "", **environment: str
) -> tuple[set[str], float]:
    """Top-level modules that a command had imported when it was done, and its seconds.

    Args:
        before: a program that runs first.
    """
    given = [word.format(artifact) for word in words]
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM, *given],
        input=typed,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    status, seconds, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    return {name.split(".")[0] for name in modules}, seconds


@pytest.mark.parametrize(
    "words",
    [
        RUN,
        ["chat", "{}", "--max-tokens", "2"],
        ["inspect", "{}"],
        ["inspect", "{}", "phases", "--json"],
        ["inspect", "{}", "memory"],
        ["inspect", "{}", "c"],
        ["bench", "{}", "--quick"],
        ["forecast", "{}", "--prompt", "8", "--output", "4"],
        ["--help"],
    ],
    ids=lambda words: " ".join(words),
)
def test_no_training_stack(words: list[str], tiny_artifact: Path) -> None:
    modules, _ = in_a_fresh_process(words, tiny_artifact, "Hi\n")
    assert not modules & TRAINING_STACK


def test_calibrating_needs_none(tiny_artifact: Path, own_cache: Path) -> None:
    words = ["calibrate", "--threads", "1"]
    cache = str(own_cache)
    modules, _ = in_a_fresh_process(words, tiny_artifact, before=ONE_ROUND, FOREKNOWN_CACHE=cache)
    assert not modules & TRAINING_STACK
    found = read_machine(own_cache / "machines" / "host-1.toml")
    assert (found.threads, found.barrier_us) == (1, 0)
    assert found.f32_gflop_s > 1
    assert found.kernels is not None


def test_serving_needs_none(tiny_artifact: Path) -> None:
    pytest.importorskip("fastapi", reason="needs foreknown[serve]")
    words = ["serve", "m={}", "--port", "0", "--sequences", "1", "--quiet"]
    modules, _ = in_a_fresh_process(words, tiny_artifact, before=ONE_ANSWER)
    assert "fastapi" in modules
    assert not modules & TRAINING_STACK


@pytest.mark.parametrize("words", [RUN, ["chat", "{}", "--max-tokens", "2"]], ids=["run", "chat"])
def test_nothing_that_only_draws(words: list[str], tiny_artifact: Path) -> None:
    modules, _ = in_a_fresh_process(words, tiny_artifact, "Hi\n")
    assert not modules & DRAWING


def test_start_up_is_measured(tiny_artifact: Path) -> None:
    """Told (`pytest -s`) and held to a wide bound only: a busy machine is not a broken law."""
    seconds = min(in_a_fresh_process(RUN, tiny_artifact)[1] for _ in range(3))
    print(f"from the first import to two tokens: {seconds:.3f} s")
    assert seconds < 10
