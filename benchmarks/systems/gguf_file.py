"""Writes a Llama-shaped checkpoint as GGUF, and quantises it as its users do.

    gguf_file.py convert CHECKPOINT OUT.gguf [--f32]    matrices as stored, vectors in f32
    gguf_file.py quantise IN.gguf OUT.gguf TYPE         llama.cpp's own mixture of that name

Runs in the peers' environment (gguf, llama_cpp, safetensors, torch). There is no vocabulary in the
file: everything here speaks in token ids. One tensor at a time is in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open

ARCHITECTURE = "llama"
STORED = {
    torch.float32: gguf.GGMLQuantizationType.F32,
    torch.float16: gguf.GGMLQuantizationType.F16,
    torch.bfloat16: gguf.GGMLQuantizationType.BF16,
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""What the Hugging Face layout and GGUF call the same tensor, less the layer and ".weight"."""


class NotLlama(Exception):
    """The checkpoint has something that this converter, or llama.cpp's llama graph, lacks."""


@dataclass(frozen=True)
class Stored:
    """A tensor of the checkpoint and the file it lies in."""

    name: str
    file: Path

    def read(self, config: dict[str, Any], widen: bool) -> torch.Tensor:
        """The tensor as GGUF wants it; with `widen` a matrix becomes f32 too."""
        with safe_open(self.file, "pt") as file:
            tensor: torch.Tensor = file.get_tensor(self.name)
        if tensor.ndim == 1 or widen:
            tensor = tensor.float()
        for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
            if part in self.name:
                return interleave_halves(tensor, config[heads])
        return tensor


def interleave_halves(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in the order of llama.cpp's rotation.

    Hugging Face rotates row i of a head with row i + width / 2, llama.cpp rows 2 i and 2 i + 1.
    """
    halves = rows.reshape(heads, 2, -1, rows.shape[1])
    return halves.transpose(1, 2).reshape(rows.shape).contiguous()


def stored_tensors(checkpoint: Path) -> Iterator[Stored]:
    """Every tensor of every safetensors file."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            yield from (Stored(name, path) for name in file.keys())  # noqa: SIM118


def gguf_name(name: str) -> str:
    """model.layers.3.mlp.up_proj.weight → blk.3.ffn_up.weight"""
    plain = name.removesuffix(".weight")
    if plain == name:
        raise NotLlama(f"the tensor {name} has no place in {ARCHITECTURE}")
    prefix = ""
    if plain.startswith("model.layers."):
        _, _, layer, plain = plain.split(".", 3)
        prefix = f"blk.{layer}."
    if plain not in NAMES:
        raise NotLlama(f"the tensor {name} has no place in {ARCHITECTURE}")
    return f"{prefix}{NAMES[plain]}.weight"


def rope_theta(config: dict[str, Any]) -> float:
    """The base of the rotation's frequencies."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise NotLlama(f"rotations of type {kind} are not converted")
    return float(rope.get("rope_theta", config.get("rope_theta", 10000.0)))


def require_llama(config: dict[str, Any]) -> None:
    """Refuse what would be converted into another model."""
    if config.get("model_type") != ARCHITECTURE:
        raise NotLlama(f"the model is of type {config.get('model_type')}, not {ARCHITECTURE}")
    if config.get("hidden_act", "silu") != "silu":
        raise NotLlama(f"the activation is {config['hidden_act']}, not silu")


def add_sizes(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """config.json in GGUF's words."""
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(rope_theta(config))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def convert(checkpoint: Path, out: Path, widen: bool) -> None:
    """Write a checkpoint as GGUF, losing nothing; with `widen` all in f32.

    Raises:
        NotLlama: the result would be another model.
    """
    config = json.loads((checkpoint / "config.json").read_text())
    require_llama(config)
    tied = config.get("tie_word_embeddings", False)
    tensors = [t for t in stored_tensors(checkpoint) if not (tied and t.name == "lm_head.weight")]
    writer = gguf.GGUFWriter(out, ARCHITECTURE)
    add_sizes(writer, config)
    for stored in tensors:
        tensor = stored.read(config, widen)
        writer.add_tensor_info(
            gguf_name(stored.name),
            tuple(tensor.shape),
            np.dtype(np.float32),  # only told apart from bytes; raw_dtype is what is written
            tensor.nbytes,
            raw_dtype=STORED[tensor.dtype],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for stored in tensors:
        tensor = stored.read(config, widen)
        writer.write_tensor_data(tensor.flatten().view(torch.uint8).numpy())
    writer.close()


def quantise(source: Path, out: Path, kind: str) -> None:
    """Quantise with llama.cpp's default mixture: "Q4_0", "Q8_0", ..."""
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    paths = (str(source).encode(), str(out).encode())
    if llama_cpp.llama_model_quantize(*paths, parameters):
        raise OSError(f"{source} could not be quantised to {kind}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    to_gguf = commands.add_parser("convert")
    to_gguf.add_argument("checkpoint", type=Path)
    to_gguf.add_argument("out", type=Path)
    to_gguf.add_argument("--f32", action="store_true")
    smaller = commands.add_parser("quantise")
    smaller.add_argument("source", type=Path)
    smaller.add_argument("out", type=Path)
    smaller.add_argument("kind")
    arguments = parser.parse_args()
    try:
        if arguments.command == "convert":
            convert(arguments.checkpoint, arguments.out, arguments.f32)
        else:
            quantise(arguments.source, arguments.out, arguments.kind)
    except NotLlama as error:
        print(f"cannot be converted: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
