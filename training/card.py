"""Writes the model card: `python -m training.card --scores training/scores.json`."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open

_TEMPLATE = Path(__file__).with_name("card_template.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scores", type=Path, nargs="+", required=True, help="from training.evaluate --json"
    )
    parser.add_argument("--to", type=Path, default=Path("src/foreknown/bundled"))
    arguments = parser.parse_args()
    scores: dict[str, dict[str, Any]] = {}
    for path in arguments.scores:
        scores |= json.loads(path.read_text())
    text = card(scores, arguments.to)
    (arguments.to / "README.md").write_text(text)


def card(scores: dict[str, dict[str, Any]], checkpoint: Path) -> str:
    """The card's text; every figure in its tables comes from the scores or the checkpoint."""
    config = json.loads((checkpoint / "config.json").read_text())
    weights = checkpoint / "model.safetensors"
    with safe_open(weights, "pt") as opened:
        parameters = sum(opened.get_tensor(name).numel() for name in opened.keys())  # noqa: SIM118
    rows = [
        f"| {_name(name)} | {score['share']:.1%} | {score['interval'][0]:.1%}"
        f" to {score['interval'][1]:.1%} | {score['n']} |"
        for name, score in scores.items()
    ]
    return _TEMPLATE.read_text().format(
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
        n=max(score["n"] for score in scores.values()),
        table="\n".join(rows),
    )


def _name(label: str) -> str:
    """Kinds in bold, their sub-kinds plain."""
    return label if re.search(": ", label) else f"**{label}**"


if __name__ == "__main__":
    main()
