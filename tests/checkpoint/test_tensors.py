"""Weights are read lazily and exactly; every damaged file gives one clear error."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreknown.checkpoint.header import HEADER_LIMIT_BYTES, ITEM_BYTES
from foreknown.checkpoint.shards import has_weights, open_tensors
from foreknown.errors import CheckpointError

ONE = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refused(directory: Path, *parts: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_tensors(directory)
    assert caught.value.remedy
    assert caught.value.where
    for part in parts:
        assert part in str(caught.value)


def test_reads_every_dtype(make: Any) -> None:
    arrays = {
        "F64": np.array([[1.5, -2.0]], "<f8"),
        "F32": np.array([[1.5, -2.0]], "<f4"),
        "F16": np.array([[1.5, -2.0]], "<f2"),
        "BF16": np.array([[0x3FC0, 0xC000]], "<u2"),
        "F8_E4M3": np.array([[1, 2]], "u1"),
        "F8_E5M2": np.array([[1, 2]], "u1"),
        "I64": np.array([[1, -2]], "<i8"),
        "I32": np.array([[1, -2]], "<i4"),
        "I16": np.array([[1, -2]], "<i2"),
        "I8": np.array([[1, -2]], "i1"),
        "U8": np.array([[1, 2]], "u1"),
        "BOOL": np.array([[True, False]]),
    }
    assert arrays.keys() == ITEM_BYTES.keys()
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    weights = b""
    for dtype, array in arrays.items():
        header[dtype] = tensor(dtype, [1, 2], len(weights), len(weights) + array.nbytes)
        weights += array.tobytes()
    make.safetensors("model.safetensors", header, weights)
    store = open_tensors(make.directory)
    assert set(store) == set(arrays)
    assert store.size_bytes == len(weights)
    for dtype, array in arrays.items():
        stored = store.read(dtype)
        assert stored.dtype == store[dtype].dtype == dtype
        assert stored.array.dtype == array.dtype
        assert not stored.array.flags.writeable
        np.testing.assert_array_equal(stored.array, array)
        if dtype in ("F64", "F32", "F16", "BF16"):
            floats = store.read_f32(dtype)
            assert floats.dtype == np.float32
            np.testing.assert_array_equal(floats, [[1.5, -2.0]])
        else:
            with pytest.raises(CheckpointError, match="where a float is expected"):
                store.read_f32(dtype)
        store.release(dtype)
        np.testing.assert_array_equal(stored.array, array)


def test_equals_the_safetensors_package(shared: Path) -> None:
    from safetensors.numpy import load_file

    directory = shared / "models" / "stories260K"
    expected = load_file(directory / "model.safetensors")
    store = open_tensors(directory)
    assert set(store) == set(expected)
    for name, array in expected.items():
        assert store[name].shape == array.shape
        np.testing.assert_array_equal(store.read(name).array, array)


def test_f32_is_a_view(make: Any) -> None:
    make.safetensors("model.safetensors", ONE, bytes(8))
    store = open_tensors(make.directory)
    assert np.shares_memory(store.read_f32("a"), store.read("a").array)


def test_empty_and_scalar_tensors(make: Any) -> None:
    header = {"none": tensor("F32", [0, 3], 0, 0), "one": tensor("F32", [], 0, 4)}
    make.safetensors("model.safetensors", header, np.float32(7).tobytes())
    store = open_tensors(make.directory)
    assert store.read("none").array.shape == (0, 3)
    assert store.read_f32("one") == np.float32(7)
    store.release("none")


def test_shards(make: Any) -> None:
    make.safetensors("s1.safetensors", ONE, bytes(8))
    make.safetensors("s2.safetensors", {"b": ONE["a"]}, bytes(8))
    index = {"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}}
    make.json("model.safetensors.index.json", index)
    store = open_tensors(make.directory)
    assert {name: entry.file.name for name, entry in store.items()} == index["weight_map"]


def test_one_file_of_another_name(make: Any) -> None:
    make.safetensors("weights.safetensors", ONE, bytes(8))
    assert list(open_tensors(make.directory)) == ["a"]
    make.safetensors("more.safetensors", ONE, bytes(8))
    refused(make.directory, "2 safetensors files", "index.json")


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        ("{", 0, "not JSON"),
        ("[]", 0, "not a JSON object"),
        ("[" * 100_000, 0, "not JSON"),
        ('{"a": 1}', 0, "'a' has no description"),
        ('{"a": {}, "a": {}}', 0, "names tensor 'a' twice"),
        ({"a": tensor("F4", [2], 0, 1)}, 1, "stored as 'F4'"),
        ({"a": tensor("F32", [-2], 0, 8)}, 8, "no sensible shape"),
        ({"a": tensor("F32", [2.0], 0, 8)}, 8, "no sensible shape"),  # type: ignore[list-item]
        ({"a": tensor("F32", [2], 8, 0)}, 8, "no sensible data_offsets"),
        ({"a": tensor("F32", [2], -8, 0)}, 8, "no sensible data_offsets"),
        ({"a": tensor("F32", [3], 0, 8)}, 8, "'a' has 8 bytes, but F32 [3] takes 12"),
        (ONE, 7, "truncated: tensor 'a' ends at byte"),
        (ONE, 9, "1 stray bytes at its end"),
        ({"a": tensor("F32", [2], 4, 12)}, 12, "4 stray bytes before tensor 'a'"),
        ({**ONE, "b": tensor("F32", [2], 4, 12)}, 12, "'b' overlaps"),
        ({**ONE, "b": tensor("F32", [2], 0, 8)}, 8, "overlaps"),
    ],
)
def test_damaged_header(make: Any, header: Any, size: int, message: str) -> None:
    make.safetensors("model.safetensors", header, bytes(size))
    refused(make.directory, "model.safetensors", message)


def test_header_length(make: Any) -> None:
    make.safetensors("model.safetensors", ONE, bytes(8), length=HEADER_LIMIT_BYTES + 1)
    refused(make.directory, "model.safetensors", "above the bound")
    make.safetensors("model.safetensors", ONE, bytes(8), length=1000)
    refused(make.directory, "model.safetensors", "truncated")
    (make.directory / "model.safetensors").write_bytes(b"1234")
    refused(make.directory, "model.safetensors", "truncated: 4 bytes")


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "s1.safetensors", "z": "s1.safetensors"}, "'z' is listed"),
        ({"a": "s1.safetensors", "b": "s3.safetensors"}, "shard s3.safetensors is missing"),
        ({"a": "../s1.safetensors"}, "no file of this directory"),
        ({"a": 1}, "no file of this directory"),
        ({"a": "s1.safetensors", "c": "s2.safetensors"}, "'a' is in two files"),
        ({}, "no weight_map"),
        (None, "no weight_map"),
    ],
)
def test_damaged_index(make: Any, weight_map: Any, message: str) -> None:
    make.safetensors("s1.safetensors", ONE, bytes(8))
    make.safetensors("s2.safetensors", {**ONE, "c": tensor("U8", [1], 8, 9)}, bytes(9))
    make.json("model.safetensors.index.json", {"weight_map": weight_map})
    refused(make.directory, message)


def test_pickle_is_never_loaded(make: Any) -> None:
    make.text("pytorch_model-00001-of-00002.bin", "x")
    assert has_weights(make.directory)
    refused(make.directory, "pickle", "never loaded", "save_pretrained")


def test_no_weights(make: Any) -> None:
    assert not has_weights(make.directory)
    refused(make.directory, "no weights")


def test_unreadable_file(make: Any) -> None:
    (make.directory / "model.safetensors").mkdir()
    refused(make.directory, "cannot be read")


def test_asking_for_what_is_not_there(make: Any) -> None:
    make.safetensors("model.safetensors", ONE, bytes(8))
    store = open_tensors(make.directory)
    assert "b" not in store
    assert store.get("b") is None
    with pytest.raises(CheckpointError, match="tensor 'b' is not in the checkpoint\n  where"):
        store.read("b")
    assert store.require_shape("a", (2,)) is store["a"]
    with pytest.raises(CheckpointError, match=r"'a' has the shape \[2\].* calls for \[3\]"):
        store.require_shape("a", (3,))


def test_file_that_shrinks_or_goes_away(make: Any) -> None:
    path = make.safetensors("model.safetensors", ONE, bytes(8))
    store = open_tensors(make.directory)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(CheckpointError, match="became shorter"):
        store.read("a")
    store = open_tensors_of(make)
    (make.directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be mapped"):
        store.read("a")
    with pytest.raises(CheckpointError, match="cannot be mapped"):
        store.fingerprint()


def open_tensors_of(make: Any) -> Any:
    make.safetensors("model.safetensors", ONE, bytes(8))
    return open_tensors(make.directory)


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype"), [("F32", "<f4"), ("F16", "<f2"), ("F64", "<f8"), ("BF16", "<f4")]
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_weights(make: Any, dtype: str, numpy_dtype: str, wrong: float) -> None:
    array = np.ones((3, 2), numpy_dtype)
    array[2, 1] = wrong
    raw = (array.view("<u4") >> 16).astype("<u2") if dtype == "BF16" else array
    header = {
        "a": tensor(dtype, [3, 2], 0, raw.nbytes),
        "i": tensor("I8", [1], raw.nbytes, raw.nbytes + 1),
    }
    make.safetensors("model.safetensors", header, raw.tobytes() + b"x")
    store = open_tensors(make.directory)
    store.require_finite("i")
    with pytest.raises(CheckpointError, match=r"'a' holds a NaN or an infinity, first at \[2, 1\]"):
        store.require_finite("a")


def test_finite_weights(shared: Path) -> None:
    store = open_tensors(shared / "models" / "stories260K")
    for name in store:
        store.require_finite(name)


def test_fingerprint(make: Any) -> None:
    path = make.safetensors("model.safetensors", ONE, bytes(8))
    first = open_tensors(make.directory).fingerprint()
    assert open_tensors(make.directory).fingerprint() == first
    os.utime(path, ns=(1, 1))
    second = open_tensors(make.directory).fingerprint()
    make.safetensors("model.safetensors", {"b": ONE["a"]}, bytes(8))
    os.utime(path, ns=(1, 1))
    assert len({first, second, open_tensors(make.directory).fingerprint()}) == 3


READ_ALL = """
import resource, sys
from pathlib import Path
from foreknown.checkpoint.shards import open_tensors
store = open_tensors(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in store:
    store.read(name).array.sum()
    store.release(name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not hasattr(mmap.mmap, "madvise"), reason="no madvise on this system")
def test_release_bounds_memory(make: Any) -> None:
    """Reading 64 MiB in tensors of 4 MiB, each released, holds far less than all of them."""
    size = 4 * 1024 * 1024
    header = {f"t{i}": tensor("U8", [size], i * size, (i + 1) * size) for i in range(16)}
    make.safetensors("model.safetensors", header, bytes(16 * size))
    command = [sys.executable, "-c", READ_ALL, str(make.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit_bytes < 4 * size
