"""Jobs that are evaluated together: on one evaluator with a sample for each, or taking turns on one sample."""

import dataclasses
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import BatchKey, GraphSpec
from impasto.engine.device.places import LoopPlaces, Steps
from impasto.engine.inputs.run_state import RunState
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.run import DEVICE, Surroundings, unfit_state
from impasto.engine.optimisers.solution import StateError, Vector
from impasto.engine.runtime.evaluator import Evaluator
from impasto.models.errors import ImpastoError

LEAST_GROWTH_ITERATIONS = 20
"""A batch grows only where a member has more iterations left than this: a new session has to pay for itself."""


class Group:
    """Jobs of one batch key under way.

    Where the evaluator has one sample and the optimisers are on the host, any number of jobs can be members: they take
    turns on the sample. Else there are at most as many members as samples.

    Attributes:
        key: what the members have in common.
        places: samples of the evaluator.
        most: samples that it may grow to.
        asked_most: jobs in one evaluation that the members' owner asked for at most.
        evaluator: of the members' losses.
        loop: on the device, with a place for each sample; None where the optimisers are on the host.
        members: in the order in which they came.
        evaluated: whether an evaluation was made, so that its memory is taken.
    """

    def __init__(
        self,
        compiler: Compiler,
        key: BatchKey,
        evaluator: Evaluator,
        *,
        places: int,
        asked_most: int,
        lock: AbstractContextManager[object],
    ) -> None:
        """Take over an evaluator.

        Args:
            compiler: that it came from.
            key: of the members to come.
            evaluator: with a sample for each place.
            places: samples.
            asked_most: jobs in one evaluation that the members' owner asked for at most.
            lock: held while images change.

        Raises:
            ImpastoError: the user named a loop on the device, and it does not run there.
        """
        self.key, self.places, self.most, self.asked_most = key, places, asked_most, asked_most
        self.members: list[Active] = []
        self.evaluated = False
        self.evaluator = evaluator
        self._compiler, self._lock = compiler, lock
        self._pool: ThreadPoolExecutor | None = None
        self.loop = self._open_loop()

    @property
    def takes_turns(self) -> bool:
        """Whether the members take turns on one sample."""
        return self.asked_most == 1 and self.loop is None

    @property
    def has_place(self) -> bool:
        """Whether another job can join without growth."""
        return self.takes_turns or len(self.members) < self.places

    @property
    def spec(self) -> GraphSpec:
        """Of the evaluator's graph."""
        return dataclasses.replace(self.key.spec, batch=self.places)

    @property
    def may_grow(self) -> bool:
        """Whether a larger batch is allowed, and would be used for long enough."""
        left = (member.run.iterations_left for member in self.members)
        return self.places < self.most and max(left, default=0) > LEAST_GROWTH_ITERATIONS

    @property
    def next_size(self) -> int:
        """Samples after the next growth: twice as many, so that half of them are used at once."""
        return min(2 * self.places, self.most)

    def free_sample(self) -> int:
        """Return a sample that no member needs now; where members take turns, its targets are put aside."""
        taken = {member.sample: member for member in self.members if member.sample is not None}
        free = next((sample for sample in range(self.places) if sample not in taken), None)
        if free is not None:
            return free
        last = taken[0]
        last.contents, last.sample = self.evaluator.take_out(0), None
        return 0

    def enter(
        self, sample: int, x: Vector, iterations: int, surroundings: Surroundings, state: RunState | None = None
    ) -> Surroundings:
        """Bring an image into the loop on the device, if there is one.

        Args:
            sample: loaded with the run's targets.
            x: the image to start from, flat.
            iterations: of the run at most, those before the state included.
            surroundings: of a run on the host.
            state: of the run, to continue from; None begins at the image.

        Returns:
            The surroundings of the run, on the device or, where the loop fails, on the host.

        Raises:
            ImpastoError: the user named the device, and it fails; or the state is of another form of loop.
        """
        if self.loop is None:
            return surroundings
        arrays, done = None, 0
        if state is not None:
            arrays = state.optimiser_for(DEVICE, surroundings.provenance["precision"])
            done = state.iteration if arrays is None else state.optimiser_from[0]
        try:
            with self._lock:
                self.loop.enter(sample, x, iterations - done, self.evaluator.coefficients[sample], arrays)
        except StateError as error:
            raise unfit_state(error) from error
        except ImpastoError:
            if self.loop.demanded:
                raise
            return surroundings
        return dataclasses.replace(surroundings, sample=sample, places=self.loop)

    def take_turn(self, chosen: Active) -> Sequence[Active]:
        """Let a member, and those that share its evaluation, make one evaluation, or some steps on the device.

        Returns:
            The members that took part.
        """
        members = [chosen] if self.takes_turns else list(self.members)
        asked = {member: request for member in members if (request := member.run.ask()) is not None}
        steps = {member: request for member, request in asked.items() if isinstance(request, Steps)}
        points = {member: request for member, request in asked.items() if isinstance(request, np.ndarray)}
        if steps and self.loop is not None:
            self._step(self.loop, steps, alone=not points)
        elif points:
            self._evaluate(points)
        return members

    def grow(self) -> None:
        """Double the samples, within the limit; all members keep their targets and their place in the run.

        A larger session that cannot be opened ends the growth, and the members continue as before.

        Raises:
            ImpastoError: not even the session of the size so far can be opened again.
        """
        contents = [self.evaluator.take_out(member.sample or 0) for member in self.members]
        states = [member.run.state() if self.loop is not None else None for member in self.members]
        if self.loop is not None:
            with self._lock:
                self.loop.stop("the batch grew, and the larger loop on the device does not run; use --loop host")
        self.evaluator.session.close()
        before = self.places
        try:
            self.places = self.next_size
            self.evaluator = self._compiler.open(self.spec)
        except ImpastoError:
            self.places = self.most = before
            self.evaluator = self._compiler.open(self.spec)
        self.loop = self._open_loop() if self.loop is not None else None
        for sample, (member, content, state) in enumerate(zip(self.members, contents, states, strict=True)):
            member.sample = sample
            self.evaluator.put_in(sample, content)
            if state is not None:
                self._reenter(member, sample, state)

    def leave(self, member: Active) -> None:
        """Let a member go; its sample is free."""
        self.members.remove(member)
        member.sample = member.contents = None

    def close(self) -> None:
        """Give up the loop on the device and its memory, and the threads; the evaluator goes back to the compiler."""
        if self.loop is not None:
            with self._lock:
                self.loop.close()
        if self._pool is not None:
            self._pool.shutdown()
        self._compiler.put_back(self.spec, self.evaluator)

    def _open_loop(self) -> LoopPlaces | None:
        """Return the loop on the device; None where the host is to run the optimisers, or has to.

        Raises:
            ImpastoError: the user named the device, and the loop does not run there.
        """
        lbfgs, spec = self.key.lbfgs, self.key.spec
        wanted = None if lbfgs is None else self._compiler.on_device(self.evaluator)
        if wanted is None or lbfgs is None:
            return None
        lbfgs = dataclasses.replace(lbfgs, loss_noise=self._compiler.provider.numbers.loss_noise)
        try:
            return LoopPlaces(wanted, lbfgs, (3, spec.height, spec.width))
        except ImpastoError:
            if wanted.demanded:
                raise
            return None

    def _reenter(self, member: Active, sample: int, state: RunState) -> None:
        """Let a run on the device continue in another loop, or on the host where there is none."""
        run = member.run
        if self.loop is None:
            run.fail(ImpastoError("the loop on the device does not run with more images"))
            return
        surroundings = dataclasses.replace(run.surroundings, places=None)
        most = member.prepared.settings.iterations
        run.move(self.enter(sample, state.optimiser["x"], most, surroundings, state))

    def _step(self, loop: LoopPlaces, steps: dict[Active, Steps], *, alone: bool) -> None:
        """Let the images in the loop take steps.

        Evaluations for the host and those of the loop would overwrite each other's images. So all members continue on
        the host where one has to.
        """
        if not alone:
            loop.stop("another transfer of the batch has to continue on the host; use --loop host")
        start = time.perf_counter()
        try:
            with self._lock:  # a state that another thread asks for is of one iteration
                rows = loop.run([member.sample or 0 for member in steps], min(item.most for item in steps.values()))
                seconds, self.evaluated = time.perf_counter() - start, True
                for member in steps:
                    member.run.advance(rows[member.sample or 0], seconds)
        except ImpastoError as error:
            for member in steps:
                member.run.fail(ImpastoError(*error.args))
        if loop.stopped and not loop.demanded:
            self.loop = None  # jobs to come begin on the host

    def _evaluate(self, points: dict[Active, Vector]) -> None:
        for member in points:
            if member.sample is None and member.contents is not None:
                sample = self.free_sample()
                self.evaluator.put_in(sample, member.contents)
                member.sample, member.contents = sample, None
        start = time.perf_counter()
        try:
            scores = self.evaluator({member.sample or 0: point for member, point in points.items()})
        except ImpastoError as error:
            for member in points:
                member.run.fail(ImpastoError(*error.args))
            return
        seconds = time.perf_counter() - start
        self._advance([(member, scores[member.sample or 0], seconds) for member in points])

    def _advance(self, answers: list[tuple[Active, Any, float]]) -> None:
        """Let runs continue with their answers, several at the same time."""
        self.evaluated = True
        if len(answers) == 1:
            member, answer, seconds = answers[0]
            member.run.advance(answer, seconds)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(self.most, os.cpu_count() or 1))
        list(self._pool.map(lambda item: item[0].run.advance(item[1], item[2]), answers))
