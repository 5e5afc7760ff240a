"""The optimiser's settings for a run."""

from impasto.engine.optimisers.adam import AdamSettings
from impasto.engine.optimisers.initial_inverse import PRIOR_PAIRS
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.settings import Settings

GREY_LEVEL = 1.0 / 255.0
PIXEL_RANGE = (0.0, 1.0)


def lbfgs_settings(
    settings: Settings, image_shape: tuple[int, int, int], loss_noise: float, *, from_noise: bool = False
) -> LbfgsSettings:
    """Return the settings of L-BFGS for a run; `LbfgsSettings` describes the image's shape and the loss's noise."""
    spectral = settings.optimizer == "lbfgs"
    reconstructs = from_noise and settings.active_content_taps and not settings.active_style_taps
    return LbfgsSettings(
        history_size=settings.history,
        loss_noise=loss_noise,
        image_shape=image_shape if spectral else None,
        prior_pairs=PRIOR_PAIRS if reconstructs else 0,
        bounds=_bounds(settings),
    )


def adam_settings(settings: Settings) -> AdamSettings:
    """Return the settings of Adam for a run."""
    return AdamSettings(
        learning_rate=settings.learning_rate * GREY_LEVEL, bounds=_bounds(settings), average=settings.average
    )


def _bounds(settings: Settings) -> tuple[float, float] | None:
    return PIXEL_RANGE if settings.bounded else None
