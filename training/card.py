"""Writes the model card from a run and its scores: `python -m training.card --run R --scores S`."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open

from training import snapshot

_CARD = """\
---
license: apache-2.0
library_name: foreknown
tags: [llama, synthetic-data, arithmetic]
---

# The bundled model

A small language model that comes with Foreknown, so that every command has something real to run:
{parameters:,} parameters, Llama architecture, trained from scratch on problems that a seeded program
writes. It answers short word problems in worked steps, does sums, plays countdown, checks a draft
answer step by step, and says a few sentences about itself. It knows nothing else.

| | |
|---|---|
| shape | {layers} layers, width {width}, inner {inner}, {heads} heads of {head_width}, \
{kv_heads} key-value heads, tied embeddings |
| vocabulary | {vocabulary} rows; byte-level BPE, every digit and operator its own token |
| context | {context} tokens (most training conversations are shorter than 300) |
| weights | bfloat16, {megabytes:.1f} MB |
| chat format | `<|im_start|>role`, text, `<|im_end|>` (see `chat_template.jinja`) |
| licence | Apache-2.0 |

## Data

Five kinds of problems from the generators in `training/problems/`; no text from outside, no people's
data. Each problem has a key (its template and numbers, without the names); a hash of the key decides
whether it may be trained on, so the problems measured below were never seen, not even with other
names. Only the assistant's turns are learned, and no wrong draft is.

## Training

{tokens:.2f} million tokens ({learned:.2f} million of them learned), {steps:,} steps, \
{hours:.2f} hours of a shared 2-core
x86-64 CPU (bfloat16, `torch.compile`, lowest priority beside other work: {speed:,.0f} tokens per second
on average). Muon for the matrices, AdamW for the rest; warm up, hold, linear decay. See
`training/README.md` for the commands.

## Accuracy

Greedy decoding, unseen problems, exact checkers, 95 % Wilson intervals. `foreknown` aside, the command
is `python -m training.evaluate src/foreknown/bundled --problems {n}`.

| | right | 95 % interval | n |
|---|---|---|---|
{table}

`reflection` is the model checking its own answers: the first answer to each word problem, then its
reply to "Check your answer and correct it if it is wrong."

## Limits

- It is tiny and was trained for little more than an hour. It slips in sums with carries, in products \
of
  two-digit numbers and in stories of three or four steps, and says wrong things with confidence.
- Only problems worded much like its training data are understood. English only. No world knowledge.
- Its checks are sums done again, not proofs: it also mends what was right and keeps what was wrong,
  as often as the table says.
- Countdown beyond three small numbers is guesswork.
- Not for use in anything that matters.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True, help="from training.evaluate --json")
    parser.add_argument("--to", type=Path, default=Path("src/foreknown/bundled"))
    arguments = parser.parse_args()
    text = card(arguments.run, json.loads(arguments.scores.read_text()), arguments.to)
    (arguments.to / "README.md").write_text(text)


def card(run: Path, scores: dict[str, dict[str, Any]], checkpoint: Path) -> str:
    """The card's text; every figure in it comes from the run, the scores or the checkpoint."""
    state = snapshot.load(run, "cpu")
    if state is None:
        raise SystemExit(f"{run} holds no {snapshot.FILE}")
    progress = state["progress"]
    config = json.loads((checkpoint / "config.json").read_text())
    weights = checkpoint / "model.safetensors"
    with safe_open(weights, "pt") as opened:
        parameters = sum(opened.get_tensor(name).numel() for name in opened.keys())  # noqa: SIM118
    rows = [
        f"| {_name(name)} | {score['share']:.1%} | {score['interval'][0]:.1%}"
        f" to {score['interval'][1]:.1%} | {score['n']} |"
        for name, score in scores.items()
    ]
    return _CARD.format(
        parameters=parameters,
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        heads=config["num_attention_heads"],
        head_width=config["head_dim"],
        kv_heads=config["num_key_value_heads"],
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        megabytes=weights.stat().st_size / 1e6,
        tokens=progress["tokens"] / 1e6,
        learned=progress["learned_tokens"] / 1e6,
        steps=progress["step"],
        hours=progress["spent_s"] / 3600,
        speed=progress["tokens"] / progress["spent_s"],
        n=max(score["n"] for score in scores.values()),
        table="\n".join(rows),
    )


def _name(label: str) -> str:
    """Kinds in bold, their sub-kinds plain."""
    return label if re.search(": ", label) else f"**{label}**"


if __name__ == "__main__":
    main()
