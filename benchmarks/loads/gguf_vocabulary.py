"""Gives a GGUF file without a vocabulary the one of a tokenizer.json, so that it can be served.

    gguf_vocabulary.py IN.gguf CHECKPOINT OUT.gguf

Runs in the peers' environment (gguf). Tensors are copied as they are. Only byte-level BPE is known,
split into words by GPT-2's rule, as make_checkpoint.py writes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np

VOCABULARY = ("tokenizer.", "GGUF.", "general.architecture")
"""Keys that are written anew."""


def add_vocabulary(writer: gguf.GGUFWriter, checkpoint: Path) -> None:
    """The tokens of a checkpoint in GGUF's words."""
    described = json.loads((checkpoint / "tokenizer.json").read_text())
    model = described["model"]
    if model["type"] != "BPE" or described["decoder"]["type"] != "ByteLevel":
        raise SystemExit("the tokenizer is no byte-level BPE")
    special = {token["content"]: token["id"] for token in described["added_tokens"]}
    ids = {**model["vocab"], **special}
    config = json.loads((checkpoint / "config.json").read_text())
    ids |= {f"<unused{row}>": row for row in range(len(ids), config["vocab_size"])}
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    tokens = sorted(ids, key=ids.__getitem__)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in special else normal for token in tokens])
    writer.add_token_merges(merges)
    if config["bos_token_id"] is not None:
        writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    template = checkpoint / "chat_template.jinja"
    if template.exists():
        writer.add_chat_template(template.read_text())


def copy(source: Path, checkpoint: Path, out: Path) -> None:
    """Write the file again, with its vocabulary."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, architecture)
    for name, field in reader.fields.items():
        if not name.startswith(VOCABULARY):
            element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=element)
    add_vocabulary(writer, checkpoint)
    for tensor in reader.tensors:
        writer.add_tensor_info(
            tensor.name,
            tuple(tensor.data.shape),
            np.dtype(tensor.data.dtype),
            tensor.data.nbytes,
            raw_dtype=tensor.tensor_type,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()


if __name__ == "__main__":
    copy(*map(Path, sys.argv[1:]))
