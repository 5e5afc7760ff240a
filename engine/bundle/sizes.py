"""The results of a bundle, and the sizes that each of them goes through."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from impasto.engine.images import Picture
from impasto.engine.inputs.scales import Scale, scales_of
from impasto.engine.inputs.scaling import Whole
from impasto.engine.inputs.sizes import Outline, style_side_px, tileable
from impasto.engine.settings import LARGEST_SIDE_PX, Settings
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError

_MOST_SCALES_ITERATIONS = 1000
"""A bundle has every scale that a long run has; a host may run them for as long as it likes."""


@dataclass(frozen=True)
class ScalePlan:
    """One scale of a result.

    Attributes:
        scale: its step and size.
        settings: of the evaluations there, whose weights make up for the smaller area.
    """

    scale: Scale
    settings: Settings


@dataclass(frozen=True)
class ResultPlan:
    """A size of results.

    Attributes:
        width: px.
        height: px.
        scales: from coarse to fine; the last one has the size of the result.
        style_long_side: of a style image, px; 0 is its own size.
    """

    width: int
    height: int
    scales: tuple[ScalePlan, ...]
    style_long_side: int


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of ``512x384``, px.

    Raises:
        ImpastoError: the text is not of this form, or a side is out of range.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if match is None:
        raise ImpastoError(f"bad --size {text!r}: write WIDTHxHEIGHT in px, as 512x384")
    width, height = int(match[1]), int(match[2])
    for side in (width, height):
        if not SMALLEST_SIDE_PX <= side <= LARGEST_SIDE_PX:
            raise ImpastoError(f"bad --size {text!r}: allowed are sides of {SMALLEST_SIDE_PX} to {LARGEST_SIDE_PX} px")
    return width, height


def plan_results(sizes: Sequence[tuple[int, int]], settings: Settings) -> tuple[ResultPlan, ...]:
    """Return the results of a bundle.

    Args:
        sizes: width and height of each, px.
        settings: of the runs; their limits on iterations do not count.

    Raises:
        ImpastoError: a size is given twice, or does not tile although the settings are seamless.
    """
    free = dataclasses.replace(settings, iterations=_MOST_SCALES_ITERATIONS, evaluations=None)
    found = []
    for number, (width, height) in enumerate(sizes):
        if (width, height) in sizes[:number]:
            raise ImpastoError(f"--size {width}x{height} is given twice: give each size once")
        if settings.seamless and tileable(height, width) != (height, width):
            high, wide = tileable(height, width)
            raise ImpastoError(f"bad --size {width}x{height} for a seamless result: take {wide}x{high}")
        scene = Outline(height, width, "")
        scales = scales_of(free, height, width)
        blank = Picture(np.zeros((1, 1, 3), np.float32), None, "")  # a scale's settings depend on no pixel
        whole = Whole(free, blank, blank, scales)
        plans = tuple(
            ScalePlan(scale, dataclasses.replace(whole, number=index).settings_here())
            for index, scale in enumerate(scales)
        )
        found.append(ResultPlan(width, height, plans, style_side_px(settings, scene)))
    return tuple(found)
