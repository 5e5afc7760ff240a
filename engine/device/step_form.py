"""Forms of steps from the settings of optimisers, and the loop on the device."""

import dataclasses

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.placement import OnDevice
from impasto.engine.optimisers import initial_inverse
from impasto.engine.optimisers.adam import AdamSettings
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.runtime import loss_scaling
from impasto.engine.runtime.providers import step_provider
from impasto.export.optimiser import AdamForm, Spectrum, StepForm, real_fourier

_SCALE = loss_scaling.WANTED_EXPONENT, loss_scaling.TOLERATED, loss_scaling.BACK_OFF, loss_scaling.MOST_ATTEMPTS


def device_loop(on_device: OnDevice, settings: LbfgsSettings, image_shape: tuple[int, int, int]) -> DeviceLoop:
    """Return a loop for all samples of a session, with empty places, as `LoopPlaces` describes it."""
    form = step_form(settings, image_shape, on_device)
    return DeviceLoop(on_device.session, step_provider(on_device.provider), form, on_device.threads)


def step_form(settings: LbfgsSettings, image_shape: tuple[int, int, int], on_device: OnDevice) -> StepForm:
    """Return the form of a step, which decides its graph."""
    return lbfgs_form(
        settings,
        image_shape,
        batch=len(on_device.coefficients),
        terms=len(on_device.terms),
        log_rows=on_device.every,
        scaled=on_device.scaled,
    )


def lbfgs_form(
    settings: LbfgsSettings, image_shape: tuple[int, int, int], *, batch: int, terms: int, log_rows: int, scaled: bool
) -> StepForm:
    """Return the form of a step of L-BFGS.

    Args:
        settings: of the optimiser.
        image_shape: channels, height and width.
        batch: number of samples.
        terms: number of terms of the objective.
        log_rows: steps that the log holds.
        scaled: whether the objective computes in float16, whose cotangents need a factor.
    """
    return StepForm(
        batch=batch,
        shape=image_shape,
        terms=terms,
        log_rows=log_rows,
        history_size=settings.history_size,
        first_step_mean_change=settings.first_step_mean_change,
        sufficient_decrease=settings.sufficient_decrease,
        loss_noise=settings.loss_noise,
        least_cosine=settings.least_cosine,
        max_search_evaluations=settings.max_search_evaluations,
        bounds=settings.bounds,
        scale=_SCALE if scaled else None,
        spectrum=None if settings.image_shape is None else _spectrum(settings.image_shape, settings.prior_pairs),
    )


def adam_form(
    settings: AdamSettings, image_shape: tuple[int, int, int], *, batch: int, terms: int, log_rows: int, scaled: bool
) -> AdamForm:
    """Return the form of a step of Adam; the arguments are those of `lbfgs_form`."""
    return AdamForm(
        batch=batch,
        shape=image_shape,
        terms=terms,
        log_rows=log_rows,
        scale=_SCALE if scaled else None,
        **dataclasses.asdict(settings),
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
