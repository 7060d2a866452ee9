"""Law 1: no model is named.

No `model_type` of a causal language model of the installed transformers, no class of such a model
and nothing that begins with its family's name stands under `src/`. Support for a model is support
for the operations in its graph. The bundled model's own files are data, not source.
"""

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
SUFFIXES = {".py", ".c", ".h", ".toml"}

ENGLISH = {"beam", "ctrl", "git", "opt", "phi"}
"""Model types that are words we need: beam search, a key, git, an option, a golden ratio."""

OTHERS_NAMES = ("llama.cpp", "whisper.cpp")
"""Names of other people's programs, which a comment or a table may compare with."""


def model_names() -> set[str]:
    auto = pytest.importorskip("transformers.models.auto.modeling_auto")
    return set(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - ENGLISH


def family_names() -> set[str]:
    """ "Gpt" of GptForCausalLM: classes of a family begin with it."""
    auto = pytest.importorskip("transformers.models.auto.modeling_auto")
    classes: set[str] = set()
    for found in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        classes.update([found] if isinstance(found, str) else found)
    heads = "For|LMHead|With|Decoder|Model"
    prefixes = {re.split(f"(?<=[a-z0-9A-Z])(?:{heads})", name)[0] for name in classes}
    return {p for p in prefixes if len(p) > 2 and p.lower() not in ENGLISH}


def offences(text: str, names: set[str], families: set[str]) -> list[str]:
    for program in OTHERS_NAMES:
        text = text.replace(program, "")
    words = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    named = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE)
    prefixes = "|".join(sorted(map(re.escape, families), key=len, reverse=True))
    classed = re.compile(rf"\b(?:{prefixes})(?=[A-Z]\w*)\w+")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        matches = [m.group() for m in (*named.finditer(line), *classed.finditer(line))]
        found += [f"line {number}: {match}" for match in matches]
    return found


def sources() -> list[Path]:
    files = [p for p in SOURCE.rglob("*") if p.suffix in SUFFIXES and p.is_file()]
    return [p for p in files if "bundled" not in p.relative_to(SOURCE).parts]


def test_no_model_is_named() -> None:
    names, families = model_names(), family_names()
    files = sources()
    assert files
    found = [
        f"{path.relative_to(SOURCE)} {offence}"
        for path in files
        for offence in offences(path.read_text("utf-8"), names, families)
    ]
    assert not found, "models are named:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        'if config.model_type == "llama":',
        "def is_qwen3_moe(config):",
        "from transformers import MistralForCausalLM",
        "class GemmaRotaryEmbedding:",
        "# Falcon does this differently",
        "gpt2 = 3",
    ],
)
def test_the_test_sees_names(line: str) -> None:
    assert offences(line, model_names(), family_names())


@pytest.mark.parametrize(
    "line",
    [
        "beam = 4  # beams of a search, as llama.cpp has them",
        "options = optimise(graph)",
        "phi = (1 + 5**0.5) / 2",
        "remote = git_commit()",
    ],
)
def test_the_test_sees_no_names_in_english(line: str) -> None:
    assert not offences(line, model_names(), family_names())
