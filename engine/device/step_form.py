"""Construction of a loop on the device from the settings of L-BFGS."""

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.placement import OnDevice
from impasto.engine.optimisers import initial_inverse
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.runtime import loss_scaling
from impasto.engine.runtime.providers import step_provider
from impasto.export.optimiser import Spectrum, StepForm, real_fourier


def device_loop(on_device: OnDevice, settings: LbfgsSettings, image_shape: tuple[int, int, int]) -> DeviceLoop:
    """Return a loop for all samples of a session, with empty places.

    Args:
        on_device: inputs of the loop.
        settings: settings of L-BFGS, the same for all samples.
        image_shape: channels, height and width.

    Raises:
        ImpastoError: the step does not run on the provider, or its history does not fit there.
    """
    form = step_form(settings, image_shape, on_device)
    return DeviceLoop(on_device.session, step_provider(on_device.provider), form, on_device.threads)


def step_form(settings: LbfgsSettings, image_shape: tuple[int, int, int], on_device: OnDevice) -> StepForm:
    """Return the form of a step, which decides its graph."""
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
