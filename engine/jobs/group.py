"""Groups of jobs that share an evaluator. Each job has a sample of its own, or the jobs take turns on one sample."""

import copy
import dataclasses
import os
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import BatchKey, GraphSpec
from impasto.engine.device.places import LoopPlaces, Steps
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.surroundings import Surroundings, unfit_state
from impasto.engine.optimisers.solution import State, StateError, Vector
from impasto.engine.runtime.evaluator import Evaluator
from impasto.models.errors import ImpastoError

LEAST_GROWTH_ITERATIONS = 20
"""A batch grows only if a member has more iterations left than this, because a new session has to be compiled."""


class Group:
    """Running jobs with the same batch key.

    If the evaluator has one sample and the optimisers run on the host, any number of jobs can be members; they take
    turns on the sample. Otherwise each member needs a sample of its own.

    Args:
        compiler: opened the evaluator, and takes it back.

    Attributes:
        key: the batch key of all members.
        evaluator: computes the losses of the members.
        places: number of samples of the evaluator.
        asked_most: maximum number of jobs in one evaluation, as the caller chose it.
        most: number of samples that the group may grow to.
        loop: the loop on the device, with a place for each sample; None if the optimisers run on the host.
        members: in the order in which they joined.
        evaluated: whether an evaluation was made; only then is the evaluator's memory allocated.
        weighed: jobs whose memory was checked before the group was opened.

    Raises:
        ImpastoError: the user demanded a loop on the device, and the loop does not run there.
    """

    def __init__(
        self, compiler: Compiler, key: BatchKey, evaluator: Evaluator, *, places: int, asked_most: int
    ) -> None:
        self.key, self.places, self.most, self.asked_most = key, places, asked_most, asked_most
        self.members: list[Active] = []
        self.evaluated = False
        self.weighed: Collection[Handle] = ()
        self.evaluator = evaluator
        self._compiler = compiler
        self._pool: ThreadPoolExecutor | None = None
        self._failure: ImpastoError | None = None
        self.loop = self._open_loop()

    @property
    def takes_turns(self) -> bool:
        """Whether the members take turns on one sample."""
        return self.asked_most == 1 and self.loop is None

    @property
    def has_place(self) -> bool:
        """Whether another job can join without growth."""
        return not self._has_failed and (self.takes_turns or len(self.members) < self.places)

    @property
    def _has_failed(self) -> bool:
        """Whether the members will end with an error; new jobs need another group."""
        return self._failure is not None or (self.loop is not None and self.loop.demanded and self.loop.stopped)

    @property
    def is_open(self) -> bool:
        """Whether another job can join, perhaps after growth, without adding to the jobs and batches that run."""
        return bool(self.members) and not self.takes_turns and (self.has_place or self.may_grow)

    @property
    def spec(self) -> GraphSpec:
        """The specification of the evaluator's graph."""
        return dataclasses.replace(self.key.spec, batch=self.places)

    @property
    def may_grow(self) -> bool:
        """Whether a larger batch is allowed and would be in use for long enough to pay for its compilation."""
        left = (member.run.iterations_left for member in self.members)
        return not self._has_failed and self.places < self.most and max(left, default=0) > LEAST_GROWTH_ITERATIONS

    @property
    def next_size(self) -> int:
        """Samples after the next growth: twice as many, so that half of them are used at once."""
        return min(2 * self.places, self.most)

    def free_sample(self) -> int:
        """Return a sample that no member needs now.

        If the members take turns, the targets of the member that used the sample are kept in its `contents`.
        """
        taken = {member.sample: member for member in self.members if member.sample is not None}
        free = next((sample for sample in range(self.places) if sample not in taken), None)
        if free is not None:
            return free
        last = taken[0]
        last.contents, last.sample = self.evaluator.take_out(0), None
        return 0

    def enter(
        self, sample: int, x: Vector, limit: int, surroundings: Surroundings, state: State | None = None
    ) -> Surroundings:
        """Put an image into the loop on the device, if the group has one, as `LoopPlaces.enter` does.

        Returns:
            The surroundings of the run: on the device, or the given ones on the host if there is no loop or it fails.

        Raises:
            ImpastoError: the user demanded the device and the loop fails, or the state is of another kind of loop.
        """
        if self.loop is None:
            return surroundings
        try:
            self.loop.enter(sample, x, limit, self.evaluator.coefficients[sample], state)
        except StateError as error:
            raise unfit_state(error) from error
        except ImpastoError:
            if self.loop.demanded:
                raise
            return surroundings
        return dataclasses.replace(surroundings, sample=sample, places=self.loop)

    def take_turn(self, chosen: Active) -> Sequence[Active]:
        """Make one evaluation, or some steps on the device, for a member and those that share its evaluations.

        The caller has checked the limits of all members.

        Returns:
            The members that took part.

        Raises:
            ImpastoError: the group could not be reopened after it grew.
        """
        if self._failure is not None:
            raise self._failure
        members = [chosen] if self.takes_turns else list(self.members)
        requests = {member: member.run.request for member in members}
        steps = {member: request for member, request in requests.items() if isinstance(request, Steps)}
        points = {member: request for member, request in requests.items() if isinstance(request, np.ndarray)}
        try:
            if steps and self.loop is not None:
                self._step(self.loop, steps, alone=not points)
            elif points:
                self._evaluate(points)
        except ImpastoError as error:
            for member in steps or points:
                member.run.fail(copy.copy(error))
        return members

    def grow(self) -> None:
        """Double the samples, within the limit; all members keep their targets and their place in the run.

        A larger session, or loop on the device, that cannot be opened ends the growth, and the members continue as
        before. Where those of the size so far cannot be opened again, the members' next turn fails.
        """
        loop = self.loop  # whose images move, unless it was stopped or a member continues on the host
        if loop is not None:
            everybody = all(member.run.surroundings.places is loop for member in self.members)
            loop = loop if everybody and not loop.stopped else None
        try:
            contents = [self.evaluator.take_out(member.sample or 0) for member in self.members]
            states = [loop.state(member.sample or 0) if loop is not None else None for member in self.members]
        except ImpastoError:
            self.most = self.places
            return
        if self.loop is not None:
            self.loop.stop("the batch grew, and the larger loop on the device does not run; use --loop host")
        self.evaluator.session.close()
        try:
            self._reopen(with_loop=loop is not None)
        except ImpastoError as error:
            self._failure = error
            return
        for member, content, state in zip(self.members, contents, states, strict=True):
            sample = member.sample or 0
            self.evaluator.put_in(sample, content)
            run = member.run
            if run.surroundings.places is not None:
                around = dataclasses.replace(run.surroundings, places=None)
                try:  # it continues in the larger loop, or on the host if there is none
                    run.move(self.enter(sample, run.x, run.iterations_limit, around, state))
                except ImpastoError as error:  # the user demanded the device
                    run.fail(error)

    def leave(self, member: Active) -> None:
        """Remove a member, which frees its sample."""
        self.members.remove(member)
        member.sample = member.contents = None

    def close(self) -> None:
        """Free the memory of the loop on the device, end the threads, and give the evaluator back to the compiler."""
        if self.loop is not None:
            self.loop.close()
        if self._pool is not None:
            self._pool.shutdown()
        if self._failure is None:
            self._compiler.put_back(self.spec, self.evaluator)
        else:
            self.evaluator.session.close()

    def _reopen(self, *, with_loop: bool) -> None:
        """Open an evaluator of the next size. If that fails, open one of the present size again.

        Raises:
            ImpastoError: neither can be opened.
        """
        before, self.places = self.places, self.next_size
        try:
            self.evaluator = self._compiler.open(self.spec)
            self.loop = self._open_loop(or_fail=True) if with_loop else None
        except ImpastoError:
            self.evaluator.session.close()
            self.places = self.most = before
            self.evaluator = self._compiler.open(self.spec)
            self.loop = self._open_loop() if with_loop else None

    def _open_loop(self, *, or_fail: bool = False) -> LoopPlaces | None:
        """Open the loop on the device; return None if the optimisers run on the host.

        Raises:
            ImpastoError: the loop does not run on the device, and `or_fail` is set or the user demanded the device.
        """
        lbfgs, spec = self.key.lbfgs, self.key.spec
        wanted = None if lbfgs is None else self._compiler.on_device(self.evaluator)
        if wanted is None or lbfgs is None:
            return None
        lbfgs = dataclasses.replace(lbfgs, loss_noise=self._compiler.provider.numbers.loss_noise)
        try:
            return LoopPlaces(wanted, lbfgs, (3, spec.height, spec.width))
        except ImpastoError:
            if wanted.demanded or or_fail:
                raise
            return None

    def _step(self, loop: LoopPlaces, steps: dict[Active, Steps], *, alone: bool) -> None:
        """Let the images in the loop on the device take steps.

        The host's evaluations and those of the loop would overwrite each other's images. If one member has to continue
        on the host, the loop therefore stops, and all members continue on the host.
        """
        if not alone:
            loop.stop("another transfer of the batch has to continue on the host; use --loop host")
        start = time.perf_counter()
        try:
            with loop.lock:  # a state that another thread reads must belong to a single iteration
                rows = loop.run([member.sample or 0 for member in steps], min(item.most for item in steps.values()))
                seconds, self.evaluated = time.perf_counter() - start, True
                for member in steps:
                    member.run.advance(rows[member.sample or 0], seconds)
        finally:
            if loop.stopped and not loop.demanded:
                self.loop = None  # later jobs begin on the host

    def _evaluate(self, points: dict[Active, Vector]) -> None:
        for member in points:
            if member.sample is None and member.contents is not None:
                sample = self.free_sample()
                self.evaluator.put_in(sample, member.contents)
                member.sample, member.contents = sample, None
        start = time.perf_counter()
        scores = self.evaluator({member.sample or 0: point for member, point in points.items()})
        seconds, self.evaluated = time.perf_counter() - start, True

        def advance(member: Active) -> None:
            member.run.advance(scores[member.sample or 0], seconds)

        if len(points) == 1:
            advance(*points)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(self.most, os.cpu_count() or 1))
        list(self._pool.map(advance, points))  # the optimisers continue at the same time, in threads
