"""L-BFGS with every vector in the provider's memory: the host starts the steps and reads a log."""

import math
from collections.abc import Callable, Generator, Sequence

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.placement import OnDevice
from impasto.engine.device.places import Rows, Steps
from impasto.engine.optimisers import initial_inverse
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.optimisers.solution import Outcome, State, Step, Vector, read_only
from impasto.engine.runtime import loss_scaling
from impasto.engine.runtime.providers import step_provider
from impasto.export.optimiser import REPORTED, Code, Spectrum, StepForm, real_fourier
from impasto.models.errors import ImpastoError


def device_lbfgs(
    terms: Sequence[str],
    point: Callable[[], Vector],
    state: Callable[[], State],
    *,
    every: int,
    evaluations: int | None = None,
    done: int = -1,
    counted: int = 0,
    provider: str = "",
) -> Generator[Steps | Step, Rows | None, Outcome]:
    """Follow L-BFGS on the device, step for step within rounding as `impasto.engine.optimisers.lbfgs.lbfgs`.

    The image has entered a place of a loop already. Instead of points this optimiser yields `Steps`, and is sent the
    rows that the device logged. The ``x`` of a `Step` is that of the latest one.

    Args:
        terms: their names, in the order of the log's columns.
        point: fetches the latest accepted image, flat.
        state: fetches all that the device needs to continue.
        every: evaluations between two looks of the host.
        evaluations: at most; None is no limit.
        done: the iteration that the place has come to already; -1 is none.
        counted: evaluations that the place has had already.
        provider: its name, for errors.

    Raises:
        ImpastoError: the device's steps have no effect.
    """
    without_effect = 0
    while True:
        left = math.inf if evaluations is None else evaluations - counted
        rows = yield Steps(max(int(min(every, left)), 1))
        if rows is None:
            raise ValueError("an optimiser that yields Steps must be sent their rows")
        before = counted
        for row in rows:
            loss, step_size, iteration, total, _ = (float(value) for value in row[: len(REPORTED)])
            counted = int(total)
            if iteration > done:
                done = int(iteration)
                named = dict(zip(terms, row[len(REPORTED) :].tolist(), strict=True))
                yield Step(done, counted, loss, step_size, named, lambda: read_only(point()), state)
        code = Code(int(rows[-1, REPORTED.index("code")]))
        if code != Code.RUNNING:
            return Outcome[code.name]
        without_effect = 0 if counted > before else without_effect + len(rows)
        if without_effect > loss_scaling.MOST_ATTEMPTS:
            raise ImpastoError(f"the optimiser's step has no effect on provider {provider}; use --loop host")


def evaluations_in(rows: Rows) -> int:
    """Return how many evaluations count, from the first one on, when these rows are the latest."""
    return int(rows[-1, REPORTED.index("evaluations")])


def device_loop(on_device: OnDevice, settings: LbfgsSettings, image_shape: tuple[int, int, int]) -> DeviceLoop:
    """Return a loop for all samples of a session, with empty places.

    Args:
        on_device: where it runs.
        settings: as for `device_lbfgs`; of all samples.
        image_shape: channels, height and width.

    Raises:
        ImpastoError: the step does not run on the provider, or its history does not fit there.
    """
    form = step_form(settings, image_shape, on_device)
    return DeviceLoop(on_device.session, step_provider(on_device.provider), form, on_device.threads)


def step_form(settings: LbfgsSettings, image_shape: tuple[int, int, int], on_device: OnDevice) -> StepForm:
    """Return what decides the graph of a step."""
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
