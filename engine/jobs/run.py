"""One run at one size, from its first image to its result or to the next scale. The scheduler steps it."""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.engine.compile.optimiser_settings import adam_settings, lbfgs_settings
from impasto.engine.device.places import LoopPlaces
from impasto.engine.events import Event, Iteration, ScaleStarted
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import as_pixels, without_pixels
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.scales import ScaleDone
from impasto.engine.inputs.scaling import at_next_scale, enlarged, scale_done
from impasto.engine.jobs.surroundings import (
    DEVICE,
    HOST,
    Reply,
    Request,
    SaferPrecision,
    Surroundings,
    Work,
    unfit_state,
)
from impasto.engine.optimisers.adam import adam
from impasto.engine.optimisers.lbfgs import lbfgs
from impasto.engine.optimisers.solution import Budget, Outcome, State, StateError, Step, Vector
from impasto.engine.result import Result
from impasto.models.errors import ImpastoError

NON_FINITE = (Outcome.NON_FINITE_START, Outcome.NON_FINITE_STEP)
_FINISHED = (
    Outcome.ITERATIONS_DONE,
    Outcome.EVALUATIONS_DONE,
    Outcome.STATIONARY,
    Outcome.LINE_SEARCH_STALLED,
)
"""The outcomes after which a job goes on at its next scale."""


class _Stopped(Exception):  # noqa: N818 - thrown into the run's generator, not an error
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class Run:
    """A minimisation that requests its evaluations from a driver, and records events.

    The driver calls `ask`, fulfils the request, and calls `advance` with the answer, until `ask` returns None. If a
    value is not finite, the run continues from its last good image in a safer precision. If a loop on the device
    fails, the run continues on the host.

    A job with several scales is a chain of runs. All but the last one end without a result; `next_state` is the state
    that the next run continues from. Iterations, evaluations and seconds are those of the job.

    Args:
        prepared: the images of the run.
        surroundings: the place where the run is evaluated.
        state: the state of an earlier run to continue from; None begins a new run.
        before: the job's run at the scale before, whose `next_state` the state is; None if this is the first one.
        keep_state: whether the result holds the final state.
        deadline: by `time.monotonic`; None is no deadline.
        cancelled: returns True to end the run with its latest image.

    Attributes:
        surroundings: the place where the run is evaluated now.
        events: the events that have not been reported yet, oldest first.
        result: the result; None before the end and if the run failed.
        error: why the run failed; None if it has not failed.
        outcome: why the optimiser ended; None if it has not ended or has failed.
        goes_on: whether the run has ended and the job goes on at its next scale.
        evaluations: runs of loss and gradient, in all precisions.
        request: the request that the run waits for, see `ask`; None before the start and after the end.
    """

    def __init__(
        self,
        prepared: Prepared,
        surroundings: Surroundings,
        *,
        state: RunState | None = None,
        before: "Run | None" = None,
        keep_state: bool = False,
        deadline: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.events: deque[Event] = deque()
        self.result: Result | None = None
        self.error: Exception | None = None
        self.outcome: Outcome | None = None
        self.goes_on = False
        self.evaluations = 0 if state is None else state.evaluations
        self._prepared, self.surroundings, self._state, self._keep_state = prepared, surroundings, state, keep_state
        self._settings = prepared.settings
        self._scales_done = () if state is None else state.scales_done
        self._x = prepared.x
        self._last: Step | None = None
        self._initial_terms: Mapping[str, float] = {}
        self._optimiser_from = (0, 0)
        self._loop = HOST
        self._before_s = 0.0
        self._setup_s: float | None = None if before is None else before._setup_s
        self._evaluations_s: float = 0.0 if before is None else before._evaluations_s
        self._from = (0 if state is None else state.iteration, self._evaluations_s)
        if state is not None:
            x: Vector = state.optimiser["x"]
            self._last = Step(
                state.iteration, state.evaluations, state.loss, 0.0, state.terms, lambda: x, lambda: state.optimiser
            )
            self._initial_terms, self._optimiser_from = state.initial_terms, state.optimiser_from
            self._before_s, self._loop = state.seconds, state.loop
        self._began_at_noise = prepared.from_noise
        self._budget = Budget(self._settings.iterations, self._settings.evaluations, deadline, cancelled)
        self._lock = threading.RLock()  # held while the image changes, because other threads may read it
        self.request: Request = None
        self._work = self._descend()

    def start(self) -> None:
        """Begin the run, and proceed to its first request."""
        if self._setup_s is None:
            self._setup_s = time.perf_counter() - self._prepared.called_s
        self._proceed(lambda: next(self._work))

    def ask(self) -> Request:
        """Check the limits of the run and return its next request; None if the run has ended.

        The driver evaluates a flat image and answers with its `Score`. It takes `Steps` on the device and answers with
        their rows. It answers `SaferPrecision` with other `Surroundings`, or with None if there is no safer precision.
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
        """Continue with the answer to the latest request, whose evaluations took so many seconds."""
        self._evaluations_s += seconds
        self._proceed(lambda: self._work.send(reply))

    def scale_started(self, conversion: str) -> ScaleStarted:
        """Return the event of the beginning of the run's scale; the sentence gives the weights."""
        whole = self._prepared.whole
        return ScaleStarted(
            scale=whole.number + 1,
            scales=len(whole.scales),
            height=whole.scale.height,
            width=whole.scale.width,
            iteration=self.iterations_done,
            last_iteration=whole.scale.last_iteration,
            evaluations=self.evaluations,
            seconds=self._seconds(),
            conversion=conversion,
        )

    def fail(self, error: Exception) -> None:
        """Raise an error at the point where the run waits. The run handles the error and continues, or ends with it."""
        if self.ended:
            return
        self._proceed(lambda: self._work.throw(error))

    @property
    def iterations_limit(self) -> int:
        """Iterations that the current optimiser may make in total."""
        return self._settings.iterations - self._optimiser_from[0]

    @property
    def iterations_left(self) -> int:
        """Iterations that the run may still make."""
        return self._settings.iterations - self.iterations_done

    @property
    def iterations_done(self) -> int:
        """Accepted steps so far."""
        return 0 if self._last is None else self._last.iteration

    @property
    def timed(self) -> tuple[int, float]:
        """The iterations of this run, not those of earlier runs of its job; and the seconds of its evaluations."""
        iterations, seconds = self._from
        return self.iterations_done - iterations, self._evaluations_s - seconds

    @property
    def is_at_noise(self) -> bool:
        """Whether the image is still the noise that the run started from."""
        return self._prepared.from_noise and self._last is None

    @property
    def ended(self) -> bool:
        """Whether the run has a result or an error, or the job goes on at its next scale."""
        return self.result is not None or self.error is not None or self.goes_on

    @property
    def x(self) -> Vector:
        """The image to continue from, flat."""
        return self._x if self._last is None else self._last.x

    def move(self, around: Surroundings) -> None:
        """Continue in another loop on the device, which has already received the optimiser's state.

        If the new surroundings have no loop, the run continues on the host.
        """
        with self._locked():
            if around.places is None:
                self.fail(ImpastoError("the loop on the device does not take the image"))
            self.surroundings = around

    def image(self) -> NDArray[np.float32]:
        """Return a copy of the latest image, float32 H x W x 3, RGB, 0..1, not clipped."""
        with self._locked():
            if self.result is not None:
                return self.result.picture.pixels.copy()
            return as_pixels(self.x, self._prepared.scene.height, self._prepared.scene.width)

    def state(self) -> RunState:
        """Return the state that continues the run from its latest step.

        Raises:
            ImpastoError: the run has not made its first evaluation, or has ended.
        """
        with self._locked():
            if self._last is None:
                raise ImpastoError("no state to continue from: the run has not begun or has ended")
            return self._state_with(self._last, self._last.state())

    def next_state(self) -> RunState:
        """Return the state with which the job goes on at its next scale."""
        with self._locked():
            last, whole = self._last, self._prepared.whole
            assert last is not None  # noqa: S101 - a run that goes on has made a step
            optimiser = last.state() if whole.settings.optimizer == "adam" else {"x": last.x}
            state = self._state_with(last, optimiser)
            return at_next_scale(dataclasses.replace(state, evaluations=self.evaluations), whole)

    def _state_with(self, step: Step, optimiser: State) -> RunState:
        """Return the state of a step with these arrays of the optimiser."""
        whole, origin = self._prepared.whole, self.surroundings.provenance
        return RunState(
            settings=whole.settings,
            scene=whole.scene,
            painting=whole.painting,
            from_noise=self._began_at_noise,
            optimiser=optimiser,
            loop=self._loop,
            iteration=step.iteration,
            evaluations=self.evaluations if self._loop == DEVICE else step.evaluations,
            optimiser_from=self._optimiser_from,
            loss=step.loss,
            terms=step.terms,
            initial_terms=self._initial_terms,
            seconds=self._seconds(),
            model=origin["model"],
            model_sha256=origin["model_sha256"],
            precision=origin["precision"],
            scale=whole.scale.step,
            scales_done=self._scales_done,
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the image against other threads: first the loop on the device, then the run itself."""
        while True:
            places = self.surroundings.places
            with nullcontext() if places is None else places.lock, self._lock:
                if self.surroundings.places is places:  # else the run moved to another loop in between
                    yield
                    return

    def release(self) -> None:
        """Free the optimiser's memory after the end; `state` is no longer available."""
        with self._locked():
            if self.result is None and self._last is not None:
                with suppress(ImpastoError):  # a loop on the device that has failed may have lost the image
                    self._x = self._last.x.copy()
            elif self.result is not None:
                self._x = np.empty(0, np.float32)
            self._last, prepared, whole = None, self._prepared, self._prepared.whole
            scene, painting = without_pixels(prepared.scene), without_pixels(prepared.painting)
            whole = dataclasses.replace(
                whole, scene=without_pixels(whole.scene), painting=without_pixels(whole.painting)
            )
            self._prepared = dataclasses.replace(prepared, scene=scene, painting=painting, whole=whole, x=self._x)

    def _proceed(self, work: Callable[[], Request]) -> None:
        with self._locked():
            try:
                self.request = work()
            except StopIteration as end:
                self._end(end.value)
            except Exception as error:
                self.request, self.error = None, error

    def _descend(self) -> Work:
        """Step an optimiser and, where it cannot continue, another one from the latest image in a safer place."""
        if self._last is not None and not self._budget.allows_iteration_after(self._last.iteration):
            return Outcome.ITERATIONS_DONE  # the earlier run had already made all iterations
        while True:
            try:
                outcome = yield from self._drive(self._optimiser())
            except ImpastoError:
                if self.surroundings.places is None or self.surroundings.places.demanded:
                    raise
                self._keep_image()
                self.surroundings = dataclasses.replace(self.surroundings, places=None)
                continue
            if outcome not in NON_FINITE or self._budget.spent(self.evaluations) is not None:
                return outcome
            self._keep_image()
            try:
                reply = yield SaferPrecision()
            except _Stopped as stop:
                return stop.outcome
            if not isinstance(reply, Surroundings):
                return self._budget.spent(self.evaluations) or outcome
            self.surroundings = reply

    def _optimiser(self) -> Generator[Any, Any, Outcome]:
        """Return the optimiser that the settings name, at the latest image or in the state that the run resumes.

        Raises:
            ImpastoError: the state does not belong to such a run.
        """
        settings, scene, around = self._settings, self._prepared.scene, self.surroundings
        self._loop = HOST if around.places is None else DEVICE
        resumed, self._state = self._state, None
        state = None if resumed is None else resumed.optimiser_for(self._loop, around.provenance["precision"])
        self._began_at_noise = self._prepared.from_noise and (self._last is None or state is not None)
        if state is None:
            self._optimiser_from = (0 if self._last is None else self._last.iteration, self.evaluations)
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

        iterations, evaluations = self._optimiser_from
        limit = self._settings.evaluations
        return device_lbfgs(
            places.terms,
            lambda: self._places.x(self.surroundings.sample),
            lambda: self._places.state(self.surroundings.sample),
            every=places.every,
            evaluations=None if limit is None else limit - evaluations,
            done=-1 if state is None or self._last is None else self._last.iteration - iterations,
            counted=0 if state is None else self.evaluations - evaluations,
            provider=places.provider,
        )

    @property
    def _places(self) -> LoopPlaces:
        """The loop on the device that holds the image; `move` replaces it."""
        if self.surroundings.places is None:
            raise ImpastoError("the image is in no loop on the device")
        return self.surroundings.places

    def _drive(self, optimiser: Generator[Any, Any, Outcome]) -> Work:
        """Step an optimiser: pass its requests to the driver, and record its steps."""
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
                elif not self._record(asked):
                    return Outcome.ITERATIONS_DONE
        except _Stopped as stop:
            return stop.outcome
        finally:
            optimiser.close()

    def _count(self, reply: Reply) -> None:
        if isinstance(reply, np.ndarray):
            from impasto.engine.device.lbfgs import evaluations_in

            self.evaluations = self._optimiser_from[1] + evaluations_in(reply)
        else:
            self.evaluations += 1

    def _record(self, step: Step) -> bool:
        """Record a step, counted from the start of the run. Return whether another iteration may follow."""
        continues = self._last is not None and step.iteration == 0
        self._last = dataclasses.replace(
            step,
            iteration=step.iteration + self._optimiser_from[0],
            evaluations=step.evaluations + self._optimiser_from[1],
        )
        if self._last.iteration == 0 and not continues:
            self._initial_terms = self._last.terms
        elif not continues:  # a run that continues has reported this image already
            last, whole = self._last, self._prepared.whole
            event = Iteration(
                iteration=last.iteration,
                evaluations=last.evaluations,
                loss=last.loss,
                terms=last.terms,
                seconds=self._seconds(),
                snapshot=self.image,
                state=self.state,
                scale=whole.number + 1,
                scales=len(whole.scales),
                height=whole.scale.height,
                width=whole.scale.width,
            )
            self.events.append(event)
        return self._loop == DEVICE or self._budget.allows_iteration_after(self._last.iteration)

    def _keep_image(self) -> None:
        """Copy the latest image, so that the optimiser that held it can be freed."""
        if self._last is not None:
            kept = self._x = self._last.x.copy()
            self._last = dataclasses.replace(
                self._last, evaluations=self.evaluations, point=lambda: kept, state=lambda: {"x": kept.copy()}
            )

    def _seconds(self) -> float:
        return self._before_s + time.perf_counter() - self._prepared.called_s

    def _end(self, outcome: Outcome) -> None:
        self.request, self.outcome = None, outcome
        if self._last is None:
            self.error = ImpastoError(f"the run could not start: {outcome.message}")
        elif outcome in _FINISHED and self._has_more():
            self._pause()
        else:
            self._conclude(self._last, outcome)

    def _pause(self) -> None:
        """Wait for the next scale. The image leaves a loop on the device, which the next scale may close."""
        try:
            if self._loop == DEVICE:
                self._keep_image()
            self.goes_on = True
        except ImpastoError as error:  # the loop has failed
            self.error = error

    def _has_more(self) -> bool:
        """Return whether the job has another scale, and iterations and evaluations left for it."""
        whole, budget = self._prepared.whole, self._prepared.whole.settings
        left = budget.evaluations is None or self.evaluations < budget.evaluations
        return not whole.is_last and left and self.iterations_done < budget.iterations

    def stop_if_over(self) -> None:
        """Give a run that goes on a result after all, if the job was cancelled or its deadline has passed."""
        try:
            outcome = self._budget.spent(-1)
        except Exception as error:  # of the caller's own function
            self.goes_on, self.error = False, error
            return
        if outcome is not None and self._last is not None:
            with self._locked():
                self.goes_on, self.outcome = False, outcome
                self._conclude(self._last, outcome)

    def _conclude(self, last: Step, outcome: Outcome) -> None:
        """Make the result, at the size of the job's last scale."""
        whole = self._prepared.whole
        try:
            state = self.state() if self._keep_state else None
            pixels, message = self.image(), outcome.message
        except ImpastoError as error:  # a loop on the device that has failed
            self.error = error
            return
        if not whole.is_last:
            here, final = whole.scale, whole.scales[-1]
            pixels = as_pixels(enlarged(last.x, whole.settings, here, final), final.height, final.width)
            message += f", at scale {whole.number + 1} of {len(whole.scales)}; the picture is enlarged from "
            message += f"{here.width}x{here.height} px"
        done: tuple[ScaleDone, ...] = ()
        if len(whole.scales) > 1:
            latest = scale_done(whole, self._scales_done, last.iteration, self.evaluations, self._seconds())
            done = (*self._scales_done, latest)
        self.result = Result(
            picture=Picture(pixels, whole.scene.alpha, whole.scene.name),
            loss=last.loss,
            terms=last.terms,
            initial_terms=self._initial_terms,
            iterations=last.iteration,
            evaluations=self.evaluations,
            loop=self._loop,
            outcome=outcome.value,
            message=message,
            seconds=self._seconds(),
            setup_s=self._setup_s or 0.0,
            evaluations_s=self._evaluations_s,
            settings=whole.settings,
            provenance=self.surroundings.provenance,
            state=state,
            scales=done,
        )
