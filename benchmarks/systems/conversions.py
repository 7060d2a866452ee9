"""What each system needs of a checkpoint: made once and kept; made again for another checkpoint.

WORK/NAME-1a2b3c4d/ours-int4/          an artifact
                   as-stored.gguf      for llama.cpp, losing nothing
                   Q4_0.gguf           ... quantised
                   openvino-int4/      for OpenVINO
                   make-*.log, run-*.log
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from systems.worker import BENCHMARKS, LAST_LINES, worker_environment

AS_STORED, AS_F32 = "as-stored", "f32"


class ConversionFailed(Exception):
    """A tool could not make its system's form of the checkpoint."""


@dataclass(frozen=True)
class Conversions:
    """The forms of one checkpoint, in a directory of its own under `work`."""

    checkpoint: Path
    work: Path

    @property
    def directory(self) -> Path:
        return self.work / f"{self.checkpoint.name}-{fingerprint(self.checkpoint)}"

    def ours(self, formats: str) -> Path:
        """An artifact; compiling finds out itself what is up to date.

        Args:
            formats: "WEIGHTS", "WEIGHTS@GROUP", and either with "/STATE".
        """
        made = self.directory / f"ours-{formats.replace('/', '-').replace('@', '-')}"
        command = [sys.executable, "-m", "foreknown", "compile", str(self.checkpoint)]
        kind, _, state = formats.partition("/")
        weights, _, group = kind.partition("@")
        options = ["--weights", weights]
        options += (["--group", group] if group else []) + (["--state", state] if state else [])
        self._run([*command, "-o", str(made), *options], made)
        return made

    def gguf(self, python: Path, kind: str = AS_STORED) -> Path:
        """A GGUF file: as stored, in f32, or quantised to "Q4_0", "Q8_0", ..."""
        made = self.directory / f"{kind}.gguf"
        if made.exists():
            return made
        command = [str(python), "-m", "systems.gguf_file"]
        partial = made.with_suffix(".partial")
        if kind in (AS_STORED, AS_F32):
            widen = ["--f32"] if kind == AS_F32 else []
            self._run([*command, "convert", str(self.checkpoint), str(partial), *widen], made)
        else:
            source = self.gguf(python)
            self._run([*command, "quantise", str(source), str(partial), kind], made)
        return partial.rename(made)

    def openvino_int4(self, python: Path, group: int) -> Path:
        """A directory of OpenVINO's intermediate representation: symmetric 4 bits everywhere."""
        made = self.directory / "openvino-int4"
        if made.exists():
            return made
        partial = made.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._run(
            [
                *(str(python.with_name("optimum-cli")), "export", "openvino"),
                *("--model", str(self.checkpoint), "--task", "text-generation-with-past"),
                *("--weight-format", "int4", "--group-size", str(group), "--sym"),
                *("--ratio", "1.0", "--disable-convert-tokenizer", str(partial)),
            ],
            made,
        )
        return partial.rename(made)

    def log(self, name: str) -> Path:
        """Where a process keeps what it prints."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return self.directory / f"{name}.log"

    def _run(self, command: Sequence[str], made: Path) -> None:
        log = self.log(f"make-{made.name}")
        print(f"making {made}", file=sys.stderr)
        with log.open("w") as file:
            done = subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=BENCHMARKS,
                env=worker_environment(),
                check=False,
            )
        if done.returncode:
            last = "\n".join(log.read_text().splitlines()[-LAST_LINES:])
            raise ConversionFailed(f"{made} could not be made; all of it is in {log}\n{last}")


def fingerprint(checkpoint: Path) -> str:
    """Eight digits of its config and of its weights' sizes and times."""
    digest = hashlib.sha256((checkpoint / "config.json").read_bytes())
    for path in sorted(checkpoint.glob("*.safetensors")):
        digest.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:8]
