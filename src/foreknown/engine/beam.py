"""Beam search: the likeliest whole answers, rather than the likeliest next token each time.

Beams are ordinary sequences of one prompt that advance together: whoever has its row waits, with
nothing pending, until all have theirs. Then the best continuations of all are chosen. A beam that
goes on in more than one way is continued by others that ended or fell behind; these start again,
and find the state of what they share with it in the prefix cache.

As in transformers with early_stopping=True: of the 2 · width best continuations those that end
are finished if they are among the best `width`, the others are the next beams; the search ends
as soon as `width` answers are finished. Of equals the better beam, then the lower token comes
first, so what is found does not depend on company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from foreknown.engine.output import FinishReason, Output, TokenLogprob
from foreknown.engine.reading import read, stopped_by
from foreknown.engine.request import Beams
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.errors import ForeknownError

Best = tuple[tuple[int, float], ...]
"""Tokens and their log-probabilities, best first."""


def search_params(params: SamplingParams, beams: Beams) -> SamplingParams:
    """How rows of beams are sampled: only the best log-probabilities are looked at."""
    return replace(params, temperature=0.0, seed=0, logprobs=2 * beams.width)


@dataclass(frozen=True)
class _Step:
    """One token of an answer, and those before it."""

    before: _Step | None
    token: int
    logprob: float
    best: Best

    def path(self) -> list[_Step]:
        """All steps up to this one, the first one first."""
        steps: list[_Step] = []
        step: _Step | None = self
        while step is not None:
            steps.append(step)
            step = step.before
        return steps[::-1]


@dataclass
class _Beam:
    """An answer that goes on.

    Attributes:
        score: sum of its log-probabilities.
        best: what may come next; set when its row is computed.
    """

    sequence: Sequence
    score: float
    step: _Step | None
    best: Best = ()


@dataclass(frozen=True)
class _Answer:
    """One that ended.

    Attributes:
        score: as answers are compared.
    """

    score: float
    step: _Step
    reason: FinishReason


class BeamSearch:
    """One request's beams, from its prompt to its answers.

    Args:
        ids: of the answers to be given, the best one first.
        first: computes the prompt.
        params: as the caller gave them.
        new_sequence: makes one more beam, or one to read an answer with, of the same prompt.

    Attributes:
        failure: why it cannot go on.
    """

    def __init__(
        self,
        beams: Beams,
        ids: list[str],
        first: Sequence,
        params: SamplingParams,
        new_sequence: Callable[[int, SamplingParams], Sequence],
    ) -> None:
        self.ids = ids
        self.width = beams.width
        self.failure: ForeknownError | None = None
        self._beams, self._params, self._new_sequence = beams, params, new_sequence
        self._live = [_Beam(first, 0.0, None)]
        self._spare: list[Sequence] = []
        self._n_made = 1
        self._answers: list[_Answer] = []
        self._first = first
        first.beams = self

    @property
    def sequences(self) -> list[Sequence]:
        """All beams, those that are not in use among them."""
        return [*(beam.sequence for beam in self._live), *self._spare]

    def arrive(self, sequence: Sequence, best: Best) -> None:
        """Take what may come next in one of the beams, whose row was computed."""
        beam = next(beam for beam in self._live if beam.sequence is sequence)
        beam.best = best

    @property
    def is_level(self) -> bool:
        """Whether all beams have their rows, so that they can advance."""
        return not any(beam.sequence.n_pending for beam in self._live)

    def advance(self, scheduler: Scheduler[Sequence]) -> bool:
        """Choose the next beams; whether the search goes on."""
        n_output = self._live[0].sequence.n_output + 1
        following = self._choose(n_output)
        is_last = n_output == self._first.max_tokens
        if is_last and len(self._answers) < self.width:
            for beam in following:
                assert beam.step is not None
                self._end(beam.score, n_output, beam.step, "length")
        if is_last or not following or len(self._answers) >= self.width:
            return False
        self._continue(following, scheduler)
        return True

    def finish(self, scheduler: Scheduler[Sequence]) -> None:
        """Take all beams out."""
        for sequence in self.sequences:
            scheduler.finish(sequence)

    def outputs(self, time_ns: int) -> Iterator[Output]:
        """The answers, best first, token by token."""
        answers = sorted(self._answers, key=lambda answer: -answer.score)
        for place, request_id in enumerate(self.ids):
            n_cached = self._first.n_cached if place == 0 else 0
            if place < len(answers):
                yield from self._read(request_id, answers[place], time_ns, n_cached)
                continue
            error = ForeknownError(
                f"beam search found {len(answers)} answers where {len(self.ids)} are wanted",
                remedy="ask for fewer, or for wider beams",
            )
            yield Output(
                request_id, time_ns, None, finish_reason="error", error=error, n_cached=n_cached
            )

    def _choose(self, n_output: int) -> list[_Beam]:
        """The best beams after one more token, each with the sequence it comes from."""
        width = self.width
        ranked = sorted(
            (
                (-(beam.score + logprob), place, token, logprob)
                for place, beam in enumerate(self._live)
                for token, logprob in beam.best
                if logprob > -float("inf")
            ),
        )
        following: list[_Beam] = []
        for rank, (loss, place, token, logprob) in enumerate(ranked[: 2 * width]):
            if len(following) == width:
                break
            parent = self._live[place]
            step = _Step(parent.step, token, logprob, parent.best)
            if self._ends(parent.sequence, step):
                if rank < width:
                    self._end(-loss, n_output, step, "stop")
            else:
                following.append(_Beam(parent.sequence, -loss, step))
        return following

    def _ends(self, parent: Sequence, step: _Step) -> bool:
        if step.token in parent.stop_ids:
            return True
        if not self._params.stop:
            return False
        reader = self._new_reader("")
        return any(_append(reader, each.token)[1] == "stop" for each in step.path())

    def _end(self, score: float, n_output: int, step: _Step, reason: FinishReason) -> None:
        self._answers.append(_Answer(score / n_output**self._beams.length_penalty, step, reason))

    def _continue(self, following: list[_Beam], scheduler: Scheduler[Sequence]) -> None:
        """Give every beam a sequence: its parent's if it is the first child, else a spare one."""
        kept: list[_Beam] = []
        more: list[_Beam] = []
        parents: set[int] = set()
        for beam in following:
            (more if beam.sequence.number in parents else kept).append(beam)
            parents.add(beam.sequence.number)
        for old in self._live:
            if old.sequence.number not in parents:
                scheduler.withdraw(old.sequence)
                self._spare.append(old.sequence)
        for beam in more:
            assert beam.step is not None
            parent = beam.sequence
            scheduler.blocks.register_tail(parent, parent.n_computed)
            beam.sequence = self._spare.pop() if self._spare else self._make()
            beam.sequence.continue_from(parent, beam.step.token)
            scheduler.put_back(beam.sequence)
        for beam in kept:
            assert beam.step is not None
            beam.sequence.append(beam.step.token)
        self._live = following

    def _make(self) -> Sequence:
        number = self._first.number + self._n_made
        self._n_made += 1
        made = self._new_sequence(number, self._first.params)
        made.order = (*self._first.order[:2], number)
        made.beams, made.asks, made.has_started = self, False, True
        made.prompt_rows = None
        return made

    def _new_reader(self, request_id: str) -> Sequence:
        reader = self._new_sequence(self._first.number, self._params)
        reader.request_id = request_id
        return reader

    def _read(
        self, request_id: str, answer: _Answer, time_ns: int, n_cached: int
    ) -> Iterator[Output]:
        reader = self._new_reader(request_id)
        wanted = self._params.logprobs
        prompt_logprobs: tuple[TokenLogprob, ...] = self._first.prompt_logprobs or ()
        path = answer.step.path()
        for step in path:
            text, reason = _append(reader, step.token)
            is_last = step is answer.step
            yield Output(
                request_id,
                time_ns,
                step.token,
                text,
                None if wanted is None else step.logprob,
                step.best[:wanted] if wanted else (),
                (reason or answer.reason) if is_last else None,
                n_cached=n_cached if is_last else 0,
                prompt_logprobs=prompt_logprobs if step is path[0] else (),
                stopped_by=stopped_by(reader) if is_last else None,
            )


def _append(reader: Sequence, token: int) -> tuple[str, FinishReason | None]:
    reader.append(token)
    return read(reader, token)
