"""OpenVINO's side of the comparison of speed. `openvino_speed.py DIRECTORY THREADS`.

The model as optimum-intel exports it, with its state inside. As OpenVINO's own generation pipeline
does, logits are computed of the last token only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13

from systems.case import DECODE, PREFILL, Case
from systems.serving import serve
from systems.stopwatch import answers

WEIGHT_GROUP = 64
CHUNK = 512
"""Tokens of an inference that fills state, over all sequences."""
STATE_ITEM_BYTES = 1
"""Keys and values are kept in u8, as OpenVINO does unless told otherwise."""


class OpenVINO:
    """A compiled model with an inference request, which holds its own state, for each case."""

    def __init__(self, directory: Path, n_threads: int) -> None:
        core = openvino.Core()
        model = core.read_model(directory / "openvino_model.xml")
        keep_last_token(model)
        self.settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": n_threads,
            # activations in groups like the weights': faster here than the default of 32
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": WEIGHT_GROUP,
        }
        self.compiled = core.compile_model(model, "CPU", self.settings)
        self.config = json.loads((directory / "config.json").read_text())
        self.weights_bytes = (directory / "openvino_model.bin").stat().st_size
        self.read_bytes = self.weights_bytes
        if not self.config.get("tie_word_embeddings"):
            self.read_bytes -= embedding_bytes(model)  # only looked up in
        self.requests: dict[Case, openvino.InferRequest] = {}
        self.starts: dict[Case, list[openvino.Tensor]] = {}
        self.past = 0

    def facts(self) -> dict[str, Any]:
        kept = ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION")
        found = {name: self.compiled.get_property(name).get_type_name() for name in kept}
        settings = {**self.settings, **found}
        return {
            "version": openvino.__version__,
            "settings": ", ".join(f"{name} {value}" for name, value in settings.items()),
            "weights_bytes": self.weights_bytes,
        }

    def step_bytes(self, case: Case) -> float:
        config = self.config
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        kept = config.get("num_key_value_heads", heads) * width * config["num_hidden_layers"]
        token_state_bytes = 2 * STATE_ITEM_BYTES * int(kept)
        return self.read_bytes + case.batch * case.tokens * token_state_bytes

    def rewind(self, case: Case) -> None:
        self.past = case.first_past
        if case not in self.requests:
            self.requests[case] = self.compiled.create_infer_request()
        request = self.requests[case]
        if case.metric == PREFILL:
            request.reset_state()
        elif case in self.starts:
            for state, start in zip(request.query_state(), self.starts[case], strict=True):
                state.state = start
        else:
            n_tokens = max(1, CHUNK // case.batch)
            for start in range(0, self.past, n_tokens):
                self._infer(case, start, min(n_tokens, self.past - start))
            self.starts[case] = [
                openvino.Tensor(np.array(state.state.data)) for state in request.query_state()
            ]

    def step(self, case: Case) -> None:
        n_tokens = 1 if case.metric == DECODE else case.tokens
        self._infer(case, self.past, n_tokens)
        self.past += n_tokens

    def _infer(self, case: Case, past: int, n_tokens: int) -> None:
        """Run so many tokens of every sequence, which has `past` tokens behind it."""
        batch, end = case.batch, past + n_tokens
        positions = np.tile(np.arange(past, end, dtype=np.int64), (batch, 1))
        self.requests[case].infer(
            {
                "input_ids": positions % self.config["vocab_size"],
                "attention_mask": np.ones((batch, end), np.int64),
                "position_ids": positions,
                "beam_idx": np.arange(batch, dtype=np.int32),
            },
            share_inputs=True,
        )


def keep_last_token(model: openvino.Model) -> None:
    """Cut what enters the output's matrix product down to the last token."""
    product = model.output("logits").get_node().input_value(0).get_node()
    first, end, step, axis = (opset13.constant(np.array([n], np.int64)) for n in (-1, 2**31, 1, 1))
    last = opset13.slice(product.input_value(0), first, end, step, axis)
    product.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()


def embedding_bytes(model: openvino.Model) -> int:
    """Size of the table that token ids are looked up in."""
    largest = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Gather":
            continue
        table = node.input_value(0).get_node()
        while table.get_input_size():
            table = table.input_value(0).get_node()
        if table.get_type_name() == "Constant":
            largest = max(largest, table.get_byte_size())
    return largest


if __name__ == "__main__":
    serve(answers(OpenVINO(Path(sys.argv[1]), int(sys.argv[2]))))
