"""A model in this process: opened once, it answers and says what answers will take.

The command line is made of it, too. What takes long to import is imported when it is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from foreknown.errors import RequestError
from foreknown.opening import check_whole

if TYPE_CHECKING:
    from foreknown.artifact import Artifact, LoadedProgram
    from foreknown.checkpoint import Checkpoint
    from foreknown.engine import Engine, Request, SamplingParams
    from foreknown.machine import Machine
    from foreknown.plan.price import StepPrice
    from foreknown.report.forecast import Forecast
    from foreknown.report.phase_times import PhaseTimes
    from foreknown.strategies.answer import Answer, Terms
    from foreknown.strategies.compose import Kit
    from foreknown.strategies.strategy import Message, Problem
    from foreknown.strategies.templates import Templates
    from foreknown.strategies.verifiers import Verdict, Verifier

Prompt: TypeAlias = "str | Sequence[Message]"
"""What a user says, or a whole conversation: {"role": …, "content": …}, …"""
Judge: TypeAlias = "Verifier | str | Callable[[str, str], bool | float | Verdict]"
"""A verifier, its name as at the command line, or a function of a question and an answer."""

MOST_TOKENS = 1 << 30


@dataclass(eq=False)
class Model:
    """A loaded model. It does one thing at a time; `foreknown serve` answers many users at once.

    Attributes:
        resident_before: bytes this process held, less the program that was loaded.
        load_ms: to find, check and map it and to read its tokenizer; not to compile it.
        phase_times: of every step, if FOREKNOWN_DEBUG asks for them.
    """

    artifact: Artifact
    loaded: LoadedProgram
    checkpoint: Checkpoint
    engine: Engine
    price: StepPrice
    resident_before: int
    load_ms: float
    phase_times: PhaseTimes | None
    _turn: Lock = field(default_factory=Lock, repr=False)
    _is_closed: bool = False

    def warm_up(self) -> None:
        """Take a few steps for nobody, if steps are short; it counts as loading."""
        from foreknown.engine.warming import warm_up

        start = time.perf_counter()
        warm_up(self.loaded.program, self.price)
        self.load_ms += (time.perf_counter() - start) * 1e3

    def generate(self, prompt: Prompt, *, raw: bool = False, **sampling: Any) -> Iterator[str]:
        """The text of an answer, piece by piece; closing the iterator ends it.

        Args:
            raw: continue the text itself, even if the model has a chat template.
            sampling: `max_tokens`, `temperature`, `seed`, `stop` and all else that
                `foreknown.engine.SamplingParams` has; else as the checkpoint says, else greedy.

        Raises:
            RequestError: it cannot be served as asked, or the model is closed or busy.
        """
        from foreknown.engine import Request

        request = Request(self.ids(prompt, raw=raw), self.params(**sampling))
        self.engine.check(request)
        return self._texts(request)

    def answer(
        self,
        prompt: Prompt,
        strategy: str = "direct",
        *,
        deadline_ms: float | None = None,
        budget_tokens: int | None = None,
        max_joules: float | None = None,
        max_usd: float | None = None,
        verifier: Judge | None = None,
        templates: Templates | Path | str | None = None,
        allow_code: bool = False,
        raw: bool = False,
        **sampling: Any,
    ) -> Answer:
        """An answer by a strategy, within a budget: `answer.choice.text`.

        Args:
            strategy: as in "vote(8)".
            deadline_ms: until the answer.
            budget_tokens: of all drafts together; `max_tokens` is of each.
            max_joules: that the machine draws meanwhile.
            max_usd: that it costs meanwhile.
            verifier: where the strategy names none.
            templates: what the model is asked beside the question; a path is a TOML file.
            allow_code: whether verifiers may run what the model wrote.
            raw, sampling: see `generate`; of each draft.

        Raises:
            RequestError: as `generate`; or strategy, verifier, templates or budget make no sense.
        """
        from foreknown.strategies.answer import answer
        from foreknown.strategies.budget import Budget
        from foreknown.strategies.expression import parse

        budget = Budget(deadline_ms, budget_tokens, max_joules, max_usd)
        call, kit = parse(strategy), new_kit(verifier, templates, allow_code=allow_code)
        with self._one_at_a_time():
            problem = self.problem(prompt, self.params(**sampling), raw=raw)
            return answer(self.engine, call, kit, problem, budget, self.terms(raw=raw))

    def forecast(self, prompt: Prompt, max_tokens: int, *, raw: bool = False) -> Forecast:
        """What an answer of so many tokens will take on this machine; nothing is run.

        Raises:
            RequestError: it is more than the context holds.
        """
        from foreknown.artifact.planned import planned_artifact
        from foreknown.report.forecast import Case, forecast

        check_whole("max_tokens", max_tokens, MOST_TOKENS)
        case = Case(len(self.ids(prompt, raw=raw)), max_tokens)
        return forecast(planned_artifact(self.artifact), self.machine, case, self.price)

    def close(self) -> None:
        """End its threads. An answer that is being iterated over ends with an error."""
        self._is_closed = True
        self.loaded.program.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def threads(self) -> int:
        """Of a step."""
        return self.loaded.program.n_threads

    @property
    def machine(self) -> Machine:
        """This machine, as it was measured or else is estimated."""
        return self.price.machine

    def params(self, **sampling: Any) -> SamplingParams:
        """Settings over the checkpoint's own.

        Raises:
            RequestError: a value outside its range.
        """
        from foreknown.engine.defaults import with_defaults

        return with_defaults(self.checkpoint.generation, **sampling)

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """A conversation as the model was taught to read it.

        Raises:
            RequestError: the model has no chat template, or that refuses the conversation.
        """
        template = self.checkpoint.chat_template
        if template is None:
            raise RequestError(
                "this model has no chat template",
                where=str(self.artifact.directory),
                remedy="give a text for it to continue",
            )
        text = template.render(messages, add_generation_prompt=True)
        return self.checkpoint.tokenizer.encode(text, add_special_tokens=False)

    def ids(self, prompt: Prompt, *, raw: bool = False) -> list[int]:
        """The tokens of a prompt.

        Raises:
            RequestError: it is neither a text nor messages; see `prompt_ids`.
        """
        if isinstance(prompt, str) and (raw or self.checkpoint.chat_template is None):
            return self.checkpoint.tokenizer.encode(prompt)
        return self.prompt_ids(conversation(prompt))

    def problem(self, prompt: Prompt, params: SamplingParams, *, raw: bool = False) -> Problem:
        """What strategies answer.

        Raises:
            RequestError: it is too long for any answer; see `ids`.
        """
        from foreknown.engine import Request
        from foreknown.strategies.answer import new_problem

        self.engine.check(Request(self.ids(prompt, raw=raw)))
        return new_problem(conversation(prompt), params, self.engine.capacity.context)

    def terms(self, *, raw: bool = False) -> Terms:
        """What its answers are made with."""
        from foreknown.strategies.answer import Terms

        tokenizer = self.checkpoint.tokenizer

        def prompt_ids(problem: Problem) -> list[int]:
            if raw or self.checkpoint.chat_template is None:
                return tokenizer.encode(problem.question + problem.begun)
            begun = tokenizer.encode(problem.begun, add_special_tokens=False)
            return self.prompt_ids(problem.messages) + begun

        machine = self.machine
        costs = machine.busy_watts, machine.usd_per_hour
        return Terms(prompt_ids, self.engine.capacity, self.price, *costs)

    def _texts(self, request: Request) -> Iterator[str]:
        with self._one_at_a_time():
            for output in self.engine.generate([request]):
                if output.text:
                    yield output.text
                self._require_open()

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """The engine, for one caller: it drops what came for others."""
        self._require_open()
        if not self._turn.acquire(blocking=False):
            raise RequestError(
                "this model is answering something else",
                remedy="let that end, or close its iterator; foreknown serve answers many at once",
            )
        try:
            yield
        finally:
            self._turn.release()

    def _require_open(self) -> None:
        if self._is_closed:
            raise RequestError("this model is closed", remedy="open it again")


def conversation(prompt: Prompt) -> Sequence[Message]:
    """A prompt as messages; a text is the user's.

    Raises:
        RequestError: it is neither a text nor messages with texts.
    """
    if isinstance(prompt, str):
        return ({"role": "user", "content": prompt},)
    messages: Sequence[Message] = prompt
    is_list = isinstance(messages, Sequence) and len(messages) > 0
    if not is_list or not all(map(_is_message, messages)):
        raise RequestError(
            "the prompt is neither a text nor a conversation",
            remedy='give a text, or messages as in [{"role": "user", "content": "Hello!"}]',
            field="messages",
        )
    return messages


def _is_message(given: object) -> bool:
    return isinstance(given, Mapping) and all(
        isinstance(given.get(key), str) for key in ("role", "content")
    )


def new_kit(
    verifier: Judge | None, templates: Templates | Path | str | None, *, allow_code: bool
) -> Kit:
    """What strategies use beside their arguments; see `Model.answer`.

    Raises:
        RequestError: there is no such verifier, or the templates make no sense.
    """
    from foreknown.strategies.compose import Kit
    from foreknown.strategies.templates import Templates, read_templates
    from foreknown.strategies.verifiers import Function, parse_verifier

    named: Any = verifier
    if isinstance(named, str):
        named = parse_verifier(named, allow_code=allow_code)
    elif named is not None and (isinstance(named, type) or not hasattr(named, "verify")):
        named = Function(named)
    if templates is None:
        templates = Templates()
    elif not isinstance(templates, Templates):
        templates = read_templates(Path(templates))
    return Kit(named, templates, allow_code)
