"""An optimiser's steps, and what happens where the precision does not suffice: it goes on in a safer one."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping

from impasto.engine.device.objective import Objective
from impasto.engine.optimisers.adam import AdamSettings, adam
from impasto.engine.optimisers.initial_inverse import PRIOR_PAIRS
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.minimisation import Minimisation
from impasto.engine.optimisers.outcome import Budget, Outcome, Step, Vector
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

GREY_LEVEL = 1.0 / 255.0
PIXEL_RANGE = (0.0, 1.0)
HOST, DEVICE = "host", "device"
NON_FINITE = (Outcome.NON_FINITE_START, Outcome.NON_FINITE_STEP)

Safer = Callable[[int], tuple[Objective, float] | None]
"""Iterations done -> the objective in the next safer precision and its loss noise; None where there is none."""


def lbfgs_settings(
    settings: Settings, image_shape: tuple[int, int, int], loss_noise: float, *, from_noise: bool = False
) -> LbfgsSettings:
    """Return how L-BFGS works for a run.

    Args:
        settings: of the run.
        image_shape: channels, height and width.
        loss_noise: the loss's relative error.
        from_noise: whether it starts from noise.
    """
    spectral = settings.optimizer == "lbfgs"
    reconstructs = from_noise and settings.active_content_taps and not settings.active_style_taps
    return LbfgsSettings(
        history_size=settings.history,
        loss_noise=loss_noise,
        image_shape=image_shape if spectral else None,
        prior_pairs=PRIOR_PAIRS if reconstructs else 0,
        bounds=_bounds(settings),
    )


def _bounds(settings: Settings) -> tuple[float, float] | None:
    return PIXEL_RANGE if settings.bounded else None


class Descent:
    """Iterate to minimise: each item is an accepted step, counted from the start whatever the precision.

    Attributes:
        last: the latest step; None before the first evaluation, and for good where that is not finite anywhere.
        outcome: why it ended; None as long as it has not.
        terms: every weighted term of the latest step, by name.
        objective: the one in use.
        evaluations: runs of loss and gradient, in all precisions.
        evaluations_s: seconds inside them.
        loop: "device" or "host": where the optimiser works, or worked last.
    """

    def __init__(
        self,
        objective: Objective,
        loss_noise: float,
        x: Vector,
        settings: Settings,
        *,
        from_noise: bool = False,
        cancel: Callable[[], bool] | None = None,
        safer: Safer | None = None,
    ) -> None:
        """Take over what to minimise; nothing runs yet.

        Args:
            objective: the function.
            loss_noise: its relative error.
            x: where to start.
            settings: of these, optimiser and limits.
            from_noise: whether x is noise.
            cancel: asked before every evaluation; True ends the run.
            safer: asked where a value is not finite; None goes on nowhere.
        """
        self.objective = objective
        self.last: Step | None = None
        self.terms: Mapping[str, float] = {}
        self.outcome: Outcome | None = None
        self.evaluations = 0
        self.evaluations_s = 0.0
        self.loop = HOST
        self._loss_noise = loss_noise
        self._x = x
        self._point: Callable[[], Vector] = lambda: x
        self._settings = settings
        self._from_noise = from_noise
        self._cancel = cancel
        self._safer = safer
        self._on_host = False
        self._deadline = None if settings.timeout_s is None else time.monotonic() + settings.timeout_s

    def __iter__(self) -> Iterator[Step]:
        while True:
            try:
                yield from self._steps_in_one_precision()
            except ImpastoError:
                if self._on_host or self.objective.on_device is None or self.objective.on_device.demanded:
                    raise
                self._on_host = True  # it goes on there, from the last image
                self._keep_last()
                continue
            next_one = self._next()
            if next_one is None:
                return
            self.objective, self._loss_noise = next_one
            self.outcome = None

    def _steps_in_one_precision(self) -> Iterator[Step]:
        done, before = self.last.iteration if self.last else 0, self.evaluations
        run = self._minimise(done, before)
        try:
            for step in run:
                goes_on = self.last is not None and step.iteration == 0
                self._point, self.evaluations = step.point, before + run.evaluations
                self.last = dataclasses.replace(
                    step,
                    iteration=step.iteration + done,
                    evaluations=step.evaluations + before,
                    point=self._image,  # who keeps the step keeps nothing that the optimiser holds
                )
                self.terms = self.objective.terms_of(step.loss)
                if not goes_on:  # the image has been reported already
                    yield self.last
        finally:
            self.evaluations, self.outcome = before + run.evaluations, run.outcome
        self.evaluations_s += self.objective.seconds

    def _next(self) -> tuple[Objective, float] | None:
        """Return what to go on with, and keep the last good image to go on from."""
        spent = self._budget(0, 0).spent(self.evaluations) if self.outcome in NON_FINITE else self.outcome
        if spent is not None or self._safer is None:
            return None
        self._keep_last()
        start = time.monotonic()
        found = self._safer(self.last.iteration if self.last else 0)
        if self._deadline is not None:
            self._deadline += time.monotonic() - start  # in a batch it waits for the others
        if found is None and self._cancel is not None and self._cancel():
            self.outcome = Outcome.CANCELLED
        return found

    def _image(self) -> Vector:
        return self._point()

    def _keep_last(self) -> None:
        """Copy the last image, and let go of what it was in."""
        if self.last is not None:
            kept = self._x = self.last.x.copy()
            self._point = lambda: kept

    def _minimise(self, iterations: int, evaluations: int) -> Minimisation:
        """Start the optimiser that was asked for, with what is left of the limits."""
        settings = self._settings
        budget = self._budget(iterations, evaluations)
        if settings.optimizer == "adam":
            rate = settings.learning_rate * GREY_LEVEL
            bounds = _bounds(settings)
            return adam(self.objective, self._x, AdamSettings(learning_rate=rate, bounds=bounds), budget)
        from_noise = self._from_noise and self.last is None  # not where it goes on in a safer precision
        chosen = lbfgs_settings(settings, self.objective.image_shape, self._loss_noise, from_noise=from_noise)
        on_device = self._on_device(chosen, budget)
        self.loop = HOST if on_device is None else DEVICE
        return on_device or lbfgs(self.objective, self._x, chosen, budget)

    def _on_device(self, chosen: LbfgsSettings, budget: Budget) -> Minimisation | None:
        """Start L-BFGS on the device; None where it is not wanted there, or was not asked for and does not run."""
        wanted = self.objective.on_device
        if wanted is None or self._on_host:
            return None
        from impasto.engine.device.lbfgs import device_lbfgs  # builds a graph, which most runs do without

        try:
            return device_lbfgs(self.objective, self._x, chosen, budget)
        except ImpastoError:
            if wanted.demanded:
                raise
            return None

    def _budget(self, iterations: int, evaluations: int) -> Budget:
        """Return the limits less what is done."""
        limit = self._settings.evaluations
        return Budget(
            iterations=self._settings.iterations - iterations,
            evaluations=None if limit is None else limit - evaluations,
            deadline=self._deadline,
            cancelled=self._cancel,
        )
