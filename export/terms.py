"""The terms of an objective and the names of its inputs and outputs, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass

IMAGE, WEIGHTS, LOSS, TERMS, GRADIENT = "image", "weights", "loss", "terms", "d_image"
GRAM, GRAM_MEAN, MOMENTS = "gram", "gram-mean", "moments"
SQUARED, L2, L1 = TV_NORMS = "squared", "l2", "l1"

STYLE_TARGETS: Mapping[str, tuple[str, ...]] = {GRAM: ("gram",), GRAM_MEAN: ("covariance",), MOMENTS: ("mean", "root")}
"""The statistics of a painting that each style loss compares a tap with."""

STYLE_LOSSES = tuple(STYLE_TARGETS)


def style_targets(style_loss: str, tap: str) -> tuple[str, ...]:
    """Return the names of the targets of a style term, such as ``gram_relu1_1``."""
    return tuple(f"{statistic}_{tap}" for statistic in STYLE_TARGETS[style_loss])


@dataclass(frozen=True)
class Term:
    """One term of the objective.

    Attributes:
        kind: "content", "style" or "tv".
        tap: the tap that it reads; "image" for total variation.
        channels: C, the feature maps of the tap; of the network that it imitates, where that is a wider one.
        positions: M = height x width of the tap.
        style_loss: of `STYLE_LOSSES`; of a style term.
        tv_norm: of `TV_NORMS`; of total variation.
    """

    kind: str
    tap: str
    channels: int
    positions: int
    style_loss: str = GRAM
    tv_norm: str = SQUARED

    @property
    def name(self) -> str:
        """The name under which the term is reported: ``content_relu4_2``, ``style_relu1_1``, ``tv``."""
        return self.kind if self.kind == "tv" else f"{self.kind}_{self.tap}"

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that the term is compared with; none for total variation."""
        if self.kind == "style":
            return style_targets(self.style_loss, self.tap)
        return (f"content_{self.tap}",) if self.kind == "content" else ()
