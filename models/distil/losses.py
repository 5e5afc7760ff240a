"""How far the student's answers are from the teacher's, per tap, in units that mean the same for all taps.

* features: squared error relative to the power of the tap's values;
* Gram matrices: squared error relative to the variance of Gram matrices between images, since the style loss only ever
  sees differences. Per pixel, so that crops of all sizes count alike;
* gradients: squared error of the style loss's gradient with respect to the image, relative to that gradient's own
  square.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from impasto.models.distil.objective import gram
from impasto.models.distil.spec import STYLE_TAPS, TAPS, teacher_channels

FEATURE_WEIGHTS = {"relu1_1": 0.5, "relu2_1": 0.7, "relu3_1": 1.0, "relu4_1": 2.0, "relu4_2": 1.5, "relu5_1": 0.7}
OWN_POWER = 0.05
"""Share of an image's own power of Gram in the unit, so that a very loud image does not rule a batch."""

Values = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Units:
    """What the errors are measured in: constants of the teacher and the data.

    Attributes:
        power: {tap: mean square of the values}.
        spread: {style tap: E ||G / M - E G / M||^2}.
        share: {style tap: share of the literal style loss between two images}; sums to 1.
    """

    power: dict[str, float]
    spread: dict[str, float]
    share: dict[str, float]


def measure_units(batches: list[Values]) -> Units:
    """Take the units from the teacher's features of some batches."""
    power = {tap: float(torch.stack([b[tap].float().square().mean() for b in batches]).mean()) for tap in TAPS}
    spread = {}
    for tap in STYLE_TAPS:
        grams = torch.cat([_per_pixel(b[tap]) for b in batches])
        spread[tap] = float((grams - grams.mean(0)).square().sum((1, 2)).mean())
    literal = {tap: spread[tap] / teacher_channels(tap) ** 2 for tap in STYLE_TAPS}
    total = sum(literal.values())
    return Units(power, spread, {tap: value / total for tap, value in literal.items()})


def errors(answers: Values, truth: Values, units: Units) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the relative errors of features and of Gram matrices, one number per tap, means over the batch."""
    feature, style = {}, {}
    for tap in TAPS:
        answer, target = answers[tap].float(), truth[tap].float()
        unit = (units.power[tap] + target.square().mean((1, 2, 3))) / 2
        feature[tap] = ((answer - target).square().mean((1, 2, 3)) / unit).mean()
        if tap in STYLE_TAPS:
            wanted = _per_pixel(target)
            scale = units.spread[tap] + OWN_POWER * wanted.square().sum((1, 2))
            style[tap] = ((_per_pixel(answer) - wanted).square().sum((1, 2)) / scale).mean()
    return feature, style


def gradient_error(answers: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the mean relative error of gradients, each (N, 3, H, W)."""
    powers = truth.square().sum((1, 2, 3))
    return ((answers - truth).square().sum((1, 2, 3)) / powers.clamp_min(torch.finfo(torch.float32).tiny)).mean()


def total(feature: Values, style: Values, units: Units, gram_weight: float = 1.0) -> torch.Tensor:
    """Return the training loss: features by fixed weights, Gram matrices by their share in the literal style loss."""
    loss = torch.stack([FEATURE_WEIGHTS[tap] * feature[tap] for tap in TAPS]).sum()
    gram_loss = torch.stack([(0.1 + units.share[tap]) * style[tap] for tap in STYLE_TAPS]).sum()
    return loss + gram_weight * gram_loss


def _per_pixel(features: torch.Tensor) -> torch.Tensor:
    return gram(features) / (features.shape[2] * features.shape[3])
