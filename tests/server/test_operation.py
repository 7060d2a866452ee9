"""Stopping in good order, readiness, waiting, metrics, logs, and what deploy/ says."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.test_bad_input import CHAT, assert_idle, assert_refused
from tests.serving import Served

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PATH = "/v1/chat/completions"
LONG = {**CHAT, "max_tokens": 900, "ignore_eos": True, "stream": True}


class Stream:
    """A stream that is read in the background."""

    def __init__(self, served: Served, path: str, body: Any) -> None:
        self.lines: list[str] = []
        self._begun = threading.Event()
        self._served, self._path, self._body = served, path, body
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._begun.wait(30), "nothing was streamed"

    def _read(self) -> None:
        url = self._served.url + self._path
        try:
            with httpx.stream("POST", url, json=self._body, timeout=60) as response:
                for line in response.iter_lines():
                    self.lines.append(line)
                    if line.startswith("data:"):
                        self._begun.set()
        except httpx.TransportError:
            pass  # Cut off; the lines say how far it came.
        finally:
            self._begun.set()

    def end(self) -> list[Any]:
        """All its events, once it is over."""
        self._reader.join(60)
        assert not self._reader.is_alive()
        data = [line.removeprefix("data: ") for line in self.lines if line.startswith("data: ")]
        return [event if event == "[DONE]" else json.loads(event) for event in data]


# Stopping


def test_what_runs_may_finish_and_nothing_new_begins(serve: Callable[..., Served]) -> None:
    served = serve("--log", "json")
    stream = Stream(served, PATH, {**LONG, "n": 2})
    served.process.send_signal(signal.SIGTERM)
    while served.get("/health/ready").status_code != 503:
        pass
    response = served.post(PATH, CHAT)
    assert_refused(response, 503)
    assert int(response.headers["retry-after"]) > 0
    response = served.post("/v1/messages", CHAT)
    assert_refused(response, 503)
    assert served.get("/health/live").status_code == 200
    events = stream.end()
    assert events[-1] == "[DONE]"
    choices = [choice for event in events[:-1] for choice in event["choices"]]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert reasons == ["length"] * 2
    assert served.process.wait(30) == 0


def test_at_the_deadline_what_runs_is_cut_off(serve: Callable[..., Served]) -> None:
    served = serve("--shutdown-seconds", "1")
    streams = [
        Stream(served, PATH, {**LONG, "n": 16}),
        Stream(served, "/v1/completions", {**_completion(), "n": 16}),
        *(Stream(served, "/v1/messages", _message()) for _ in range(3)),
        *(Stream(served, "/v1/responses", _response()) for _ in range(3)),
    ]
    whole: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: whole.append(served.post(PATH, {**LONG, "n": 16, "stream": False}))
    )
    waiting.start()
    time.sleep(0.1)
    begun = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    for stream in streams[:2]:
        last = [event for event in stream.end() if event != "[DONE]"][-1]
        assert last["error"]["message"]
        assert not last.get("choices")
    for stream in streams[2:]:
        # These are short enough to be over by themselves, if the machine is quick.
        last = stream.end()[-1]
        assert last["type"] in {
            "message_stop", "error", "response.incomplete", "response.completed", "response.failed",
        }  # fmt: skip
    waiting.join(30)
    assert_refused(whole[0], 503)
    assert served.process.wait(30) is not None
    assert time.monotonic() - begun < 10


def _completion() -> dict[str, Any]:
    body = {key: value for key, value in LONG.items() if key != "messages"}
    return {**body, "prompt": "hello"}


def _message() -> dict[str, Any]:
    messages = [{"role": "user", "content": "count to a thousand"}]
    return {"model": "bundled", "messages": messages, "max_tokens": 900, "stream": True}


def _response() -> dict[str, Any]:
    return {
        "model": "bundled", "input": "count to a thousand", "max_output_tokens": 900, "stream": True
    }  # fmt: skip


def test_the_second_signal_ends_at_once(serve: Callable[..., Served]) -> None:
    served = serve()
    stream = Stream(served, PATH, {**LONG, "n": 32})
    served.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert served.process.poll() is None
    begun = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    assert time.monotonic() - begun < 5
    assert "[DONE]" not in stream.end()


def test_an_idle_server_stops_at_once(serve: Callable[..., Served]) -> None:
    served = serve("--log", "json")
    with httpx.Client(base_url=served.url) as client:
        client.get("/health")  # Its connection stays open.
        begun = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - begun < 5
    assert not [line for line in served.log if "Traceback" in line]


def test_the_same_port_twice_is_refused(served: Served, bundled_artifact: Path) -> None:
    port = served.url.rsplit(":", 1)[1]
    ended = _foreknown("serve", str(bundled_artifact), "--port", port)
    assert ended.returncode not in {0, None}
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def _foreknown(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "foreknown", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


# Waiting


def test_too_many_that_wait_are_sent_away(serve: Callable[..., Served]) -> None:
    served = serve("--max-waiting", "2", "--sequences", "1")

    def ask(first: int) -> httpx.Response:
        # There is room for one of these at a time.
        body = {"model": "bundled", "prompt": [first] + [9] * 899, "max_tokens": 100}
        return client.post("/v1/completions", json={**body, "ignore_eos": True})

    with httpx.Client(base_url=served.url, timeout=120) as client, ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(ask, range(12)))
    statuses = [response.status_code for response in responses]
    assert set(statuses) == {200, 429}
    # One runs and two wait; whoever came after one had ended may have had a turn, too.
    assert 3 <= statuses.count(200) <= 6
    for response in responses:
        if response.status_code == 429:
            assert_refused(response, 429)
            assert int(response.headers["retry-after"]) > 0
    assert_idle(served)
    assert served.post(PATH, CHAT).status_code == 200


# Logs and request ids


def test_requests_have_ids_that_the_log_knows(serve: Callable[..., Served]) -> None:
    served = serve("--log", "json")
    responses = [
        served.post(PATH, CHAT),
        served.post(PATH, {**CHAT, "n": 0}),
        served.post("/v1/messages", CHAT),
        served.post("/v1/messages", {**CHAT, "max_tokens": 0}),
        served.get("/nothing"),
    ]
    ids = [response.headers["request-id"] for response in responses]
    assert len(set(ids)) == len(ids)
    assert responses[0].headers["x-request-id"] == ids[0]
    assert responses[3].json()["request_id"] == ids[3]
    served.stop()
    lines = [json.loads(line) for line in served.log if line.startswith("{")]
    told = {line["request_id"]: line for line in lines if "request_id" in line}
    for request_id, response in zip(ids, responses, strict=True):
        line = told[request_id]
        assert line["status"] == response.status_code
        assert line["path"] == response.request.url.path
    usage = responses[0].json()["usage"]
    line = told[ids[0]]
    assert line["model"] == "bundled"
    assert line["prompt_tokens"] == usage["prompt_tokens"]
    assert line["completion_tokens"] == usage["completion_tokens"]


# Metrics

Metrics = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def metrics(served: Served) -> Metrics:
    response = served.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    found: Metrics = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def total(found: Metrics, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(v for (key, has), v in found.items() if key == name and wanted <= set(has))


def test_metrics_count_what_was_done(served: Served) -> None:
    assert_idle(served)
    before = metrics(served)
    prompt_tokens = completion_tokens = 0
    prompt = list(range(300, 420))
    n_requests, n_tokens = 3, 20
    for _ in range(n_requests):
        body = {"model": "bundled", "prompt": prompt, "max_tokens": n_tokens, "ignore_eos": True}
        usage = served.post("/v1/completions", body).json()["usage"]
        prompt_tokens += usage["prompt_tokens"]
        completion_tokens += usage["completion_tokens"]
    served.post("/v1/completions", {"model": "bundled"})
    assert_idle(served)
    after = metrics(served)

    def grown(name: str, **labels: str) -> float:
        return total(after, f"foreknown:{name}", **labels) - total(
            before, f"foreknown:{name}", **labels
        )

    assert prompt_tokens == n_requests * len(prompt)
    assert completion_tokens == n_requests * n_tokens
    assert grown("prompt_tokens_total", model_name="bundled") == prompt_tokens
    assert grown("generation_tokens_total", model_name="bundled") == completion_tokens
    assert grown("request_success_total", finished_reason="length") == n_requests
    assert grown("time_to_first_token_seconds_count") == n_requests
    assert grown("time_to_first_token_seconds_sum") > 0
    assert grown("inter_token_latency_seconds_count") == n_requests * (n_tokens - 1)
    assert grown("e2e_request_latency_seconds_count") == n_requests
    assert grown("e2e_request_latency_seconds_sum") >= grown("time_to_first_token_seconds_sum")
    assert grown("request_prompt_tokens_sum") == prompt_tokens
    assert grown("request_generation_tokens_sum") == completion_tokens
    assert grown("prefix_cache_queries_total") >= prompt_tokens - n_requests
    assert grown("prefix_cache_hits_total") >= 2 * 112
    assert grown("engine_steps_total") > 0
    assert grown("http_requests_total", handler="/v1/completions", status="200") == n_requests
    assert grown("http_requests_total", handler="/v1/completions", status="400") == 1
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert total(after, f"foreknown:{name}") == 0


def test_histograms_are_such(served: Served) -> None:
    served.post(PATH, CHAT)
    found = metrics(served)
    names = {name.removesuffix("_bucket") for name, _ in found if name.endswith("_bucket")}
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds"):
        assert f"foreknown:{name}" in names
    for name in names:
        series: dict[Any, list[tuple[float, float]]] = {}
        for (key, labels), value in found.items():
            if key == f"{name}_bucket":
                others = frozenset(label for label in labels if label[0] != "le")
                series.setdefault(others, []).append((float(dict(labels)["le"]), value))
        for others, buckets in series.items():
            counts = [count for _, count in sorted(buckets)]
            assert counts == sorted(counts), name
            assert counts[-1] == total(found, f"{name}_count", **dict(others)), name


def test_gauges_show_what_runs(served: Served) -> None:
    assert_idle(served)
    stream = Stream(served, PATH, {**LONG, "n": 4, "max_tokens": 500})
    deadline = time.monotonic() + 10
    while (engine := served.engine())["running"] < 4:
        assert time.monotonic() < deadline
    found = metrics(served)
    stream.end()
    assert total(found, "foreknown:num_requests_running") == 4
    assert 0 < total(found, "foreknown:kv_cache_usage_perc") <= 1
    assert 0 < engine["blocks"]["held"] <= engine["blocks"]["total"]
    assert_idle(served)


def test_paths_of_strangers_make_no_metrics(served: Served) -> None:
    """Else anybody could make as many time series as they like."""
    for index in range(5):
        served.get(f"/stranger-{index}")
    assert "stranger" not in served.get("/metrics").text


def test_health(served: Served) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert served.get(path).status_code == 200


# deploy/


def serve_options(words: list[str]) -> argparse.Namespace:
    """What the command line makes of the words after `foreknown`."""
    from foreknown.cli import serve

    parser = argparse.ArgumentParser(exit_on_error=False)
    serve.add_arguments(parser)
    assert words[0] == "serve"
    return parser.parse_args(words[1:])


def unit() -> dict[str, list[str]]:
    """Settings of the unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "foreknown.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_is_one_that_systemd_reads(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("there is no systemd-analyze")
    text = (DEPLOY / "foreknown.service").read_text()
    # Neither the program nor the user need be on this machine.
    text = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{shutil.which('true')}", text, flags=re.M)
    text = re.sub(r"^User=.*$", "User=root", text, flags=re.M)
    copy = tmp_path / "foreknown.service"
    copy.write_text(text)
    ended = subprocess.run(
        [analyse, "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in ended.stderr.splitlines() if "foreknown.service" in line]
    assert not complaints


def test_the_unit_starts_what_there_is() -> None:
    settings = unit()
    (command,) = settings["ExecStart"]
    program, *words = shlex.split(command)
    assert Path(program).name == "foreknown"
    options = serve_options(words)
    assert settings["User"] != ["root"]
    assert int(settings["TimeoutStopSec"][0]) > (options.shutdown_seconds or 30)
    assert settings["KillSignal"] == ["SIGTERM"]
    for hardened in ("NoNewPrivileges", "PrivateTmp"):
        assert settings[hardened] == ["yes"]


def test_the_containerfile_makes_sense() -> None:
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    steps = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]
    last = max(index for index, (name, _) in enumerate(steps) if name == "FROM")
    final: dict[str, str] = dict(steps[last:])
    assert final["USER"] != "root"
    assert final["STOPSIGNAL"] == "SIGTERM"
    entry, command = json.loads(final["ENTRYPOINT"]), json.loads(final["CMD"])
    assert Path(entry[0]).name == "foreknown"
    options = serve_options([*entry[1:], *command])
    assert options.host == "0.0.0.0"
    for name, rest in steps:
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
