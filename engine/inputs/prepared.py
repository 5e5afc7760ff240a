"""The images of a run, read and resized."""

import time
from dataclasses import dataclass, field

import numpy as np

from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Painting, Style, initial_image, read_pictures
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.scales import scales_of
from impasto.engine.inputs.scaling import Whole
from impasto.engine.inputs.sizes import Outline, check_start, measure_pictures
from impasto.engine.optimisers.solution import Vector
from impasto.engine.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """The settings and images that a run begins with, at one scale of its job.

    Attributes:
        settings: settings of the run, with the weights and limits of its scale.
        scene: the content image, at the size of the scale.
        painting: the style image, at its own size for the scale, or a saved style.
        whole: the job at the scale.
        x: the image to start from, flat float32.
        from_noise: whether the start image is noise.
        called_s: time of the request of the run, by `time.perf_counter`.
    """

    settings: Settings
    scene: Picture
    painting: Painting
    whole: Whole
    x: Vector
    from_noise: bool
    called_s: float = field(default_factory=time.perf_counter)


def measure(
    content: Source | None, style: Style | None, settings: Settings, start: Picture | None = None
) -> tuple[Outline, Outline | SavedStyle]:
    """Return the sizes of a run's images, without their pixels, for a plan of the run.

    Raises:
        ImpastoError: as `prepare`, as far as the headers of the files tell.
    """
    scene, painting = measure_pictures(content, style, settings)
    if start is None:
        check_start(settings, scene, painting)
    if isinstance(painting, SavedStyle):
        painting.check_scales([scale.step for scale in scales_of(settings, scene.height, scene.width)])
    return scene, painting


def prepare(
    content: Source | None,
    style: Style | None,
    settings: Settings,
    start: Picture | None = None,
    *,
    called_s: float | None = None,
) -> Prepared:
    """Read the images of a run.

    Args:
        content: as for `read_pictures`.
        style: as for `read_pictures`.
        settings: settings of the run.
        start: the image to start from in place of ``settings.init``.
        called_s: time of the request of the run, by `time.perf_counter`; None is now.

    Raises:
        ImpastoError: as for `read_pictures` and `initial_image`.
    """
    called_s = time.perf_counter() if called_s is None else called_s
    final, painting = read_pictures(content, style, settings)
    whole = Whole(settings, final, painting, scales_of(settings, final.height, final.width))
    scene, painting = whole.pictures_here()
    x = initial_image(settings, scene, painting, start)
    from_noise = start is None and settings.init == "noise"
    return Prepared(whole.settings_here(), scene, painting, whole, x, from_noise, called_s)


def prepare_again(state: RunState, settings: Settings, precision: str, *, called_s: float) -> Prepared:
    """Return the images of a run that continues, at the scale of its state.

    Args:
        state: state of the run.
        settings: settings of the rest of the run; its limits count from the start.
        precision: precision of the rest of the run. The run keeps the targets of a saved style in any precision.
        called_s: time of the request to continue, by `time.perf_counter`.

    Raises:
        ImpastoError: the run has no such scale, or its saved style has not.
    """
    x = np.ascontiguousarray(state.optimiser["x"], np.float32)
    painting = state.painting.taken_for(precision) if isinstance(state.painting, SavedStyle) else state.painting
    scales = scales_of(settings, state.scene.height, state.scene.width, resumed=state.scale)
    number = next(number for number, scale in enumerate(scales) if scale.step == state.scale)
    whole = Whole(settings, state.scene, painting, scales, number)
    scene, painting = whole.pictures_here()
    return Prepared(whole.settings_here(), scene, painting, whole, x, state.from_noise, called_s)
