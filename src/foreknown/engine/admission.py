"""Says what cannot be served as it is asked, before anything of it is queued."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.block_manager import blocks_for
from foreknown.engine.program import Program
from foreknown.engine.request import Beams, Request
from foreknown.engine.sampling import MAX_LOGPROBS
from foreknown.errors import RequestError

MAX_SAMPLES = 1024
_LONGER = "compile with a longer --context"


def checked_prompt(request: Request, vocab_size: int, longest: int) -> NDArray[np.int32]:
    """The prompt's tokens, i32[n].

    Args:
        longest: tokens of prompt and output together.

    Raises:
        RequestError: it is empty, too long, or not of the vocabulary.
    """
    try:
        prompt = np.asarray(request.prompt)
    except ValueError:
        prompt = np.zeros((0, 0))
    if prompt.ndim != 1 or (prompt.size and prompt.dtype.kind not in "iu"):
        raise RequestError(
            "the prompt is not a list of token ids", remedy="give token ids", field="prompt"
        )
    if not prompt.size:
        raise RequestError("the prompt is empty", remedy="give at least one token", field="prompt")
    if len(prompt) >= longest + bool(request.embed):
        raise RequestError(
            f"the prompt has {len(prompt)} tokens, which is longer than the model's context length "
            f"of {longest} allows for prompt and output together",
            remedy=f"shorten the prompt, or {_LONGER}",
            field="prompt",
            too_long=True,
        )
    if prompt.min() < 0 or prompt.max() >= vocab_size:
        worst = int(prompt.min() if prompt.min() < 0 else prompt.max())
        raise RequestError(
            f"token {worst} of the prompt is not in the vocabulary (0 to {vocab_size - 1})",
            remedy="use the model's own tokenizer",
            field="prompt",
        )
    return prompt.astype(np.int32)


def checked_length(request: Request, n_prompt: int, longest: int) -> int:
    """Tokens of output at most.

    Raises:
        RequestError: the context has no room for what is asked for.
    """
    if request.embed:
        return 0
    room = longest - n_prompt
    params = request.params
    for name, wanted in (("max_tokens", params.max_tokens), ("min_tokens", params.min_tokens)):
        if wanted is not None and wanted > room:
            more = f", or {_LONGER}" if name == "max_tokens" else ""
            raise RequestError(
                f"{name} is {wanted}, but after a prompt of {n_prompt} tokens there is room for "
                f"{room}",
                remedy=f"ask for at most {room} tokens{more}",
                field=name,
                too_long=True,
            )
    return room if params.max_tokens is None else params.max_tokens


def check_kind(request: Request, program: Program, *, has_text: bool) -> None:
    """Refuse settings that do not go together, or not with this model.

    Raises:
        RequestError: names the field.
    """
    request.params.check_vocabulary(program.vocab_size)
    if request.params.stop and not has_text:
        raise RequestError(
            "stop strings are given to an engine without a tokenizer",
            remedy="use stop_token_ids",
            field="stop",
        )
    _check_whole("samples", request.samples, MAX_SAMPLES)
    scores = request.prompt_logprobs
    if scores is not None:
        _check_whole("prompt_logprobs", scores, MAX_LOGPROBS, least=0)
    if request.embed:
        _check_embed(request, program)
    if request.beams is not None:
        _check_beams(request, request.beams, program)


def check_beam_memory(beams: Beams, n_prompt: int, max_tokens: int, n_blocks: int) -> None:
    """Refuse a search whose beams may need more blocks than there are, so that it always ends.

    Raises:
        RequestError: says how many tokens would do.
    """
    if beams.width * blocks_for(n_prompt + max_tokens) > n_blocks:
        most = n_blocks // beams.width * 16 - n_prompt
        raise RequestError(
            f"{beams.width} beams of {n_prompt + max_tokens} tokens need more than the "
            f"{n_blocks} blocks of state that there are",
            remedy=f"ask for at most {most} tokens" if most > 0 else "ask for fewer beams",
            field="max_tokens",
        )


def _check_embed(request: Request, program: Program) -> None:
    if request.embed not in ("mean", "last", "first"):
        raise RequestError(
            f"embed is {request.embed!r}, where mean, last or first is expected", field="embed"
        )
    if not program.hidden_size:
        raise RequestError(
            "this model has no hidden state before its head",
            remedy="use a model whose last operation is a product with its vocabulary",
            field="embed",
        )
    others = (
        request.samples != 1,
        request.beams is not None,
        request.new_constraint is not None,
        request.prompt_logprobs is not None,
    )
    if any(others):
        raise RequestError(
            "an embedding has no output, so no samples, beams, constraint or log-probabilities",
            field="embed",
        )


def _check_beams(request: Request, beams: Beams, program: Program) -> None:
    params = request.params
    widest = min(program.max_rows, program.max_tokens, MAX_LOGPROBS // 2)
    _check_whole("the width of beams", beams.width, widest, field="beams")
    _check_whole("n of beams", beams.n, beams.width, field="beams")
    if not -10 <= beams.length_penalty <= 10:
        raise RequestError(
            f"length_penalty is {beams.length_penalty}, where a number from -10 to 10 is expected",
            field="length_penalty",
        )
    if not program.rewindable:
        raise RequestError(
            "this model keeps one state for its whole past, so beams cannot part within a block",
            remedy="ask for samples instead",
            field="beams",
        )
    for name, is_set in (
        ("samples", request.samples != 1),
        ("a constraint", request.new_constraint is not None),
        ("a penalty", params.penalises),
        ("logit_bias", bool(params.logit_bias)),
        ("min_tokens", params.min_tokens > 0),
    ):
        if is_set:
            raise RequestError(
                f"beam search goes by the model's own probabilities: {name} has no meaning there",
                remedy="leave it out, or sample",
                field="beams",
            )


def _check_whole(name: str, value: object, most: int, *, least: int = 1, field: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RequestError(
            f"{name} is {value!r}, where a whole number from {least} to {most} is expected",
            field=field or name,
        )
