"""One run from its first image to its result, stepped from outside."""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.engine.compile.optimiser_settings import adam_settings, lbfgs_settings
from impasto.engine.device.places import LoopPlaces, Rows, Steps
from impasto.engine.events import Event, Iteration
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import as_pixels
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.inputs.run_state import RunState
from impasto.engine.optimisers.adam import adam
from impasto.engine.optimisers.lbfgs import lbfgs
from impasto.engine.optimisers.solution import Budget, Outcome, Score, State, StateError, Step, Vector
from impasto.engine.result import Result
from impasto.models.errors import ImpastoError

HOST, DEVICE = "host", "device"
NON_FINITE = (Outcome.NON_FINITE_START, Outcome.NON_FINITE_STEP)


@dataclass(frozen=True)
class SaferPrecision:
    """A request for an evaluator in a safer precision, because a value was not finite."""


@dataclass(frozen=True)
class Surroundings:
    """Where a run is evaluated.

    Attributes:
        loss_noise: the loss's relative error.
        provenance: what the result says of its origin.
        sample: of the evaluator, where the run is in a loop on the device.
        places: the loop on the device that the run's image has entered; None where the optimiser is on the host.
    """

    loss_noise: float
    provenance: Mapping[str, Any]
    sample: int = 0
    places: LoopPlaces | None = None


Request = Vector | Steps | SaferPrecision | None
Reply = Score | Rows | Surroundings | None
Work = Generator[Request, Reply, Outcome]


class _Stopped(Exception):  # noqa: N818 - thrown into the run's generator, not an error
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class Run:
    """A minimisation that asks for what it needs, and its events.

    A driver calls `ask`, does what is asked, and calls `advance` with the answer, until `ask` returns None. Where a
    value is not finite the run continues from its last good image in a safer precision; where a loop on the device
    fails, on the host.

    Attributes:
        events: that nobody was told of yet, oldest first.
        result: what came out; None before the end and where the run failed.
        error: why the run failed; None where it did not.
        outcome: why the optimiser ended; None where it has not, or failed.
        evaluations: runs of loss and gradient, in all precisions.
        request: what the run waits for, see `ask`; None before the start and after the end.
    """

    def __init__(
        self,
        prepared: Prepared,
        around: Surroundings,
        *,
        state: RunState | None = None,
        keep_state: bool = False,
        deadline: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Take over a run; `start` begins it.

        Args:
            prepared: its images.
            around: where it is evaluated.
            state: of an earlier run, to continue from.
            keep_state: whether the result is to hold the state at the end.
            deadline: by `time.monotonic`; None is none.
            cancelled: returns True to end the run with the image so far.
        """
        self.events: deque[Event] = deque()
        self.result: Result | None = None
        self.error: Exception | None = None
        self.outcome: Outcome | None = None
        self.evaluations = 0 if state is None else state.evaluations
        self._prepared, self._around, self._state, self._keep_state = prepared, around, state, keep_state
        self._settings = prepared.settings
        self._x = prepared.x
        self._last = None if state is None else _step_of(state)
        self._initial_terms: Mapping[str, float] = {} if state is None else state.initial_terms
        self._before_s = 0.0 if state is None else state.seconds
        self._from = (0, 0) if state is None else state.optimiser_from
        self._evaluations_s = 0.0
        self._loop = HOST if state is None else state.loop
        self._began_at_noise = prepared.from_noise
        self._budget = Budget(
            iterations=self._settings.iterations,
            evaluations=self._settings.evaluations,
            deadline=deadline,
            cancelled=cancelled,
        )
        self._lock = threading.RLock()  # held while the image changes: other threads may ask for it
        self._setup_s = 0.0
        self.request: Request = None
        self._work = self._all_precisions(around)

    def start(self) -> None:
        """Begin, up to the first request."""
        self._setup_s = time.perf_counter() - self._prepared.called_s
        self._proceed(lambda: next(self._work))

    def ask(self) -> Request:
        """Return what the run needs next, once its limits are checked; None where it has ended.

        A flat image is to be evaluated: answer with its `Score`. `Steps` are to be taken on the device: answer with
        their rows. `SaferPrecision` is to be answered with other `Surroundings`, or None where there is no safer one.
        """
        if self.request is not None:
            try:
                outcome = self._budget.spent(self.evaluations)
            except Exception as error:  # of the caller's own function
                self.fail(error)
                return None
            if outcome is not None:
                stop = _Stopped(outcome)
                self._proceed(lambda: self._work.throw(stop))
        return self.request

    def advance(self, reply: Reply, seconds: float = 0.0) -> None:
        """Continue with the answer to the latest request.

        Args:
            reply: the answer.
            seconds: that the evaluations of this answer took.
        """
        self._evaluations_s += seconds
        self._proceed(lambda: self._work.send(reply))

    def fail(self, error: Exception) -> None:
        """Raise an error where the run waits; it may continue from there, or ends with the error."""
        if self.ended:
            return
        self._proceed(lambda: self._work.throw(error))

    @property
    def surroundings(self) -> Surroundings:
        """Where the run is evaluated."""
        return self._around

    @property
    def iterations_limit(self) -> int:
        """Iterations that the optimiser at hand may make in all."""
        return self._settings.iterations - self._from[0]

    @property
    def iterations_left(self) -> int:
        """Iterations that may follow."""
        return self._settings.iterations - self.iterations_done

    @property
    def iterations_done(self) -> int:
        """Accepted steps so far."""
        return 0 if self._last is None else self._last.iteration

    @property
    def is_at_noise(self) -> bool:
        """Whether the image is still the noise that the run started from."""
        return self._prepared.from_noise and self._last is None

    @property
    def ended(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or self.error is not None

    @property
    def x(self) -> Vector:
        """The image to continue from, flat."""
        return self._x if self._last is None else self._last.x

    def move(self, around: Surroundings) -> None:
        """Continue at another place of a loop on the device, which has taken over the optimiser's state.

        Where the other surroundings have no loop, the run continues on the host.
        """
        with self._held_still():
            if around.places is None:
                self.fail(ImpastoError("the loop on the device does not take the image"))
            self._around = around

    def image(self) -> NDArray[np.float32]:
        """Return a copy of the latest image, float32 H x W x 3, RGB, 0..1, not clipped."""
        with self._held_still():
            if self.result is not None:
                return self.result.picture.pixels.copy()
            x = self._x if self._last is None else self._last.x
            return as_pixels(x, self._prepared.scene.height, self._prepared.scene.width)

    def state(self) -> RunState:
        """Return all that is needed to continue from the latest step.

        Raises:
            ImpastoError: the run has not made its first evaluation, or has ended.
        """
        with self._held_still():
            step, prepared, origin = self._last, self._prepared, self._around.provenance
            if step is None:
                raise ImpastoError("no state to continue from: the run has not begun or has ended")
            return RunState(
                settings=self._settings,
                scene=prepared.scene,
                painting=prepared.painting,
                from_noise=self._began_at_noise,
                optimiser=step.state(),
                loop=self._loop,
                iteration=step.iteration,
                evaluations=self.evaluations if self._loop == DEVICE else step.evaluations,
                optimiser_from=self._from,
                loss=step.loss,
                terms=step.terms,
                initial_terms=self._initial_terms,
                seconds=self._seconds(),
                model=origin["model"],
                model_sha256=origin["model_sha256"],
                precision=origin["precision"],
            )

    @contextmanager
    def _held_still(self) -> Iterator[None]:
        """Let no other thread change the image or ask for it; a loop on the device stands still first, then the run."""
        places = self._around.places
        with nullcontext() if places is None else places.lock, self._lock:
            yield

    def release(self) -> None:
        """Let go of the optimiser after the end; there is no `state` any more."""
        with self._held_still():
            self._last = None

    def _proceed(self, work: Callable[[], Request]) -> None:
        with self._held_still():
            try:
                self.request = work()
            except StopIteration as end:
                self._end(end.value)
            except Exception as error:
                self.request, self.error = None, error

    def _all_precisions(self, around: Surroundings) -> Work:
        if self._last is not None and not self._budget.allows_iteration_after(self._last.iteration):
            return Outcome.ITERATIONS_DONE  # it was at its end when it was stopped
        while True:
            self._around = around
            outcome = yield from self._one_precision(around)
            if outcome not in NON_FINITE or self._budget.spent(self.evaluations) is not None:
                return outcome
            self._keep_image()
            try:
                reply = yield SaferPrecision()
            except _Stopped as stop:
                return stop.outcome
            if not isinstance(reply, Surroundings):
                return self._budget.spent(self.evaluations) or outcome
            around = reply

    def _one_precision(self, around: Surroundings) -> Work:
        try:
            return (yield from self._held(self._optimiser(around)))
        except ImpastoError:
            if around.places is None or around.places.demanded:
                raise
        self._keep_image()
        around = self._around = dataclasses.replace(around, places=None)
        return (yield from self._held(self._optimiser(around)))

    def _optimiser(self, around: Surroundings) -> Generator[Any, Any, Outcome]:
        """Return the optimiser of the settings, at the image where the run is, or in the state that it continues from.

        Raises:
            ImpastoError: the state is not of such a run.
        """
        settings, scene = self._settings, self._prepared.scene
        self._loop = HOST if around.places is None else DEVICE
        resumed, self._state = self._state, None
        state = None if resumed is None else resumed.optimiser_for(self._loop, around.provenance["precision"])
        self._began_at_noise = self._prepared.from_noise and (self._last is None or state is not None)
        if state is None:
            self._from = (0 if self._last is None else self._last.iteration, self.evaluations)
        if around.places is not None:
            return self._on_device(around.places, state)
        try:
            if settings.optimizer == "adam":
                return adam(self._x, adam_settings(settings), state)
            image_shape = (3, scene.height, scene.width)
            chosen = lbfgs_settings(settings, image_shape, around.loss_noise, from_noise=self._began_at_noise)
            return lbfgs(self._x, chosen, state)
        except StateError as error:
            raise unfit_state(error) from error

    def _on_device(self, places: LoopPlaces, state: State | None) -> Generator[Any, Any, Outcome]:
        from impasto.engine.device.lbfgs import device_lbfgs

        iterations, evaluations = self._from
        limit = self._settings.evaluations
        return device_lbfgs(
            places.terms,
            lambda: self._places.x(self._around.sample),
            lambda: self._places.state(self._around.sample),
            every=places.every,
            evaluations=None if limit is None else limit - evaluations,
            done=-1 if state is None or self._last is None else self._last.iteration - iterations,
            counted=0 if state is None else self.evaluations - evaluations,
            provider=places.provider,
        )

    @property
    def _places(self) -> LoopPlaces:
        """The loop on the device that the image is in: another one after `move`."""
        if self._around.places is None:
            raise ImpastoError("the image is in no loop on the device")
        return self._around.places

    def _held(self, optimiser: Generator[Any, Any, Outcome]) -> Work:
        """Step an optimiser; its requests are the run's own, and its steps are taken note of."""
        reply: Reply = None
        try:
            while True:
                try:
                    asked = optimiser.send(reply)
                except StopIteration as end:
                    outcome: Outcome = end.value
                    return outcome
                reply = None
                if not isinstance(asked, Step):
                    reply = yield asked
                    self._count(reply)
                elif not self._take(asked):
                    return Outcome.ITERATIONS_DONE
        except _Stopped as stop:
            return stop.outcome
        finally:
            optimiser.close()

    def _count(self, reply: Reply) -> None:
        if isinstance(reply, np.ndarray):
            from impasto.engine.device.lbfgs import evaluations_in

            self.evaluations = self._from[1] + evaluations_in(reply)
        else:
            self.evaluations += 1

    def _take(self, step: Step) -> bool:
        """Take note of a step, counted from the start of the run; return whether another iteration may follow."""
        continues = self._last is not None and step.iteration == 0
        self._last = dataclasses.replace(
            step, iteration=step.iteration + self._from[0], evaluations=step.evaluations + self._from[1]
        )
        if self._last.iteration == 0 and not continues:
            self._initial_terms = self._last.terms
        elif not continues:  # else the image has been reported already
            last = self._last
            event = Iteration(
                iteration=last.iteration,
                evaluations=last.evaluations,
                loss=last.loss,
                terms=last.terms,
                seconds=self._seconds(),
                snapshot=self.image,
                state=self.state,
            )
            self.events.append(event)
        return self._loop == DEVICE or self._budget.allows_iteration_after(self._last.iteration)

    def _keep_image(self) -> None:
        """Copy the last image, and let go of the optimiser that held it."""
        if self._last is not None:
            kept = self._x = self._last.x.copy()
            self._last = dataclasses.replace(
                self._last, evaluations=self.evaluations, point=lambda: kept, state=lambda: {"x": kept.copy()}
            )

    def _seconds(self) -> float:
        return self._before_s + time.perf_counter() - self._prepared.called_s

    def _end(self, outcome: Outcome) -> None:
        self.request, self.outcome, last, prepared = None, outcome, self._last, self._prepared
        if last is None:
            self.error = ImpastoError(f"the run could not start: {outcome.message}")
            return
        try:
            pixels = as_pixels(last.x, prepared.scene.height, prepared.scene.width)
            state = self.state() if self._keep_state else None
        except ImpastoError as error:  # a loop on the device that has failed
            self.error = error
            return
        self.result = Result(
            picture=Picture(pixels, prepared.scene.alpha, prepared.scene.name),
            loss=last.loss,
            terms=last.terms,
            initial_terms=self._initial_terms,
            iterations=last.iteration,
            evaluations=self.evaluations,
            loop=self._loop,
            outcome=outcome.value,
            message=outcome.message,
            seconds=self._seconds(),
            setup_s=self._setup_s,
            evaluations_s=self._evaluations_s,
            settings=self._settings,
            provenance=self._around.provenance,
            state=state,
        )


def unfit_state(error: StateError) -> ImpastoError:
    """Return what to tell a user whose state no run can continue from."""
    return ImpastoError(f"no run can continue from this state: {error}; begin the run again")


def _step_of(state: RunState) -> Step:
    """Return the step that a state was taken at."""
    x: Vector = state.optimiser["x"]
    return Step(state.iteration, state.evaluations, state.loss, 0.0, state.terms, lambda: x, lambda: state.optimiser)
