"""The reference: what transformers itself computes from a checkpoint, eagerly, in float32.

Each sequence runs alone, whole, without a cache: the plainest forward there is. Knows nothing of
how the checkpoint was made.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

Logits = npt.NDArray[np.float32]


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what transformers and torch say about a checkpoint: advice, warnings, progress."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_eager(directory: str | Path) -> PreTrainedModel:
    """The checkpoint's model in float32, attention and experts eager, in evaluation mode."""
    with quiet():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            directory,
            attn_implementation="eager",
            experts_implementation="eager",
            dtype=torch.float32,
            local_files_only=True,
        )
    model.eval()  # type: ignore[no-untyped-call]
    return model


def model_logits(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> list[Logits]:
    """Logits [len, vocab] of each sequence of token ids, each run alone from its first token."""
    result = []
    with quiet(), torch.inference_mode():
        for tokens in sequences:
            ids = torch.tensor([list(tokens)], dtype=torch.long)
            logits = model(input_ids=ids, use_cache=False).logits
            result.append(logits[0].to(torch.float32).numpy().copy())
    return result


def eager_logits(directory: str | Path, sequences: Sequence[Sequence[int]]) -> list[Logits]:
    """Logits [len, vocab], float32, of each sequence under the checkpoint in a directory.

    Deterministic for one machine and number of torch threads.
    """
    return model_logits(load_eager(directory), sequences)


def relative_error(found: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The largest difference, as a share of the largest expected magnitude."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-30))


def causality_error(
    model: PreTrainedModel, tokens: Sequence[int], prefixes: Sequence[int]
) -> float:
    """How much the logits of prefixes of some lengths differ from those of the whole sequence.

    Relative to the largest; infinite if there is not one row of logits for each token.
    """
    whole, *parts = model_logits(model, [tokens, *(tokens[:n] for n in prefixes)])
    if any(
        len(part) != n for part, n in zip([whole, *parts], [len(tokens), *prefixes], strict=True)
    ):
        return float("inf")
    return max(relative_error(part, whole[: len(part)]) for part in parts)
