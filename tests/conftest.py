"""What many tests share: the data beside the checkout, a tiny checkpoint, and artifacts that are
compiled once, however many workers there are.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.serving import Served, serving

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "src" / "foreknown" / "bundled"


def pytest_collection() -> None:
    """Imports make much and drop little: not looked through for garbage while they do."""
    gc.disable()


def pytest_collection_finish() -> None:
    """A million objects stay to the end: no test waits while they are looked through again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data, read-only; the test is skipped where it is absent."""
    data = ROOT.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip(f"there is no test data at {data}")
    return data


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def made_once(shared_folder: Path) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a directory by name the first time any worker asks; treat it as read-only."""

    def make(name: str, write: Callable[[Path], None]) -> Path:
        made = shared_folder / name
        with _locked(shared_folder / f"{name}.lock"):
            if not made.exists():
                partial = shared_folder / f"{name}.making"
                shutil.rmtree(partial, ignore_errors=True)
                write(partial)
                partial.rename(made)
        return made

    return make


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(source: Path, destination: Path) -> None:
    from foreknown.artifact.build import compile_checkpoint

    compile_checkpoint(source, destination)


@pytest.fixture(scope="session")
def tiny_checkpoint(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """One layer, 32 wide, random, with the bundled model's tokenizer and chat template."""

    def write(directory: Path) -> None:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=1728,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=2,
        )
        LlamaForCausalLM(config).save_pretrained(directory)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copyfile(BUNDLED / name, directory / name)

    return made_once("tiny-checkpoint", write)


@pytest.fixture(scope="session")
def tiny_artifact(
    made_once: Callable[[str, Callable[[Path], None]], Path], tiny_checkpoint: Path
) -> Path:
    """The tiny checkpoint, compiled for this machine."""
    return made_once("tiny-artifact", lambda directory: _compile(tiny_checkpoint, directory))


@pytest.fixture(scope="session")
def bundled_artifact(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The bundled model, compiled for this machine."""
    return made_once("bundled-artifact", lambda directory: _compile(BUNDLED, directory))


@pytest.fixture(scope="session")
def stories_artifact(
    made_once: Callable[[str, Callable[[Path], None]], Path], shared_data: Path
) -> Path:
    """stories260K, compiled for this machine."""
    source = shared_data / "models" / "stories260K"
    return made_once("stories-artifact", lambda directory: _compile(source, directory))


@pytest.fixture(scope="session")
def served(bundled_artifact: Path) -> Iterator[Served]:
    """`foreknown serve` with the bundled model, under the name "bundled"."""
    pytest.importorskip("fastapi", reason="needs foreknown[serve]")
    with serving(f"bundled={bundled_artifact}") as server:
        yield server


@pytest.fixture
def serve(bundled_artifact: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers of the bundled model with more arguments; they end with the test."""
    pytest.importorskip("fastapi", reason="needs foreknown[serve]")
    with ExitStack() as stack:
        yield lambda *more, **environment: stack.enter_context(
            serving(f"bundled={bundled_artifact}", *more, **environment)
        )


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this test alone, but for the compiler's own objects."""
    from foreknown.targets.cpu.toolchain import cache_directory

    kept, cache = cache_directory(), tmp_path / "cache"
    cache.mkdir()
    for name in ("objects", "zig"):
        (kept / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(kept / name, target_is_directory=True)
    monkeypatch.setenv("FOREKNOWN_CACHE", str(cache))
    return cache
