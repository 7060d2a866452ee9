"""Runs many requests at once on one program: schedule, run, sample, postprocess.

Not thread-safe: one thread owns an engine. A step releases the interpreter lock while the
program runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from math import inf

from foreknown.engine.block_manager import BlockManager, blocks_for
from foreknown.engine.chunk import Chunk, decoding_shape, shape_of
from foreknown.engine.chunking import Chunking
from foreknown.engine.clock import Clock, MonotonicClock
from foreknown.engine.detokenizer import Detokenizer
from foreknown.engine.drift import MARGIN, Drift
from foreknown.engine.flat_batch import FlatBatch
from foreknown.engine.foresight import Foresight, InStep
from foreknown.engine.intake import Intake
from foreknown.engine.integrity import check_integrity
from foreknown.engine.neighbours import Outstanding
from foreknown.engine.output import Output
from foreknown.engine.postprocessor import Postprocessor
from foreknown.engine.program import Program
from foreknown.engine.promises import Foreseen, Promise
from foreknown.engine.request import Request
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.engine.snapshot import Capacity
from foreknown.engine.speculation import Speculation
from foreknown.engine.stats import Stats
from foreknown.engine.step_times import StepTimes, told_by
from foreknown.engine.step_watch import StepWatch
from foreknown.errors import RequestError
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.plan.price import Price, StepShape


class Engine:
    """Continues prompts.

    Args:
        program: the compiled model.
        end_ids: the model's end-of-sequence tokens.
        new_detokenizer: makes a streaming detokenizer for each sequence; None: outputs have
            no text, and stop strings are refused.
        clock: what the time is.
        speculate: guess tokens from those before, and compute the guesses along in one step,
            where that gives more tokens a second. Outputs are the same, only sooner.
        price: what a step takes, as forecast; corrected by what the clock shows. None: a cautious
            guess, and nothing is promised.
        margin: share by which steps are slower than forecast at most, on a machine that is as told.

    Attributes:
        n_steps: steps that were run.
        drift: how far steps are from what was forecast of them.
        capacity: what its scheduler may use.
        postprocessor: reads its steps.
    """

    def __init__(
        self,
        program: Program,
        *,
        end_ids: Iterable[int] = (),
        new_detokenizer: Callable[[], Detokenizer] | None = None,
        clock: Clock | None = None,
        speculate: bool = True,
        price: Price | None = None,
        margin: float = MARGIN,
    ) -> None:
        self.program = program
        self.end_ids = frozenset(end_ids)
        self.clock: Clock = MonotonicClock() if clock is None else clock
        self.max_length = min(program.context, program.n_blocks * BLOCK_TOKENS)
        self._intake = Intake(program, self.end_ids, new_detokenizer, self.max_length)
        self.blocks = BlockManager(
            program.n_blocks,
            program.max_rows,
            blocks_for(self.max_length),
            tails=program.rewindable,
        )
        times = StepTimes(told_by(price), program.context / 2)
        self.chunking = Chunking(times)
        self.speculation = Speculation(times) if speculate and program.rewindable else None
        self.drift = drift = Drift(margin)
        self.scheduler = Scheduler(
            self.blocks,
            program.max_tokens,
            program.max_rows,
            self.speculation,
            self.chunking,
            None if price is None else lambda shape: drift.slowest * price.seconds(shape),
        )
        self._lock = threading.Lock()
        self._in_step = InStep()
        self.capacity = Capacity(
            program.max_tokens,
            program.max_rows,
            program.n_blocks,
            self.max_length,
            program.rewindable,
        )
        self._foresight: Foresight | None = None
        if price is not None:
            self._foresight = Foresight(
                self.scheduler,
                self.capacity,
                price,
                self.drift,
                self.clock,
                self._lock,
                self._in_step,
            )
        self._price, self._shares = price, False
        self._watch = StepWatch(price, self.drift)
        self._batch = FlatBatch(program.max_tokens, program.max_rows, self.blocks.tables)
        self._sequences: dict[str, Sequence] = {}
        self.postprocessor = Postprocessor(program, self.blocks, self.scheduler, self._sequences)
        self._news: list[Output] = []
        self._n_added = 0
        self.n_steps = 0
        self._step_seconds, self._step_tokens = 0.0, 0

    @property
    def n_drafted(self) -> int:
        """Tokens that were guessed."""
        return self.postprocessor.n_drafted

    @property
    def n_accepted(self) -> int:
        """Guesses that were right, each a token that cost no step of its own."""
        return self.postprocessor.n_accepted

    @property
    def has_work(self) -> bool:
        """Whether a step would give or compute anything."""
        return bool(self._news) or self.scheduler.has_work

    def stats(self) -> Stats:
        """What it is doing now; may be asked from any thread."""
        scheduler, blocks = self.scheduler, self.blocks
        return Stats(
            running=len(scheduler.running),
            waiting=scheduler.n_waiting,
            total_blocks=blocks.n_blocks,
            held_blocks=blocks.n_blocks - blocks.n_free,
            cached_blocks=len(blocks.cached),
            prefix_asked=blocks.n_asked,
            prefix_found=blocks.n_found,
            preemptions=scheduler.n_preemptions,
            step_seconds=self._step_seconds,
            step_tokens=self._step_tokens,
        )

    def company(self) -> StepShape:
        """What a step has beside a newcomer: a token of all that run; from any thread."""
        with self._lock:
            contexts = [sequence.n_tokens for sequence in self.scheduler.running]
        return StepShape(len(contexts), len(contexts), sum(contexts), sum(contexts))

    def check(self, request: Request) -> None:
        """Whether a request can be served; may be asked from any thread.

        Raises:
            RequestError: as `add`, but for its id.
        """
        self._intake.check(request)

    def add(self, request: Request) -> str:
        """Queue a request; returns its id, of several answers the first one's.

        Raises:
            RequestError: the prompt is empty, too long or not in the vocabulary; a parameter
                does not fit this model; the id is in use.
        """
        return self.add_samples(request)[0]

    def add_samples(self, request: Request) -> list[str]:
        """Queue a request; returns an id for each of its answers.

        All share the prompt's blocks: it is computed once, then each draws on its own.

        Raises:
            RequestError: see `add`; nothing is queued then.
        """
        foresight, now_ns = self._foresight, self.clock.now_ns()
        if request.objective is not None:
            if not request.id:
                request = replace(request, id=f"request-{self._n_added}")
            if foresight is None or not foresight.expects(request.id):
                self.reserve(request)
        commitment = None if foresight is None else foresight.commitment(request.id)
        try:
            admitted = self._intake.admit(
                request, self._n_added, now_ns, self._sequences, commitment
            )
        except BaseException:
            self.release(request.id)
            raise
        self._n_added += admitted.n_numbers
        first, *followers = admitted.sequences
        for i, request_id in enumerate(admitted.ids):
            self._sequences[request_id] = followers[i - 1] if i and followers else first
        with self._lock:
            self.scheduler.add(first, followers)
            if foresight is not None:
                foresight.take(request.id)
        return admitted.ids

    def foresee(self, request: Request) -> Foreseen:
        """What a request would take if it came now, at its greatest length.

        Runs nothing; may be asked from any thread.

        Raises:
            RequestError: it could not be served, or the price of steps is not known.
        """
        prompt, max_tokens = self._intake.check(request)
        return self._foresees().foresee(request, len(prompt), max_tokens)

    def check_promise(self, request: Request) -> None:
        """Whether a request could be promised what it wants; nothing is promised.

        Raises:
            NotPromised, RequestError: see `reserve`.
        """
        assert request.objective is not None
        prompt, max_tokens = self._intake.check(request)
        self._foresees().promised(request, request.objective, len(prompt), max_tokens)

    def reserve(self, request: Request) -> Promise:
        """Promise a request what it wants, and keep the time for it until it is added.

        May be asked from any thread, one at a time.

        Args:
            request: with an id and an objective.

        Raises:
            NotPromised: it, or an earlier promise, could not be kept.
            RequestError: it could not be served, or the price of steps is not known.
        """
        assert request.objective is not None
        assert request.id
        prompt, max_tokens = self._intake.check(request)
        self._foresees().reserve(request, request.objective, len(prompt), max_tokens)
        return Promise.of(request.objective)

    def share(self, others: Iterable[Engine]) -> None:
        """Take steps in turns with other engines, and keep what they promise, too."""
        self._shares = True
        if self._foresight is not None:
            found = (one._foresight for one in others)
            self._foresight.neighbours = tuple(one for one in found if one is not None)

    @property
    def holds_promises(self) -> bool:
        """Whether anybody here was promised a time, or will come who was."""
        foresight = self._foresight
        return self.scheduler.has_promised or (foresight is not None and foresight.n_expected > 0)

    def outstanding(self) -> Outstanding | None:
        """What was promised here and has not come to its end; None: nothing."""
        return None if self._foresight is None else self._foresight.outstanding()

    def longest_step_s(self) -> float:
        """What the next step takes at most; infinite: nobody knows."""
        if self._price is None:
            return inf
        with self._lock:
            every = (*self.scheduler.running, *self.scheduler.waiting)
            n_tokens = min(sum(one.n_pending for one in every), self.program.max_tokens)
            kept = sum(one.n_tokens for one in every)
            longest = max((one.n_tokens for one in every), default=0)
        rows = min(len(every), self.program.max_rows)
        shape = StepShape(n_tokens, rows, n_tokens * longest, kept)
        return self.drift.slowest * self._price.seconds(shape)

    def release(self, request_id: str) -> None:
        """Give back the time that was kept for a request which does not come."""
        if self._foresight is not None:
            self._foresight.release(request_id)

    def step(self) -> list[Output]:
        """Run one step; the tokens it gave, in scheduling order."""
        start_ns = self.clock.now_ns()
        if self._foresight is not None and self.scheduler.has_promised:
            self._foresight.look_again(start_ns)
        with self._lock:
            chunks = self.scheduler.schedule(start_ns)
            self._in_step.chunks, self._in_step.start_ns = chunks, start_ns
        self._watch.begin(chunks, start_ns)
        if chunks:
            try:
                self.blocks.copy_blocks(self.program.copy_block)
                batch, mixed = self._batch.fill(chunks), self._mixed(chunks)
                logits = self.program.step(batch)
                chosen = self.postprocessor.sample(logits, chunks)
                now_ns = self.clock.now_ns()
                with self._lock:
                    outputs = self.postprocessor.outputs(chunks, chosen, logits, now_ns)
                    self._in_step.chunks = ()
            finally:
                with self._lock:
                    self.scheduler.settle()
                    self._in_step.chunks = ()
            self._learn(len(chunks), batch, mixed, len(outputs), now_ns - start_ns)
            if self._shares:  # what comes next may be another's step
                self._watch.begin((), now_ns)
            if not self.scheduler.has_work:
                self._watch.idle()
            self._news += outputs
        news, self._news = self._news, []
        return news

    def cancel(self, request_id: str) -> bool:
        """End a request now and free its blocks; False if it is not here (any more).

        Its last output, with what text was held back, comes with the next step. The answers of
        a beam search end together.
        """
        with self._lock:
            last = self.postprocessor.cancel(request_id, self.clock.now_ns())
        self._news += last
        return bool(last)

    def generate(self, requests: Iterable[Request]) -> Iterator[Output]:
        """Queue requests and run steps until they are finished; gives their outputs as they come.

        For a caller that has the engine to itself: outputs of other requests are dropped.
        Closing the iterator cancels what is not finished.

        Raises:
            RequestError: a request is refused (none stays queued then).
            ForeknownError: a request ended in an error.
        """
        own: set[str] = set()
        try:
            for request in requests:
                own.update(self.add_samples(request))
            while own:
                for output in self.step():
                    if output.request_id not in own:
                        continue
                    if output.finish_reason is not None:
                        own.discard(output.request_id)
                    if output.error is not None:
                        raise output.error
                    yield output
        finally:
            for request_id in own:
                self.cancel(request_id)

    def check_integrity(self) -> None:
        """Check that no block or sequence is lost; callable between any two steps.

        Raises:
            IntegrityError: one is.
        """
        check_integrity(self.scheduler)

    def _foresees(self) -> Foresight:
        if self._foresight is None:
            raise RequestError(
                "what steps take is not known here, so nothing can be promised or forecast",
                remedy="leave the objective out",
                field="objective",
            )
        return self._foresight

    def _mixed(self, chunks: list[Chunk[Sequence]]) -> tuple[StepShape, StepShape] | None:
        """A step without its prompts, and with them; None: there are no prompts."""
        if len(chunks) == self.scheduler.n_decoding:
            return None
        return decoding_shape(chunks), shape_of(chunks)

    def _learn(
        self,
        n_chunks: int,
        batch: Batch,
        mixed: tuple[StepShape, StepShape] | None,
        n_outputs: int,
        took_ns: int,
    ) -> None:
        """What a step took and gave, for the decisions about the next ones."""
        self.n_steps += 1
        seconds, n_tokens = took_ns / 1e9, len(batch.tokens)
        self._step_seconds, self._step_tokens = seconds, n_tokens
        if mixed is not None:
            self.chunking.observe(*mixed, seconds)
            return
        context = partial(_mean_context, batch)
        if self.speculation is None:
            self.chunking.decode.observe_plain(n_tokens, seconds, context)
        else:
            n_drafts = n_tokens - n_chunks
            self.speculation.observe(n_tokens, n_drafts, n_outputs, seconds, context)


def _mean_context(batch: Batch) -> float:
    """Positions that a token attends to."""
    return float(batch.positions.mean()) + 1
