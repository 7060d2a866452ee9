"""Runs the courses of many answers at once on one engine: in all much sooner, one by one later.

By the third law each comes out as it would alone, so only time is lost to look at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from foreknown.engine import Engine, Output, Request
from foreknown.errors import ForeknownError
from foreknown.strategies.course import Course


def side_by_side(
    engine: Engine, courses: Iterable[tuple[str, Course]], at_once: int, max_tokens: float
) -> Iterator[tuple[str, ForeknownError | None]]:
    """Bring courses to their ends; the name of each is given then, with what went wrong.

    Args:
        courses: each with its own name, in which there is no full stop; taken when there is room.
        at_once: courses that run together at most.
        max_tokens: of one course; what it has then is all.
    """
    waiting, running = iter(courses), dict[str, _Running]()
    while True:
        came = _by_course(engine.step()) if running else {}
        moved: list[tuple[str, list[Output] | None]] = [
            (name, outputs) for name, outputs in came.items() if name in running
        ]
        while len(running) < at_once and (new := next(waiting, None)) is not None:
            running[new[0]] = _Running(engine, new[1])
            moved.append((new[0], None))
        if not running:
            break
        for name, outputs in moved:
            one = running[name]
            error = one.move(outputs, max_tokens)
            if error is not None or one.course.choice is not None:
                del running[name]
                yield name, error
    while engine.has_work:  # the last outputs of what was called off
        engine.step()


def _by_course(outputs: Iterable[Output]) -> dict[str, list[Output]]:
    own = defaultdict[str, list[Output]](list)
    for output in outputs:
        own[output.request_id.partition(".")[0]].append(output)
    return own


@dataclass
class _Running:
    """A course on an engine, with the ids of all that it asked for."""

    engine: Engine
    course: Course
    ids: list[str] = field(default_factory=list)

    def move(self, outputs: Sequence[Output] | None, max_tokens: float) -> ForeknownError | None:
        """Begin, or take what came; what went wrong, after all was called off."""
        course = self.course
        try:
            if outputs is None:
                self._queue(course.begin())
            elif course.take(outputs) and course.n_tokens < max_tokens:
                self._queue(course.go_on())
            elif course.n_tokens >= max_tokens:
                self._cancel(course.end())
        except ForeknownError as error:
            self._cancel(self.ids)
            return error
        return None

    def _queue(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self.ids += self.engine.add_samples(request)

    def _cancel(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            self.engine.cancel(request_id)
