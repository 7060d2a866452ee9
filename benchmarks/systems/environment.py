"""The peers' own Python environment: made on first use, never mixed with ours.

llama-cpp-python is built from its source on this machine, so that it uses every instruction there
is; a peer that is slower than its users know it would make the comparison worthless.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"
"""First and pinned: exactly this version is the processor build, others pull gigabytes."""
REQUIREMENTS = (
    "llama-cpp-python==0.3.36",
    "gguf==0.19.0",
    "openvino==2026.4.1",
    "optimum-intel==2.2.0",
    "matplotlib==3.11.2",
)
MODULES = ["llama_cpp", "gguf", "openvino", "optimum.intel", "matplotlib"]
NATIVE_BUILD = {"CMAKE_ARGS": "-DGGML_NATIVE=ON"}
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
}
"""The processor's flags, and what llama.cpp calls them when it was built to use them."""


class PeersMissing(Exception):
    """The peers could not be installed."""


def make_environment(environment: Path) -> Path:
    """The environment's interpreter; everything is installed first if it is not there yet.

    Raises:
        PeersMissing: no package index can be reached, or llama.cpp could not be built.
    """
    python = environment.absolute() / "bin" / "python"
    if not is_ready(python):
        print(f"installing the peers in {environment}: once, some minutes", file=sys.stderr)
        venv.create(environment, with_pip=True)
        for order in (
            ["install", TORCH],
            ["install", TORCH, *REQUIREMENTS, "--no-binary", "llama-cpp-python"],
            # optimum-intel asks for it, for pictures; it would have to fit torch's own build
            ["uninstall", "--yes", "torchvision"],
        ):
            command = [str(python), "-m", "pip", "--quiet", "--no-input", *order]
            surroundings = {**os.environ, **NATIVE_BUILD}
            if subprocess.run(command, env=surroundings, stdout=sys.stderr, check=False).returncode:
                raise PeersMissing(
                    f"pip {' '.join(order)} failed in {environment}; llama.cpp is built with a "
                    "C++ compiler and cmake; --peers none measures us alone"
                )
    return python


def is_ready(python: Path) -> bool:
    """Whether the peers are installed there."""
    if not python.exists():
        return False
    look = f"from importlib.util import find_spec; assert all(map(find_spec, {MODULES}))"
    return subprocess.run([python, "-c", look], capture_output=True, check=False).returncode == 0


def missing_instructions(system_info: str | None) -> list[str]:
    """What this processor has and llama.cpp, by its own account, was built without."""
    if system_info is None:
        return []
    flags = Path("/proc/cpuinfo").read_text().split()
    return [
        name
        for flag, name in INSTRUCTIONS.items()
        if flag in flags and f"{name} = 1" not in system_info
    ]
