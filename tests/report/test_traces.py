"""Traces in three forms, and what is said of those that make no sense."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings

from foreknown.engine.promises import Objective
from foreknown.errors import TraceError
from foreknown.report import traces
from foreknown.report.trace_forms import TracedRequest, listed
from foreknown.report.traces import Trace, read_trace
from tests.report.traffic_forms import FORMS, Row, azure, plain_ms, rows, written


@settings(deadline=None)
@given(rows)
def test_every_form_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory, found: list[Row]
) -> None:
    expected = tuple(TracedRequest(ms * 1_000_000, n, m) for ms, n, m in found)
    folder = tmp_path_factory.mktemp("traces")
    for name, text in FORMS.items():
        trace = read_trace(written(folder, text(found)))
        assert trace.requests == expected, name
        assert trace.form == name.split("_")[0]


def test_a_byte_order_mark_and_blank_lines_say_nothing(tmp_path: Path) -> None:
    text = "\ufeff\n\n" + azure([(0, 5, 2), (7, 6, 3)]).replace("\r\n", "\n\n")
    assert len(read_trace(written(tmp_path, text)).requests) == 2


def test_whole_numbers_may_have_a_point_and_columns_any_case(tmp_path: Path) -> None:
    text = "Arrival_MS,PROMPT_TOKENS,output_tokens\n0,5.0,2e1\n"
    assert read_trace(written(tmp_path, text)).requests == (TracedRequest(0, 5, 20),)


def test_objectives_and_users_of_a_plain_trace(tmp_path: Path) -> None:
    text = (
        "id,arrival_s,prompt_tokens,output_tokens,tpot_ms,ttft_ms,deadline_ms,user,model\n"
        'x,0,5,2,,,,"a, b",m\nx,1,5,2,50,1e3,,,m\nx,1,5,2,,,9000,c,m\n'
    )
    trace = read_trace(written(tmp_path, text))
    assert [one.objective for one in trace.requests] == [
        None,
        Objective(ttft_ms=1000, tpot_ms=50),
        Objective(deadline_ms=9000),
    ]
    assert [one.user for one in trace.requests] == ["a, b", "", "c"]
    assert trace.ignored == ("id", "model")


def test_a_clock_with_a_zone_and_one_without(tmp_path: Path) -> None:
    lines = ("2024-05-10 00:00:00.009930+00:00", "2024-05-10 02:00:01.009930+02:00")
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"{t},5,2\n" for t in lines)
    assert [one.time_ns for one in read_trace(written(tmp_path, text)).requests] == [0, 10**9]
    lines = ("2023-11-16 18:15:46.6805900", "2023-11-16 18:15:46.6805910")
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"{t},5,2\n" for t in lines)
    assert [one.time_ns for one in read_trace(written(tmp_path, text)).requests] == [0, 1000]


def _mooncake(*requests: tuple[int, list[int]]) -> str:
    return "".join(
        json.dumps({"timestamp": 0, "input_length": n, "output_length": 1, "hash_ids": ids}) + "\n"
        for n, ids in requests
    )


def test_spans_are_equal_where_all_before_them_is(tmp_path: Path) -> None:
    text = _mooncake((1024, [7, 9]), (1300, [7, 9, 3]), (1024, [8, 9]), (600, [9]), (5, []))
    a, b, c, d, e = (one.spans for one in read_trace(written(tmp_path, text)).requests)
    assert a == b[:2]
    assert len({*b, *c, *d}) == 6
    assert not e


BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["the trace is empty", "arrival_s"]),
    "blank": (" \n\n", ["the trace is empty"]),
    "no requests": ("arrival_s,prompt_tokens,output_tokens\n", ["has no requests"]),
    "no text": (b"\x89PNG\r\n\xff\xfe\x00", ["is not text"]),
    "no form": (
        "when,what\n1,2\n",
        ["no column arrival_s, prompt_tokens, output_tokens", "line 1"],
    ),
    "a column short": ("TIMESTAMP,ContextTokens\n", ["no column generatedtokens", "line 1"]),
    "a header short": ("0,5,2\n1,5,2\n", ["no column arrival_s, prompt_tokens, output_tokens"]),
    "two times": ("arrival_s,arrival_ms,prompt_tokens,output_tokens\n", ["both arrival_s and"]),
    "twice": ("arrival_s,user,user,prompt_tokens,output_tokens\n", ["column user is there twice"]),
    "a short line": (
        "arrival_s,prompt_tokens,output_tokens\n0,5,2\n1,5\n",
        ["has 2 columns", "line 3"],
    ),
    "backwards": (
        "arrival_s,prompt_tokens,output_tokens\n3,5,2\n\n1.5,5,2\n",
        ["time runs backwards", "1.5 s before", "line 4, column arrival_s", "sort"],
    ),
    "a stepped clock": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-01-01 01:00,5,2\n2024-01-01 00:00,5,2\n",
        ["time runs backwards", "3600 s before", "line 3, column TIMESTAMP"],
    ),
    "no time": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,5,2\n",
        ["'yesterday' is not a time", "line 2, column TIMESTAMP"],
    ),
    "no number": (
        "arrival_s,prompt_tokens,output_tokens\nnan,5,2\n",
        ["'nan' is not a number", "line 2, column arrival_s"],
    ),
    "no tokens": (
        "arrival_s,prompt_tokens,output_tokens\n0,5,2\n0,5,0\n",
        ["'0' is not a number of tokens", "line 3, column output_tokens"],
    ),
    "half a token": (
        "arrival_s,prompt_tokens,output_tokens\n0,5.5,2\n",
        ["'5.5' is not a number of tokens", "line 2, column prompt_tokens"],
    ),
    "too many tokens": (
        "arrival_s,prompt_tokens,output_tokens\n0,1e30,2\n",
        ["not a number of tokens", "column prompt_tokens"],
    ),
    "an objective in the past": (
        "arrival_s,prompt_tokens,output_tokens,ttft_ms\n0,5,2,-1\n",
        ["ttft_ms is -1", "line 2, column ttft_ms"],
    ),
    "an objective of words": (
        "arrival_s,prompt_tokens,output_tokens,ttft_ms\n0,5,2,soon\n",
        ["'soon' is not a number", "line 2, column ttft_ms"],
    ),
    "a lone quotation mark": (
        'arrival_s,prompt_tokens,output_tokens,user\n0,5,2,"a\n1,5,2,b\n',
        ["not CSV", "partner"],
    ),
    "no JSON": (_mooncake((5, [])) + "{\n", ["not JSON", "line 2"]),
    "deep JSON": ("[" * 100_000, ["not JSON", "line 1"]),
    "no object": ("[1]\n", ["no JSON object", "line 1"]),
    "no length": ('{"timestamp": 0, "output_length": 1}\n', ["has no input_length", "line 1"]),
    "a length of words": (
        '{"timestamp": 0, "input_length": "x", "output_length": 1}',
        ["'x' is not a number", "line 1, column input_length"],
    ),
    "a true length": (
        '{"timestamp": 0, "input_length": true, "output_length": 1}',
        ["True is not a number", "column input_length"],
    ),
    "a time that is none": (
        '{"timestamp": Infinity, "input_length": 1, "output_length": 1}',
        ["inf is not a number", "column timestamp"],
    ),
    "a huge time": (
        f'{{"timestamp": {"9" * 400}, "input_length": 1, "output_length": 1}}',
        ["is not a number", "column timestamp"],
    ),
    "a time beyond all clocks": (
        "arrival_s,prompt_tokens,output_tokens\n0,5,2\n1e300,5,2\n",
        ["'1e300' is no time: the column counts in seconds", "line 3, column arrival_s"],
    ),
    "milliseconds beyond all clocks": (
        '{"timestamp": 1e308, "input_length": 1, "output_length": 1}',
        ["1e+308 is no time: the column counts in milliseconds", "line 1, column timestamp"],
    ),
    "nothing but zeros": ("\0" * 1000, ["no column arrival_s", r"line 1: \x00\x00", "\\..."]),
    "colours": (
        "\x1b[31m,\x1b[31m\n",
        [r"column \x1b[31m is there twice", "line 1"],
    ),
    "ids of words": (
        '{"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": ["a"]}',
        ["hash_ids are not whole numbers", "line 1, column hash_ids"],
    ),
    "too many ids": (_mooncake((512, [1, 2])), ["hash_ids are not whole numbers"]),
}


@pytest.mark.parametrize("name", BAD)
def test_nonsense(tmp_path: Path, name: str) -> None:
    given, parts = BAD[name]
    path = tmp_path / "trace"
    path.write_bytes(given if isinstance(given, bytes) else given.encode())
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    for part in (*parts, str(path), "to do: "):
        assert part in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()
    assert len(str(caught.value)) < 600 + len(str(path))


@pytest.mark.parametrize("form", FORMS.values())
def test_damage_is_always_told_as_ours(tmp_path: Path, form: Callable[..., str]) -> None:
    chance = random.Random()
    whole = form([(5 * i, 10 + i, 3) for i in range(8)]).encode()
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        path = tmp_path / "trace"
        path.write_bytes(damaged)
        try:
            assert read_trace(path).requests
        except TraceError as error:
            assert error.where.startswith(str(path))  # noqa: PT017
            assert error.remedy  # noqa: PT017


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace(tmp_path / "none")
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        read_trace(tmp_path)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, plain_ms([(i, 5, 2) for i in range(20)]))
    monkeypatch.setattr(traces, "MOST_REQUESTS", 19)
    with pytest.raises(TraceError, match="more than 19 requests"):
        read_trace(path)
    monkeypatch.setattr(traces, "MOST_REQUESTS", 20)
    assert len(read_trace(path).requests) == 20
    monkeypatch.setattr(traces, "MOST_BYTES", path.stat().st_size - 1)
    with pytest.raises(TraceError, match="and may have"):
        read_trace(path)


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TraceError, match="longer than 4194304 characters"):
        read_trace(Path("/dev/zero"))
    text, pipe = plain_ms([(i, 5, 2) for i in range(20)]), tmp_path / "pipe"
    os.mkfifo(pipe)

    def through_a_pipe() -> Trace:
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(pipe.write_text, text)
            try:
                return read_trace(pipe)
            finally:
                writing.exception()

    assert len(through_a_pipe().requests) == 20
    monkeypatch.setattr(traces, "MOST_BYTES", len(text) - 1)
    with pytest.raises(TraceError, match=f"more than {len(text) - 1} bytes") as caught:
        through_a_pipe()
    assert "line 21" in caught.value.where


def test_columns_that_are_listed() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["\x1b[31m"]) == r"\x1b[31m"
    assert len(listed(map(str, range(10**6)))) == 100


def test_azures_own(shared_data: Path) -> None:
    trace = read_trace(shared_data / "traces" / "azure_conv_2023.csv")
    assert (trace.form, len(trace.requests), trace.ignored) == ("azure", 19_366, ())
    assert trace.requests[0] == TracedRequest(0, 374, 44)
    assert trace.requests[-1][1:3] == (197, 183)
    assert 58 * 60 < trace.requests[-1].time_ns / 1e9 < 59 * 60


def test_mooncakes_own(shared_data: Path) -> None:
    trace = read_trace(shared_data / "traces" / "mooncake_conversation.jsonl")
    assert (trace.form, len(trace.requests)) == ("mooncake", 12_031)
    assert trace.requests[-1].time_ns == 3_536_999 * 1_000_000
    assert all(len(one.spans) == -(-one.n_prompt // 512) for one in trace.requests)
    assert len({span for one in trace.requests for span in one.spans}) == 182_790
