"""Foreknown compiles a trained language model into a program whose cost is known before it runs.

    with foreknown.open() as model:
        print(model.answer("How much is 6 times 7?", "vote(8)", deadline_ms=500).choice.text)

What takes long to import is imported when a model is opened.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from foreknown.api import Model

__version__ = "0.4.0"


def open(
    model: str | PathLike[str] | None = None,
    *,
    weights: Literal["f32", "bf16", "int8", "int4"] | None = None,
    state: Literal["f32", "bf16", "int8"] | None = None,
    group: Literal[32, 64] = 32,
    context: int | None = None,
    trust_code: bool = False,
    threads: int | None = None,
    sequences: int = 1,
    speculate: bool = True,
) -> Model:
    """Bring a model to where it can answer; it ends with its `with` block, or when it is closed.

    Args:
        model: an artifact or a checkpoint's directory; None: the bundled model. A checkpoint is
            compiled on first use and kept in the cache, as the next five say.
        weights: format of the matrices; None: as the checkpoint stores them.
        state: format of keys and values; None: f32, for int4 weights int8.
        group: weights that share a scale in int8 and int4.
        context: tokens of the longest sequence; None: the model's own, up to 4096.
        trust_code: whether Python code that the checkpoint brings may run.
        threads: of a step; None: all processors of this process.
        sequences: of full context that there is memory for; drafts that find none wait.
        speculate: guess tokens ahead; answers are the same, only sooner.

    Raises:
        RequestError: an option outside its range.
        ForeknownError: there is no such model, it is damaged, does not compile or does not fit.
    """
    from pathlib import Path

    from foreknown.artifact.find import Found, find_artifact
    from foreknown.opening import chosen_options, load_model

    options = chosen_options(weights, state, group, context, trust_code=trust_code)
    path = None if model is None else Path(model)

    def find(afresh: bool) -> Found:
        return find_artifact(path, options, afresh=afresh)

    opened = load_model(find, threads=threads, sequences=sequences, speculate=speculate)
    opened.warm_up()
    return opened
