"""The next scales of running jobs, made ready in a background thread while the present ones run."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.targets import Targets
from impasto.engine.inputs.scaling import Whole
from impasto.engine.jobs.handle import Handle
from impasto.engine.runtime.evaluator import Evaluator

MadeT = TypeVar("MadeT")


@dataclasses.dataclass(eq=False)
class _Opening:
    """A session that opens.

    Attributes:
        evaluator: the evaluator that it will have.
        wanted_by: the jobs that can use it.
    """

    evaluator: "Future[Evaluator]"
    wanted_by: set[Handle]


class Ahead:
    """Opens sessions and computes targets ahead of time, in a thread of its own that `close` ends.

    A session that nobody takes is closed. An error in the thread has no effect: the scheduler then opens the session,
    or computes the targets, itself and meets the error there. All methods belong to the engine's thread.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._openings: dict[GraphSpec, _Opening] = {}  # by the spec of one sample
        self._targets: dict[Handle, Future[Targets]] = {}

    def begin(self, compiler: Compiler, handle: Handle, whole: Whole, spec: GraphSpec) -> None:
        """Begin to make a job's next scale ready.

        Args:
            compiler: makes evaluators.
            handle: of the job.
            whole: the job at its next scale.
            spec: specification of the graph there, with as many samples as the session should have.
        """
        if handle in self._targets:
            return
        one = dataclasses.replace(spec, batch=1)
        if one not in self._openings:
            self._openings[one] = _Opening(self._run(lambda: compiler.open_apart(spec)), set())
        self._openings[one].wanted_by.add(handle)
        self._targets[handle] = self._run(lambda: compiler.targets(whole.settings_here(), *whole.pictures_here()))

    def has(self, handle: Handle) -> bool:
        """Return whether `begin` was called for a job's next scale."""
        return handle in self._targets

    def is_ready(self, handle: Handle) -> bool:
        """Return whether nothing that a job's next scale needs is still being made."""
        targets = self._targets.get(handle)
        opened = all(item.evaluator.done() for item in self._openings.values() if handle in item.wanted_by)
        return opened and (targets is None or targets.done())

    def take_session(self, spec: GraphSpec) -> Evaluator | None:
        """Return the evaluator for a graph, with any number of samples, once it is open; None if there is none.

        The caller owns it from now on.
        """
        opening = self._openings.pop(dataclasses.replace(spec, batch=1), None)
        with suppress(Exception):  # whoever opens it again meets the same error
            return None if opening is None else opening.evaluator.result()
        return None

    def take_targets(self, handle: Handle) -> Targets | None:
        """Return the targets of a job's next scale, once they are computed; None if there are none."""
        targets = self._targets.pop(handle, None)
        with suppress(Exception):
            return None if targets is None else targets.result()
        return None

    def drop(self, handle: Handle) -> None:
        """Forget a job. What only this job wanted is not made, or is closed as soon as it is made."""
        targets = self._targets.pop(handle, None)
        if targets is not None:
            targets.cancel()
        for spec, opening in list(self._openings.items()):
            opening.wanted_by.discard(handle)
            if not opening.wanted_by:
                del self._openings[spec]
                if not opening.evaluator.cancel():
                    opening.evaluator.add_done_callback(_close)

    def close(self) -> None:
        """Forget all jobs, and wait until the thread has ended."""
        for handle in list(self._targets):
            self.drop(handle)
        for opening in self._openings.values():  # whose jobs have taken their targets
            if not opening.evaluator.cancel():
                opening.evaluator.add_done_callback(_close)
        self._openings.clear()
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None

    def _run(self, work: Callable[[], MadeT]) -> "Future[MadeT]":
        self._pool = self._pool or ThreadPoolExecutor(1, "impasto ahead")
        return self._pool.submit(work)


def _close(opened: "Future[Evaluator]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().session.close()
