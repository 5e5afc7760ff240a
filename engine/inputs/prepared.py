"""The images of a run, read and resized."""

import time
from dataclasses import dataclass, field

import numpy as np

from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import Painting, Style, initial_image, read_pictures
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.optimisers.solution import Vector
from impasto.engine.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """The settings and images that a run begins with.

    Attributes:
        settings: settings of the run.
        scene: the content image, at the size of the result.
        painting: the style image, at its own size, or a saved style.
        x: the image to start from, flat float32.
        from_noise: whether the start image is noise.
        called_s: time of the request of the run, by `time.perf_counter`.
    """

    settings: Settings
    scene: Picture
    painting: Painting
    x: Vector
    from_noise: bool
    called_s: float = field(default_factory=time.perf_counter)


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
    scene, painting = read_pictures(content, style, settings)
    x = initial_image(settings, scene, painting, start)
    return Prepared(settings, scene, painting, x, start is None and settings.init == "noise", called_s)


def prepare_again(state: RunState, settings: Settings, precision: str, *, called_s: float) -> Prepared:
    """Return the images of a run that continues.

    Args:
        state: state of the run.
        settings: settings of the rest of the run; its limits count from the start.
        precision: precision of the rest of the run. The run keeps the targets of a saved style in any precision.
        called_s: time of the request to continue, by `time.perf_counter`.
    """
    x = np.ascontiguousarray(state.optimiser["x"], np.float32)
    painting = state.painting.taken_for(precision) if isinstance(state.painting, SavedStyle) else state.painting
    return Prepared(settings, state.scene, painting, x, state.from_noise, called_s)
