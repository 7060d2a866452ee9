"""From a request to the sequences that answer it."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.admission import (
    check_beam_memory,
    check_kind,
    checked_length,
    checked_prompt,
)
from foreknown.engine.beam import BeamSearch, search_params
from foreknown.engine.detokenizer import Detokenizer, NoText
from foreknown.engine.program import Program
from foreknown.engine.promises import Commitment
from foreknown.engine.prompt_rows import Pooling, PromptLogprobs, PromptRows
from foreknown.engine.request import Request
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.sequence import Sequence
from foreknown.errors import RequestError


@dataclass(frozen=True)
class Admitted:
    """A request that can be served.

    Attributes:
        ids: of its answers.
        sequences: one for each; of a beam search the first alone.
        n_numbers: numbers that it takes.
    """

    ids: list[str]
    sequences: list[Sequence]
    n_numbers: int


class Intake:
    """Makes sequences for one program.

    Args:
        max_length: tokens of prompt and output together.
    """

    def __init__(
        self,
        program: Program,
        end_ids: frozenset[int],
        new_detokenizer: Callable[[], Detokenizer] | None,
        max_length: int,
    ) -> None:
        self._program, self._end_ids, self._max_length = program, end_ids, max_length
        self._has_text = new_detokenizer is not None
        self._new_detokenizer: Callable[[], Detokenizer] = new_detokenizer or NoText

    def admit(
        self,
        request: Request,
        number: int,
        arrival_ns: int,
        in_use: Container[str],
        commitment: Commitment | None = None,
    ) -> Admitted:
        """The sequences of a request.

        Args:
            number: of the first.
            in_use: ids that are taken.
            commitment: when it was promised to be done.

        Raises:
            RequestError: it cannot be served as asked.
        """
        beams = request.beams
        prompt, max_tokens = self.check(request)
        ids = _new_ids(request, number, in_use)
        new_sequence = self._maker(request, prompt, max_tokens, arrival_ns, commitment)
        if beams is not None:
            first = new_sequence(number, search_params(request.params, beams))
            BeamSearch(beams, ids, first, request.params, new_sequence)
            return Admitted(ids, [first], beams.width)
        sequences = [new_sequence(number + i, request.params, i) for i in range(len(ids))]
        for i, (sequence, request_id) in enumerate(zip(sequences, ids, strict=True)):
            sequence.request_id, sequence.asks = request_id, i == 0
        return Admitted(ids, sequences, len(ids))

    def check(self, request: Request) -> tuple[NDArray[np.int32], int]:
        """The prompt, i32[n], and the tokens of output at most.

        Raises:
            RequestError: it cannot be served as asked.
        """
        program = self._program
        check_kind(request, program, has_text=self._has_text)
        prompt = checked_prompt(request, program.vocab_size, self._max_length)
        max_tokens = checked_length(request, len(prompt), self._max_length)
        if request.beams is not None:
            check_beam_memory(request.beams, len(prompt), max_tokens, program.n_blocks)
        return prompt, max_tokens

    def _maker(
        self,
        request: Request,
        prompt: NDArray[np.int32],
        max_tokens: int,
        arrival_ns: int,
        commitment: Commitment | None,
    ) -> Callable[..., Sequence]:
        """Makes a request's sequences, alike but for (number, params, sample)."""
        given = request.params
        first_seed = int.from_bytes(os.urandom(8)) if given.seed is None else given.seed
        ends = frozenset(given.stop_token_ids)
        stop_ids = ends if given.ignore_eos else ends | self._end_ids

        def new_sequence(number: int, params: SamplingParams, sample: int = 0) -> Sequence:
            return Sequence(
                request_id="",
                number=number,
                arrival_ns=arrival_ns,
                prompt=prompt,
                max_tokens=max_tokens,
                params=params,
                stop_ids=stop_ids,
                seed=(first_seed + sample) % 2**64,
                detokenizer=self._new_detokenizer(),
                user=request.user,
                salt=request.salt,
                commitment=commitment,
                constraint=request.new_constraint() if request.new_constraint else None,
                prompt_rows=_prompt_rows(request, prompt),
            )

        return new_sequence


def _prompt_rows(request: Request, prompt: NDArray[np.int32]) -> PromptRows | None:
    if request.embed:
        return Pooling(request.embed, len(prompt))
    if request.prompt_logprobs is not None:
        return PromptLogprobs(prompt, request.prompt_logprobs)
    return None


def _new_ids(request: Request, number: int, in_use: Container[str]) -> list[str]:
    ids = answer_ids(request, request.id or f"request-{number}")
    for request_id in ids:
        if request_id in in_use:
            raise RequestError(
                f"the request id {request_id!r} is in use", remedy="give each request its own id"
            )
    return ids


def answer_ids(request: Request, name: str) -> list[str]:
    """The ids of a request's answers, if its own is `name`."""
    n = request.samples if request.beams is None else request.beams.n
    return [name] if n == 1 else [f"{name}-{i}" for i in range(n)]
