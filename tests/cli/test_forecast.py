"""foreknown forecast: cases, grids, workloads, questions, and what makes no sense."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran
from tests.report.machines import DOCUMENTED

Foreknown = Callable[..., Ran]
Refused = Callable[..., str]
SEVENTY_BILLION = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "bfloat16",
}
N_WEIGHTS = 70_553_706_496
WITH_PEAK = """
import sys
from pathlib import Path
from foreknown.cli import main
status = main(sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(status)
"""


def told(foreknown: Foreknown, *words: object) -> Any:
    ran = foreknown("forecast", *words, "--json")
    assert (ran.status, ran.err) == (0, "")
    return json.loads(ran.out)


def test_one_case(foreknown: Foreknown, tiny_artifact: Path) -> None:
    record = told(foreknown, tiny_artifact, "--prompt", 20, "--output", 10)
    assert set(record) >= DOCUMENTED
    assert set(record["memory_bytes"]) == {"weights", "state", "scratch", "total"}
    assert set(record["interval"]) == {"low_ms", "high_ms"}
    numbers = [record[name] for name in ("ttft_ms", "tpot_ms", "total_ms", "tok_s", "joules")]
    assert all(math.isfinite(number) and number > 0 for number in numbers)
    ran = foreknown("forecast", tiny_artifact, "--prompt", 20, "--output", 10)
    assert ran.status == 0
    for said in ("20 tokens in, 10 out", "first token", "bound by", "weights", "estimate"):
        assert said in ran.out


def test_the_same_again_is_the_same(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = (tiny_artifact, "--prompt", 30, "--output", 20, "--batch", 3)
    assert told(foreknown, *words) == told(foreknown, *words)


def test_a_grid_is_a_list(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = (tiny_artifact, "--prompt", "8,16,32", "--output", "4,8", "--batch", "1, 2")
    records = told(foreknown, *words)
    cases = [
        tuple(r["case"][k] for k in ("prompt_tokens", "output_tokens", "batch")) for r in records
    ]
    assert sorted(cases) == sorted((p, o, b) for p in (8, 16, 32) for o in (4, 8) for b in (1, 2))
    one = told(foreknown, tiny_artifact, "--prompt", 16, "--output", 8, "--batch", 2)
    assert one == records[cases.index((16, 8, 2))]
    ran = foreknown("forecast", *words)
    assert len([line for line in ran.out.splitlines() if line.startswith(" as stored")]) == 12


def test_formats_of_a_configuration_alone(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "alone.json"
    file.write_text((tiny_checkpoint / "config.json").read_text())
    words = (file, "--prompt", 16, "--output", 8, "--weights", "f32,int8,int4", "--context", 64)
    records = told(foreknown, *words)
    assert [r["case"]["weights"] for r in records] == ["f32", "int8", "int4"]
    sizes = [r["memory_bytes"]["weights"] for r in records]
    assert sizes == sorted(sizes, reverse=True)
    assert {r["case"]["context"] for r in records} == {64}
    assert all("configuration alone" in r["provenance"]["model"] for r in records)


def test_seventy_billion_weights_take_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(SEVENTY_BILLION))
    words = ("forecast", file, "--prompt", "1000", "--output", "100", "--weights", "int4,bf16")
    command = [sys.executable, "-c", WITH_PEAK, *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = json.loads(done.stdout)
    assert many["memory_bytes"]["weights"] == pytest.approx(2 * N_WEIGHTS, rel=1e-3)
    assert few["memory_bytes"]["weights"] == pytest.approx(4.5 / 8 * N_WEIGHTS, rel=1e-2)
    assert int(done.stderr.splitlines()[-1]) * 1024 < 1.5 * 2**30


def test_an_objective_is_judged(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = (tiny_artifact, "--prompt", 16, "--output", 8)
    assert "met" not in told(foreknown, *words)
    kept = told(foreknown, *words, "--total-ms", 1e6)
    assert (kept["met"], kept["surely_met"]) == (True, True)
    assert told(foreknown, *words, "--tpot-ms", 1e-6)["met"] is False
    assert "times too long" in foreknown("forecast", *words, "--tpot-ms", 1e-6).out


def test_workloads(foreknown: Foreknown, tiny_artifact: Path) -> None:
    records = told(foreknown, tiny_artifact, "--workload", "all")
    assert [r["workload"] for r in records] == [
        "summarise",
        "chat",
        "rag",
        "code",
        "translate",
        "voice",
    ]
    ran = foreknown("forecast", tiny_artifact, "--workload", "voice")
    assert ran.status == 0
    assert "needs a context of" in ran.out
    assert "tokens a word" in ran.out


def test_questions(foreknown: Foreknown, tiny_artifact: Path, tiny_checkpoint: Path) -> None:
    batch = told(
        foreknown,
        tiny_artifact,
        "--largest-batch",
        "--tpot-ms",
        1e5,
        "--prompt",
        50,
        "--output",
        20,
    )
    assert batch["answer"] == 64
    assert batch["forecast"]["case"] == {
        **batch["forecast"]["case"],
        "batch": 64,
        "prompt_tokens": 50,
    }
    context = told(foreknown, tiny_artifact, "--longest-context", "--output", 10)
    assert context["answer"] == 128
    words = (
        tiny_checkpoint,
        "--cheapest-weights",
        "--total-ms",
        1e5,
        "--prompt",
        20,
        "--output",
        9,
    )
    weights = told(foreknown, *words)
    assert weights["most_exact"] == "f32"
    assert {one["weights"] for one in weights["tried"]} == {"f32", "bf16", "int8", "int4"}
    ran = foreknown("forecast", *words)
    assert "most exact: f32" in ran.out


def longer(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny model's configuration, with room for every workload."""
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    file = tmp_path / "longer.json"
    file.write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    return file


def test_a_question_of_a_workload(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = (longer(tiny_checkpoint, tmp_path), "--workload", "chat")
    found = told(foreknown, *words, "--largest-batch", "--tpot-ms", 1e5)
    case = found["forecast"]["case"]
    assert (case["prompt_tokens"], case["output_tokens"]) == (400, 200)
    assert found["objective"] == {"ttft_ms": None, "tpot_ms": 1e5, "total_ms": None}
    own = told(foreknown, *words, "--largest-batch")
    assert own["objective"] == {"ttft_ms": 1000, "tpot_ms": 95, "total_ms": None}
    context = told(foreknown, *words, "--longest-context", "--batch", 2)
    assert context["forecast"]["case"]["output_tokens"] == 200
    assert context["forecast"]["case"]["batch"] == 2


def test_a_workload_with_an_objective_of_one_s_own(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = (longer(tiny_checkpoint, tmp_path), "--workload", "all", "--total-ms")
    for total_ms, met in ((1e-3, False), (8e7, True)):
        for record in told(foreknown, *words, total_ms):
            assert record["objective"] == {"ttft_ms": None, "tpot_ms": None, "total_ms": total_ms}
            assert record["met"] is met


def test_a_question_fits_what_is_usual_into_the_model(
    foreknown: Foreknown, tiny_artifact: Path
) -> None:
    words = (tiny_artifact, "--largest-batch", "--tpot-ms", 1e5)
    for more, lengths in (
        ((), (64, 64)),
        (("--output", 20), (108, 20)),
        (("--prompt", 100), (100, 28)),
    ):
        case = told(foreknown, *words, *more)["forecast"]["case"]
        assert (case["prompt_tokens"], case["output_tokens"]) == lengths


def test_what_does_not_fit_is_told_with_a_word(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = (tiny_artifact, "--prompt", "10", "--output", "5")
    record = told(foreknown, *words)
    assert record["fits"] is True
    assert record["room_bytes"] > record["memory_bytes"]["total"]
    small = told(foreknown, *words, "--memory-gib", 1e-5)
    assert (small["fits"], small["room_bytes"]) == (False, int(1e-5 * 2**30))
    assert small["total_ms"] == record["total_ms"]
    said = foreknown("forecast", *words, "--memory-gib", 1e-5).out
    assert "does not fit: there are 10.5 KiB" in said
    assert "does not fit" not in foreknown("forecast", *words).out


def test_workloads_that_do_not_fit_say_so(
    foreknown: Foreknown, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = (longer(tiny_checkpoint, tmp_path), "--workload", "all", "--memory-gib", 1e-5)
    assert {record["fits"] for record in told(foreknown, *words)} == {False}
    assert "too much memory: 6 of 6 need more than 10.5 KiB" in foreknown("forecast", *words).out


def test_an_artifact_for_another_machine_has_no_time_here(
    foreknown: Foreknown, refused: Refused, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    other = "x86-64-v3" if platform.machine() == "aarch64" else "aarch64"
    made = tmp_path / "made"
    assert foreknown("compile", tiny_checkpoint, "-o", made, "--target", other).status == 0
    said = refused("forecast", made, "--prompt", 5, "--output", 5)
    assert f"lacks instructions of {other}" in said
    ran = foreknown("inspect", made)
    assert ran.status == 0
    assert f"not known: this machine lacks instructions of {other}" in ran.out
    phases = json.loads(foreknown("inspect", made, "phases", "--json").out)
    assert phases["forecast_us"] is None


def test_a_question_without_an_answer(foreknown: Foreknown, tiny_artifact: Path) -> None:
    words = (tiny_artifact, "--largest-batch", "--ttft-ms", 1e-6, "--output", 10, "--prompt", 10)
    ran = foreknown("forecast", *words, "--json")
    assert ran.status == 1
    assert "no batch keeps" in ran.err
    assert "nearest" in ran.err
    record = json.loads(ran.out)
    assert record["answer"] is None
    assert record["tried"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prompt", 10), "how much goes in and how much comes out"),
        (("--prompt", 120, "--output", 20), "context of 128"),
        (("--prompt", 1, "--output", 1, "--batch", 65), "64 sequences"),
        (("--prompt", 1, "--output", 1, "--weights", "int4"), "weights is as stored, not int4"),
        (("--prompt", 1, "--output", 1, "--total-ms", "nan"), "--total-ms is nan"),
        (("--prompt", 1, "--output", 1, "--total-ms", 0), "--total-ms is 0"),
        (("--prompt", 1, "--output", 1, "--ttft-ms", "inf"), "--ttft-ms is inf"),
        (("--prompt", 1, "--output", 1, "--tpot-ms", -1), "--tpot-ms is -1"),
        (("--largest-batch",), "needs an objective"),
        (("--largest-batch", "--ttft-ms", 1, "--prompt", "1,2"), "--prompt has 2 values"),
        (("--longest-context", "--memory-gib", "inf"), "--memory-gib is inf"),
        (("--longest-context", "--memory-gib", 0), "--memory-gib is 0"),
        (("--prompt", 1, "--output", 1, "--memory-gib", -1), "--memory-gib is -1"),
        (("--longest-context", "--output", 128), "leave no room"),
        (("--longest-context", "--prompt", 5), "--prompt means nothing beside --longest-context"),
        (
            ("--largest-batch", "--ttft-ms", 1, "--batch", 4),
            "--batch means nothing beside --largest-batch",
        ),
        (
            ("--largest-batch", "--ttft-ms", 1, "--weights", "f32,int4"),
            "--weights has 2 values",
        ),
        (("--cheapest-weights", "--ttft-ms", 1), "an artifact has its weights in one format"),
        (("--workload", "chat", "--prompt", 5), "--prompt means nothing beside --workload chat"),
        (("--workload", "all", "--output", 5), "--output means nothing beside --workload all"),
        (("--workload", "all", "--largest-batch"), "--workload all is several"),
        (("--workload", "chat", "--largest-batch"), "400 tokens in and 200 out are more"),
        (("--prompt", 120, "--output", 20), "128 tokens are the most that the model itself holds"),
        (("--prompt", "1," * 99 + "1", "--output", "1," * 99 + "1"), "10000 cases"),
    ],
)
def test_what_cannot_be_answered(
    refused: Refused, tiny_artifact: Path, words: tuple[object, ...], said: str
) -> None:
    assert said in refused("forecast", tiny_artifact, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("--prompt", 0, "--output", 1),
        ("--prompt", "many", "--output", 1),
        ("--prompt", "1,,2", "--output", 1),
        ("--prompt", 1, "--output", 1, "--weights", "int3"),
        ("--workload", "dancing"),
        ("--largest-batch", "--longest-context"),
        ("--prompt", 1, "--output", 1, "--tpot-ms", "fast"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    foreknown: Foreknown, tiny_artifact: Path, words: tuple[object, ...]
) -> None:
    ran = foreknown("forecast", tiny_artifact, *words)
    assert ran.status == 2
    assert ran.out == ""


def test_no_such_model_or_machine(refused: Refused, tiny_artifact: Path, tmp_path: Path) -> None:
    words = ("--prompt", 1, "--output", 1)
    assert "there is no such model" in refused("forecast", tmp_path / "nothing", *words)
    missing = tmp_path / "machine.toml"
    assert "cannot be read" in refused("forecast", tiny_artifact, *words, "--machine", missing)
    missing.write_text("format = 'no'")
    assert "cannot be read" in refused("forecast", tiny_artifact, *words, "--machine", missing)
