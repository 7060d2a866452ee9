"""Finds the weights in a checkpoint's directory: one file, or the shards an index lists.

Pickled weights are never opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foreknown.checkpoint.files import read_json_object
from foreknown.checkpoint.header import TensorEntry, read_header
from foreknown.checkpoint.tensors import TensorStore
from foreknown.errors import CheckpointError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
INDEX_LIMIT_BYTES = 100 * 1000 * 1000
_PATTERNS = (
    "*.safetensors",
    INDEX_FILE,
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
    "*.pt",
    "*.pth",
)


def has_weights(directory: Path) -> bool:
    """Whether the directory holds weights of any kind, readable or not."""
    return any(_weight_files(directory))


def open_tensors(directory: Path) -> TensorStore:
    """The weights in a directory: one file, or the shards its index lists.

    Raises:
        CheckpointError: no weights, pickled weights only, a shard that is missing, a tensor that
            is listed and not there, and all that `read_header` refuses.
    """
    single, index = directory / SINGLE_FILE, directory / INDEX_FILE
    if single.exists():
        return TensorStore(read_header(single), directory)
    if index.exists():
        return _open_shards(directory, index)
    files = sorted(directory.glob("*.safetensors"))
    if len(files) == 1:
        return TensorStore(read_header(files[0]), directory)
    if files:
        raise CheckpointError(
            f"{len(files)} safetensors files, but no {INDEX_FILE} that says what is where",
            where=str(directory),
            remedy=f"add {INDEX_FILE}, or name the one file {SINGLE_FILE}",
        )
    pickled = [*_weight_files(directory)]
    if pickled:
        raise CheckpointError(
            f"the weights are pickled ({pickled[0].name}); pickle can run any code and is never "
            "loaded",
            where=str(directory),
            remedy='convert them once, where you trust them: python -c "from transformers import '
            "AutoModelForCausalLM as M; M.from_pretrained('IN').save_pretrained('OUT')\"",
        )
    raise CheckpointError(
        "there are no weights",
        where=str(directory),
        remedy=f"give a directory with {SINGLE_FILE}, or {INDEX_FILE} and its shards",
    )


def _open_shards(directory: Path, index: Path) -> TensorStore:
    weight_map = read_json_object(index, INDEX_LIMIT_BYTES).get("weight_map")
    if not (isinstance(weight_map, dict) and weight_map):
        raise CheckpointError(
            f"{index.name} has no weight_map", where=str(index), remedy="fetch the index again"
        )
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not shard or Path(shard).name != shard:
            raise CheckpointError(
                f"tensor {name!r} is said to be in {shard!r}, which is no file of this directory",
                where=str(index),
                remedy="fetch the index again; shards lie beside it",
            )
    entries: list[TensorEntry] = []
    for shard in sorted(set(weight_map.values())):
        if not (directory / shard).exists():
            first = next(name for name, file in weight_map.items() if file == shard)
            raise CheckpointError(
                f"shard {shard} is missing; it holds tensor {first!r}",
                where=str(index),
                remedy=f"fetch {shard} into {directory}",
            )
        entries += read_header(directory / shard)
    found = {(entry.name, entry.file.name) for entry in entries}
    for name, shard in weight_map.items():
        if (name, shard) not in found:
            raise CheckpointError(
                f"tensor {name!r} is listed in {index.name}, but shard {shard} does not have it",
                where=str(directory / shard),
                remedy="fetch the index and the shards of one and the same checkpoint",
            )
    return TensorStore(entries, directory)


def _weight_files(directory: Path) -> Iterator[Path]:
    for pattern in _PATTERNS:
        yield from sorted(directory.glob(pattern))
