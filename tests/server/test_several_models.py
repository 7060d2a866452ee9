"""Several models in one process: each by its name, with its own words, in memory that is there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_bad_input import assert_refused
from tests.serving import Served, serving

NAMES = ("bundled", "stories")


@pytest.fixture(scope="module")
def both(bundled_artifact: Path, stories_artifact: Path) -> Iterator[Served]:
    with serving(f"bundled={bundled_artifact}", f"stories={stories_artifact}") as server:
        yield server


def completion(served: Served, model: str, **change: Any) -> Any:
    body = {"model": model, "prompt": "Once upon a time", "max_tokens": 16, **change}
    response = served.post("/v1/completions", body)
    assert response.status_code == 200, response.text
    return response.json()


def test_both_are_listed(both: Served) -> None:
    assert [model["id"] for model in both.get("/v1/models").json()["data"]] == list(NAMES)
    for name in NAMES:
        assert both.get(f"/v1/models/{name}").json()["id"] == name
    assert [model["id"] for model in both.get("/engine").json()["models"]] == list(NAMES)


def test_each_answers_by_its_name(both: Served) -> None:
    answers = {name: completion(both, name) for name in NAMES}
    assert [answers[name]["model"] for name in NAMES] == list(NAMES)
    texts = {name: answers[name]["choices"][0]["text"] for name in NAMES}
    prints = {answers[name]["system_fingerprint"] for name in NAMES}
    assert texts["bundled"] != texts["stories"]
    assert len(prints) == 2


def test_a_third_is_not_found(both: Served) -> None:
    body = {"model": "third", "prompt": "a"}
    message = assert_refused(both.post("/v1/completions", body), 404, "model", "model_not_found")
    assert all(name in message for name in NAMES)


def test_each_has_its_own_vocabulary(both: Served) -> None:
    text = "Once upon a time, there was a little girl."
    tokens = {}
    for name in NAMES:
        found = both.post("/tokenize", {"model": name, "prompt": text}).json()["tokens"]
        back = both.post("/detokenize", {"model": name, "tokens": found}).json()["prompt"]
        assert text in back
        tokens[name] = found
    assert tokens["bundled"] != tokens["stories"]
    # The second model has 512 tokens, the first has more.
    body: dict[str, Any] = {"prompt": [600], "max_tokens": 1}
    assert both.post("/v1/completions", {"model": "bundled", **body}).status_code == 200
    assert_refused(both.post("/v1/completions", {"model": "stories", **body}), 400, "prompt")


def test_they_share_no_state(both: Served) -> None:
    """The same token ids are other prompts for another model."""
    prompt = list(range(100, 260))
    for name in NAMES:
        details = completion(both, name, prompt=prompt)["usage"]["prompt_tokens_details"]
        assert details["cached_tokens"] == 0
        details = completion(both, name, prompt=prompt)["usage"]["prompt_tokens_details"]
        assert details["cached_tokens"] >= 144


def test_they_answer_at_once_with_the_same_bytes(both: Served) -> None:
    alone = {name: completion(both, name)["choices"] for name in NAMES}
    turns = [NAMES[index % 2] for index in range(16)]
    with ThreadPoolExecutor(16) as pool:
        for name, found in zip(
            turns, pool.map(lambda name: completion(both, name), turns), strict=True
        ):
            assert found["choices"] == alone[name]


def test_metrics_tell_them_apart(both: Served) -> None:
    completion(both, "stories")
    text = both.get("/metrics").text
    for name in NAMES:
        assert re.search(rf'foreknown:generation_tokens_total{{.*model_name="{name}".*}}', text)


def refused_start(*arguments: str) -> str:
    command = [sys.executable, "-m", "foreknown", "serve", "--port", "0", *arguments]
    begun = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode not in {0, None}
    assert "Traceback" not in ended.stderr
    assert "serving" not in ended.stderr.lower().replace("serving.md", "")
    assert time.monotonic() - begun < 30
    return ended.stderr


def test_what_does_not_fit_is_refused_with_the_figures(
    bundled_artifact: Path, stories_artifact: Path
) -> None:
    models = [f"bundled={bundled_artifact}", f"stories={stories_artifact}"]
    said = refused_start(*models, "--sequences", "1000000000")
    figures = re.findall(r"([\d,.]+) ?([KMGTPE]i?B|bytes)", said)
    assert len(figures) >= 2, said  # What it takes, and what there is.
    assert all(name in said for name in NAMES), said


def test_two_of_a_name_are_refused(bundled_artifact: Path) -> None:
    said = refused_start(f"a={bundled_artifact}", f"a={bundled_artifact}")
    assert "NAME=PATH" in said


def test_a_model_that_is_missing_is_refused(bundled_artifact: Path, tmp_path: Path) -> None:
    said = refused_start(f"a={bundled_artifact}", f"b={tmp_path / 'nothing'}")
    assert "nothing" in said
