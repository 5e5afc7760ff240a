"""`impasto.engine.optimisers.lbfgs` with every vector in the provider's memory: the host starts the steps and reads a log."""

import math
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.objective import Objective, OnDevice, Place
from impasto.engine.optimisers import initial_inverse
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.minimisation import Minimisation, Stopped, read_only, starting_point
from impasto.engine.optimisers.outcome import Budget, Outcome, Step, Vector
from impasto.engine.runtime import loss_scaling
from impasto.engine.runtime.providers import beside
from impasto.export.optimiser import REPORTED, Code, Spectrum, StepForm, real_fourier
from impasto.models.errors import ImpastoError

_FOREVER = float(2**52)


def device_lbfgs(objective: Objective, x0: Vector, settings: LbfgsSettings, budget: Budget) -> Minimisation:
    """Minimise as `impasto.engine.optimisers.lbfgs.lbfgs` does, step for step within rounding.

    Every `OnDevice.every` evaluations the host looks at what was logged: then steps are told of, and only then
    cancellation and deadline are noticed. The ``x`` of a step is that of the latest one.

    Args:
        objective: with `on_device`. Where that has a place, it has begun there with x0, these settings, and the
            budget's iterations.
        x0: where to start, flat float32; it is copied, and brought between the bounds.
        settings: of these, the line search is "backtracking".
        budget: as for `lbfgs`.

    Raises:
        ImpastoError: the step does not run on the provider, there or while it is iterated over.
        ValueError: x0 is not flat float32, or another line search is asked for.
    """
    if objective.on_device is None:
        raise ValueError("the objective has no session to share memory with")
    run = _Run(objective, objective.on_device, starting_point(x0), settings, budget)
    return Minimisation(run, run.steps())


class _Run:
    """One minimisation; counts as the optimiser's objective does."""

    def __init__(
        self, objective: Objective, on_device: OnDevice, x: Vector, settings: LbfgsSettings, budget: Budget
    ) -> None:
        self.evaluations = 0
        self._without_effect = 0
        self._provider = on_device.provider.name
        self._objective = objective
        self._terms = on_device.terms
        self._budget = budget
        self._every = on_device.every
        self._place: Place = on_device.place or _Alone(objective, on_device, x, settings, budget)

    def steps(self) -> Iterator[Step]:
        """Yield the starting point and each accepted step, until Stopped is raised."""
        done = -1
        while True:
            spent = self._budget.spent(self.evaluations)
            if spent is not None:
                raise Stopped(spent)
            left = math.inf if self._budget.evaluations is None else self._budget.evaluations - self.evaluations
            start = time.perf_counter()
            rows = self._place.run(int(min(self._every, left)))
            seconds = (time.perf_counter() - start) / len(rows)
            before = self.evaluations
            for row in rows:
                loss, step_size, iteration, evaluations, _ = (float(value) for value in row[: len(REPORTED)])
                terms = dict(zip(self._terms, row[len(REPORTED) :].tolist(), strict=True))
                self._objective.remember(loss, terms, seconds)
                self.evaluations = int(evaluations)
                if iteration > done:
                    done = int(iteration)
                    yield Step(done, self.evaluations, loss, step_size, self._x)
            code = Code(int(rows[-1, REPORTED.index("code")]))
            if code != Code.RUNNING:
                raise Stopped(Outcome[code.name])
            self._check_progress(len(rows), self.evaluations - before)

    def _check_progress(self, steps: int, counted: int) -> None:
        """Raise ImpastoError if steps count nothing more often than a search for float16's factor may."""
        self._without_effect = 0 if counted else self._without_effect + steps
        if self._without_effect > loss_scaling.MOST_ATTEMPTS:
            raise ImpastoError(f"the optimiser's step has no effect on provider {self._provider}; use --loop host")

    def _x(self) -> Vector:
        return read_only(self._place.x())


class _Alone:
    """The only place of a loop, where the image has begun."""

    def __init__(
        self, objective: Objective, on_device: OnDevice, x: Vector, settings: LbfgsSettings, budget: Budget
    ) -> None:
        self._loop = device_loop(on_device, settings, objective.image_shape)
        limit = _FOREVER if budget.iterations is None else budget.iterations
        self._loop.enter(0, x, limit, on_device.coefficients[0])

    def run(self, most: int) -> NDArray[np.float32]:
        return self._loop.run(most)[:, 0]

    def x(self) -> Vector:
        return self._loop.x(0)


def device_loop(on_device: OnDevice, settings: LbfgsSettings, image_shape: tuple[int, int, int]) -> DeviceLoop:
    """Return a loop for all samples of a session, with empty places.

    Args:
        on_device: where it runs.
        settings: as for `device_lbfgs`; of all samples.
        image_shape: channels, height and width.

    Raises:
        ImpastoError: the step does not run on the provider, or its history does not fit there.
        ValueError: another line search than "backtracking" is asked for.
    """
    form = step_form(settings, image_shape, on_device)
    return DeviceLoop(on_device.session, beside(on_device.provider), form, on_device.threads)


def step_form(settings: LbfgsSettings, image_shape: tuple[int, int, int], on_device: OnDevice) -> StepForm:
    """Return what decides the graph of a step."""
    if settings.line_search != "backtracking":
        raise ValueError(f"line_search is {settings.line_search!r}; on the device it must be 'backtracking'")
    scale = (
        loss_scaling.WANTED_EXPONENT,
        loss_scaling.TOLERATED,
        loss_scaling.BACK_OFF,
        loss_scaling.MOST_ATTEMPTS,
    )
    return StepForm(
        batch=len(on_device.coefficients),
        shape=image_shape,
        terms=len(on_device.terms),
        log_rows=on_device.every,
        history_size=settings.history_size,
        first_step_mean_change=settings.first_step_mean_change,
        sufficient_decrease=settings.sufficient_decrease,
        loss_noise=settings.loss_noise,
        least_cosine=settings.least_cosine,
        max_search_evaluations=settings.max_search_evaluations,
        bounds=settings.bounds,
        scale=scale if on_device.scaled else None,
        spectrum=None if settings.image_shape is None else _spectrum(settings.image_shape, settings.prior_pairs),
    )


def _spectrum(shape: tuple[int, int, int], prior_pairs: int) -> Spectrum:
    channels, height, width = shape
    vertical, horizontal = real_fourier(height)[1], real_fourier(width)[1]
    return Spectrum(
        band=initial_inverse.bands_of(vertical, horizontal, max(height, width)),
        bands=initial_inverse.BANDS,
        colours=initial_inverse.cosine_transform(channels),
        memory=initial_inverse.MEMORY,
        first_pairs=initial_inverse.FIRST_PAIRS,
        every=initial_inverse.EVERY,
        strength=initial_inverse.STRENGTH,
        narrowest=initial_inverse.NARROWEST,
        widest=initial_inverse.WIDEST,
        prior=initial_inverse.prior_energies(shape),
        prior_pairs=prior_pairs,
    )
