"""Writes a random bf16 checkpoint of a named real shape, streaming: `make_checkpoint.py SHAPE DIR`.

`--tokenizer TEXT ...` adds a tokenizer with as many tokens as the model has, and a chat template;
its first merges are learnt from the texts. `--tokenizer-only` leaves the weights as they are.

Speed and memory depend on shapes, not on what was learnt, so these stand in for real models in
every benchmark. Weights are normal with deviation 1/sqrt(fan in), so that logits stay finite.
Only one piece of a tensor is ever in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loads.vocabulary import write_tokenizer
from numpy.typing import NDArray

PIECE = 1 << 23


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder with grouped attention and a gated feed-forward layer."""

    architecture: str
    model_type: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    qkv_bias: bool = False
    rope_theta: float = 500000.0
    context: int = 131072


SHAPES = {
    "llama-1b": ModelShape(
        "LlamaForCausalLM", "llama", 16, 2048, 8192, 32, 8, 64, 128256, tied=True
    ),
    "llama-8b": ModelShape(
        "LlamaForCausalLM", "llama", 32, 4096, 14336, 32, 8, 128, 128256, tied=False
    ),
    "qwen-0.5b": ModelShape(
        *("Qwen2ForCausalLM", "qwen2", 24, 896, 4864, 14, 2, 64, 151936),
        tied=True,
        qkv_bias=True,
        rope_theta=1000000.0,
        context=32768,
    ),
}


def config(shape: ModelShape) -> dict[str, object]:
    """config.json of a shape."""
    return {
        "architectures": [shape.architecture],
        "model_type": shape.model_type,
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": shape.tied,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "bfloat16",
    }


def tensors(shape: ModelShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of every tensor, in the order they are written."""
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    yield "model.embed_tokens.weight", (shape.vocabulary, shape.hidden)
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        yield f"{name}.input_layernorm.weight", (shape.hidden,)
        for part, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield f"{name}.self_attn.{part}_proj.weight", (rows, shape.hidden)
            if shape.qkv_bias:
                yield f"{name}.self_attn.{part}_proj.bias", (rows,)
        yield f"{name}.self_attn.o_proj.weight", (shape.hidden, queries)
        yield f"{name}.post_attention_layernorm.weight", (shape.hidden,)
        yield f"{name}.mlp.gate_proj.weight", (shape.inner, shape.hidden)
        yield f"{name}.mlp.up_proj.weight", (shape.inner, shape.hidden)
        yield f"{name}.mlp.down_proj.weight", (shape.hidden, shape.inner)
    yield "model.norm.weight", (shape.hidden,)
    if not shape.tied:
        yield "lm_head.weight", (shape.vocabulary, shape.hidden)


def random_bf16(
    random: np.random.Generator, shape: tuple[int, ...]
) -> Iterator[NDArray[np.uint16]]:
    """A tensor's bits, a piece at a time."""
    left = int(np.prod(shape))
    while left:
        piece = random.standard_normal(min(left, PIECE), np.float32)
        piece = piece / np.sqrt(shape[-1]) if len(shape) > 1 else 1 + 0.1 * piece
        yield (piece.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        left -= len(piece)


def write_checkpoint(shape: ModelShape, directory: Path, seed: int = 0) -> None:
    """Write config.json and model.safetensors."""
    directory.mkdir(parents=True, exist_ok=True)
    header: dict[str, object] = {}
    offset = 0
    for name, dims in tensors(shape):
        size = 2 * int(np.prod(dims))
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    random = np.random.default_rng(seed)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for _, dims in tensors(shape):
            for piece in random_bf16(random, dims):
                file.write(piece)
    (directory / "config.json").write_text(json.dumps(config(shape), indent=2))
    print(f"{directory}: {offset / 2e9:.3f} billion parameters, {offset / 2**30:.2f} GiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", nargs="*", type=Path, metavar="TEXT", help="files, or none")
    parser.add_argument("--tokenizer-only", action="store_true", help="write no weights")
    arguments = parser.parse_args()
    shape, directory = SHAPES[arguments.shape], arguments.directory
    if arguments.tokenizer_only and not (directory / "config.json").exists():
        parser.error(f"{directory} is no checkpoint; leave --tokenizer-only out")
    if not arguments.tokenizer_only:
        write_checkpoint(shape, directory, arguments.seed)
    if arguments.tokenizer_only or arguments.tokenizer is not None:
        write_tokenizer(directory, shape.vocabulary, arguments.tokenizer or ())
    return 0


if __name__ == "__main__":
    sys.exit(main())
