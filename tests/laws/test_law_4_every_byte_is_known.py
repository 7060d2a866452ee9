"""Law 4: what the plan says a program takes is what its process takes, within 1 % + 32 MiB.

(That what does not fit is refused before it is loaded: tests/artifact/test_open_and_load.py.)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.graph.ir import Graph, Node, T, const, make
from tests.artifact.conftest import capture_by_hand, write_checkpoint
from tests.targets.op_cases import attend, weight

SEQUENCES, CONTEXT = 8, 512
MIB = 2**20

MEASURE = """
import json, sys
from pathlib import Path
import numpy as np
from foreknown.artifact.format import open_artifact
from foreknown.artifact.loading import load_program
from foreknown.graph.batch import Batch

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096

sequences, threads = int(sys.argv[2]), int(sys.argv[3])
artifact = open_artifact(Path(sys.argv[1]))
sizes = artifact.manifest.sizes
blocks = sizes.context // 16
tables = np.arange(sequences * blocks, dtype=np.int32).reshape(sequences, blocks)
tokens = np.random.default_rng(0).integers(0, sizes.vocab_size, sizes.context).astype(np.int32)
before = resident()
loaded = load_program(artifact, sequences=sequences, n_threads=threads)

def fill():
    for s in range(sequences):
        for start in range(0, sizes.context, sizes.max_tokens):
            n = min(sizes.max_tokens, sizes.context - start)
            positions = np.arange(start, start + n, dtype=np.int32)
            owner = np.full(n, s, np.int32)
            rows = np.arange(min(n, sizes.max_rows), dtype=np.int32)
            loaded.program.step(Batch(tokens[:n], positions, owner, tables, rows))

fill()
after = resident()
fill()
later = resident()
print(json.dumps({"grown": after - before, "later": later - before, "plan": loaded.memory.total,
                  "weights": loaded.memory.weights, "state": loaded.memory.state}))
"""


def model() -> Graph:
    """Much memory for little arithmetic: a table of 64 MiB, state of 16 KiB a token."""
    embed = weight("embed", 32768, 512)
    h: Node = make("take", embed, make("tokens"))
    for layer in range(4):
        split = make("reshape", h, shape=(T, 8, 64))
        seen = attend(split, make("mul", split, const(0.5 + layer)), split, scale=0.125)
        h = make("add", h, make("reshape", seen, shape=(T, 512)))
    chosen = make("select_rows", h, make("rows"))
    return Graph("memory", {"logits": make("linear", chosen, embed)})


@pytest.mark.parametrize("n_threads", [2])
def test_memory_is_what_was_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_threads: int
) -> None:
    graph = model()
    capture_by_hand(monkeypatch, graph, CONTEXT)
    checkpoint = write_checkpoint(tmp_path / "checkpoint", graph)
    options = Options(context=CONTEXT, max_tokens=256)
    artifact = compile_checkpoint(checkpoint, tmp_path / "artifact", options)
    command = [sys.executable, "-c", MEASURE, str(artifact.directory)]
    done = subprocess.run(
        [*command, str(SEQUENCES), str(n_threads)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["weights"] >= 64 * MIB
    assert found["state"] == SEQUENCES * CONTEXT * 16 * 1024
    allowed = 0.01 * found["plan"] + 32 * MIB
    for figure in ("grown", "later"):
        off = found[figure] - found["plan"]
        assert abs(off) <= allowed, f"{found}: off by {off / MIB:.1f} MiB"
    assert found["later"] - found["grown"] < 2 * MIB, "a step leaks"
