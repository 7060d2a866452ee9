"""llama.cpp's own server: found, or built from the source that the peers' package brings.

llama-cpp-python's own server answers one request at a time; llama-server, whose source its sdist
carries, has parallel slots and batches them. It is built for this processor, as the library is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from systems.environment import NATIVE_BUILD, REQUIREMENTS, PeersMissing

NAME = "llama-server"
SOURCE = REQUIREMENTS[0]
PACKAGE = SOURCE.partition("==")[0]
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    # Its page would be fetched from the network; certificates are of no use on loopback.
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
)


def find_llama_server(environment: Path, python: Path, given: Path | None = None) -> Path:
    """The program; built once, under the peers' environment, unless it is given.

    Raises:
        PeersMissing: it is not where it was said to be, or could not be built.
    """
    if given is not None:
        if not os.access(given, os.X_OK):
            raise PeersMissing(f"{given} is no program; leave --llama-server out and it is built")
        return given.absolute()
    built = environment.absolute() / NAME / NAME
    if not built.exists():
        print(f"building {NAME} from {SOURCE}: once, some twenty minutes", file=sys.stderr)
        _build(python, built)
    return built


def system_info(program: Path) -> str | None:
    """The instructions that it was built to use; it tells them before it looks for a model."""
    command: list[str | Path] = [program, "--verbosity", "5", "--model", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    told = (done.stdout + done.stderr).splitlines()
    return next((line for line in told if "system_info" in line), None)


def _build(python: Path, built: Path) -> None:
    built.parent.mkdir(parents=True, exist_ok=True)
    log = built.parent / "build.log"
    with tempfile.TemporaryDirectory(dir=built.parent) as folder, log.open("w") as output:
        work = Path(folder)

        def run(*command: str | Path) -> None:
            if subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode:
                raise PeersMissing(
                    f"{NAME} could not be built: {command[0]} failed, all of it is in {log}; it "
                    "takes a package index, a C++ compiler and cmake; --llama-server names one "
                    "that is there, --peer none measures us alone"
                )

        run(
            python, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE, "-d", work, SOURCE
        )
        with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
            archive.extractall(work, filter="data")
        source = next(work.glob("*/vendor/llama.cpp"))
        made = work / "build"
        native = NATIVE_BUILD["CMAKE_ARGS"]
        run("cmake", "-S", source, "-B", made, native, *OPTIONS)
        run("cmake", "--build", made, "--target", NAME, "--parallel", str(os.cpu_count()))
        shutil.copy2(made / "bin" / NAME, built)
