"""How an image becomes a network's input: a property of the weights, not of the architecture."""

import json
import math
from dataclasses import asdict, dataclass

from impasto.models.errors import ImpastoError

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """input = (scale * image - mean) / std, per channel; the image is RGB, 0..1.

    Zero padding comes after it, so the mean cannot be folded into the first convolution's bias.

    Attributes:
        scale: of the range: 255 for networks that were trained on 0..255.
        mean: on the scaled range, in the order R, G, B.
        std: on the scaled range, in the order R, G, B.
    """

    scale: float
    mean: Channels
    std: Channels = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        values = (self.scale, *self.mean, *self.std)
        if not all(map(math.isfinite, values)) or self.scale <= 0 or min(self.std) <= 0:
            raise ValueError(f"scale and std must be positive, all numbers finite: {self.to_json()}")

    def __str__(self) -> str:
        """Return the formula, x being the image."""
        numerator = f"{self.scale:g} x - {self.mean}" if self.scale != 1 else f"x - {self.mean}"
        return numerator if self.std == (1.0, 1.0, 1.0) else f"({numerator}) / {self.std}"

    @property
    def gain(self) -> Channels:
        """The factor in input = gain * image + offset."""
        r, g, b = self.std
        return self.scale / r, self.scale / g, self.scale / b

    @property
    def offset(self) -> Channels:
        """The summand in input = gain * image + offset."""
        (r, g, b), (std_r, std_g, std_b) = self.mean, self.std
        return -r / std_r, -g / std_g, -b / std_b

    def to_json(self) -> str:
        """Return it as the JSON that files hold."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocess":
        """Read what `to_json` wrote.

        Raises:
            ImpastoError: the text is something else.
        """
        try:
            fields = json.loads(text)
            return cls(float(fields["scale"]), _channels(fields["mean"]), _channels(fields["std"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ImpastoError(
                f'unreadable preprocessing {text!r}: expected {{"scale": s, "mean": [r, g, b], "std": [r, g, b]}}'
            ) from error


def _channels(values: object) -> Channels:
    if not isinstance(values, list) or len(values) != 3:
        raise TypeError
    r, g, b = (float(value) for value in values)
    return r, g, b


OXFORD = Preprocess(255.0, (123.68, 116.779, 103.939))
"""Simonyan and Zisserman's own networks: 0..255, the training set's mean colour removed."""

TORCHVISION = Preprocess(1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's networks: ImageNet mean and standard deviation."""
