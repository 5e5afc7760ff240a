"""A job at one of its scales: its settings and pictures there, and its state brought to the next scale."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from impasto.engine.images import Picture, interpolate, resize
from impasto.engine.inputs.pictures import Painting, as_pixels, as_vector
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.scales import Scale, ScaleDone, painting_size
from impasto.engine.optimisers.solution import State, Vector
from impasto.engine.settings import Settings

_SUMS: Mapping[str, tuple[str, ...]] = {
    "paper": ("content_weight", "tv_weight"),
    "johnson": ("tv_weight",),
    "calibrated": (),
}
"""By weighting, the weights of terms that are sums over positions; all other terms are means."""


@dataclass(frozen=True)
class Whole:
    """A job with all its scales.

    Attributes:
        settings: settings of the job; its limits and weights are those of the result.
        scene: the content image, at the size of the result.
        painting: the style image at its final size, or a saved style.
        scales: from coarse to fine.
        number: the scale that runs, from 0.
    """

    settings: Settings
    scene: Picture
    painting: Painting
    scales: tuple[Scale, ...]
    number: int = 0

    @property
    def scale(self) -> Scale:
        """The scale that runs."""
        return self.scales[self.number]

    @property
    def is_last(self) -> bool:
        """Whether the scale has the size of the result."""
        return self.number == len(self.scales) - 1

    def next(self) -> "Whole":
        """Return the job at its next scale."""
        return dataclasses.replace(self, number=self.number + 1)

    def settings_here(self) -> Settings:
        """Return the settings of the evaluations at the scale, whose limits are those of its end.

        A term that is a sum over positions has a weight that grows as the positions get fewer, so that the balance of
        the terms is that of the result.
        """
        if len(self.scales) == 1:
            return self.settings
        scale, final = self.scale, self.scales[-1]
        area = (final.height * final.width) / (scale.height * scale.width)
        given = {name: getattr(self.settings, name) for name in _SUMS[self.settings.weighting]}
        weights = {name: weight * area for name, weight in given.items() if weight is not None}  # else it is a strength
        iterations, evaluations = scale.last_iteration, scale.last_evaluation
        return dataclasses.replace(self.settings, iterations=iterations, evaluations=evaluations, **weights)

    def pictures_here(self) -> tuple[Picture, Painting]:
        """Return the content and the style image at the scale."""
        if self.is_last:
            return self.scene, self.painting
        scene, painting = self.scene.resized(self.scale.height, self.scale.width), self.painting
        if isinstance(painting, SavedStyle):
            return scene, painting.at(self.scale.step)
        if painting.pixels is self.scene.pixels:  # there is no style image
            return scene, dataclasses.replace(painting, pixels=scene.pixels)
        size = painting_size(self.settings, painting.height, painting.width, self.scale.step)
        return scene, painting.resized(*size)


def at_next_scale(state: RunState, whole: Whole) -> RunState:
    """Return a state at the end of a scale as the state with which the next scale begins.

    The image is enlarged. Adam's moments are enlarged as well; L-BFGS begins a new curvature history.

    Args:
        state: of a run at the scale.
        whole: the job at the scale.
    """
    before, after = whole.scale, whole.next().scale
    done = scale_done(whole, state.scales_done, state.iteration, state.evaluations, state.seconds)
    return dataclasses.replace(
        state,
        scale=after.step,
        scales_done=(*state.scales_done, done),
        from_noise=False,
        optimiser=_enlarged(state.optimiser, whole.settings, before, after),
    )


def scale_done(
    whole: Whole, done: tuple[ScaleDone, ...], iterations: int, evaluations: int, seconds: float
) -> ScaleDone:
    """Return the record of the scale that runs, from the totals of the run and the records of the scales before."""
    return ScaleDone(
        whole.scale.height,
        whole.scale.width,
        iterations - sum(item.iterations for item in done),
        evaluations - sum(item.evaluations for item in done),
        seconds - sum(item.seconds for item in done),
    )


def enlarged(x: Vector, settings: Settings, before: Scale, after: Scale) -> Vector:
    """Return an image at the size of another scale, clipped to its bounds if it has any.

    Args:
        x: float32 [3 H W], planes of R, G and B.
        settings: settings of the run. A seamless image is resized as one that repeats.
        before: the scale of the image.
        after: the scale that is wanted.
    """
    found = _resized(x, settings, before, after, resize)
    return np.clip(found, 0, 1) if settings.bounded else found


def _enlarged(optimiser: State, settings: Settings, before: Scale, after: Scale) -> State:
    x = enlarged(optimiser["x"], settings, before, after)
    if settings.optimizer != "adam" or "mean" not in optimiser:
        return {"x": x}
    # Every term counts as a mean over the image's area, so the gradient of one pixel falls as the area grows.
    fewer = (before.height * before.width) / (after.height * after.width)
    # Both are means with the same weights, so no step, the mean over the root of the square, is longer than before.
    mean = _resized(optimiser["mean"], settings, before, after, interpolate) * np.float32(fewer)
    square = _resized(optimiser["mean_square"], settings, before, after, interpolate) * np.float32(fewer**2)
    found = {**optimiser, "x": x, "mean": mean, "mean_square": square}
    if "iterate" in optimiser:  # x is then the average of the iterates
        found["iterate"] = enlarged(optimiser["iterate"], settings, before, after)
    return found


def _resized(x: Vector, settings: Settings, before: Scale, after: Scale, to_size: Callable[..., np.ndarray]) -> Vector:
    pixels, size = as_pixels(x, before.height, before.width), (after.height, after.width)
    if not settings.seamless:
        return as_vector(to_size(pixels, *size))
    half = before.height // 2, before.width // 2
    tiled = np.pad(pixels, ((half[0], half[0]), (half[1], half[1]), (0, 0)), "wrap")
    large = to_size(tiled, 2 * size[0], 2 * size[1])
    top, left = size[0] // 2, size[1] // 2
    return as_vector(large[top : top + size[0], left : left + size[1]])
