"""VGG-19 with taps of equal power, for methods that were made for a network that has them.

style-transfer-pytorch was made for the weights of torchvision, whose taps are of the order of 1. Those of the Oxford
weights reach RMS 1000, and weights that were chosen for the former ignore shallow taps and smoothness with the latter.
The convolutions of VGG-19 are followed by ReLUs, and ReLU(s x) = s ReLU(x) for s > 0. So dividing every tap by a number
gives exactly what a network with other convolutions would give, which computes the same function.

The rule: each tap is divided by its RMS over all channels and positions of the five pictures in `examples/`, reduced to
`SIDE_PX`, with the padding and the pooling of the method. The numbers depend on the network alone, not on the pictures
that are painted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from impasto.bench.contenders.torch_taps import TorchTaps
from impasto.engine.images import Picture, read_image, to_nchw
from impasto.export.tap_graph import available_taps
from impasto.models.errors import ImpastoError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PICTURES = ("harbour.jpg", "still_life.jpg", "swirls.jpg", "mosaic.jpg", "woodcut.jpg")
SIDE_PX = 256
PADDINGS = {"zero": "zeros", "replicate": "replicate"}  # and what PyTorch calls them


class EqualPower(nn.Module):
    """Image, float32 [1, 3, H, W], RGB, 0..1 -> {tap: features}, each tap of RMS 1 over the pictures of the rule.

    Attributes:
        powers: by tap, the RMS that it is divided by.
    """

    def __init__(
        self,
        features: ir.Model,
        taps: Sequence[str],
        *,
        padding: str = "replicate",
        pool: str = "max",
        pictures: Sequence[Picture] | None = None,
    ) -> None:
        """Build the layers and measure the taps.

        Args:
            features: the network, as `Engine.network.model`.
            taps: of the method.
            padding: of the first convolution, a key of `PADDINGS`; the others keep zeros.
            pool: max or avg.
            pictures: of the rule; None is those in `examples/`.

        Raises:
            ImpastoError: the network has no such tap or an operator that is not supported, or a tap is 0 on every
                picture.
        """
        super().__init__()
        known = available_taps(features)
        missing = [tap for tap in taps if tap not in known]
        if missing:
            raise ImpastoError(f"the network has no tap {missing[0]}: its taps are {', '.join(known)}")
        self._taps = tuple(tap for tap in known if tap in taps)
        self._layers = TorchTaps(features, self._taps, SIDE_PX, pool)
        first = next(layer for layer in self._layers.modules() if isinstance(layer, nn.Conv2d))
        first.padding_mode = cast(Any, PADDINGS[padding])
        self.powers: Mapping[str, float] = {}
        self.powers = self._measured(pictures or [read_image(EXAMPLES / name) for name in PICTURES])

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return every tap, divided by its power."""
        values = self._layers(image)
        return {tap: value / self.powers.get(tap, 1.0) for tap, value in zip(self._taps, values, strict=True)}

    def _measured(self, pictures: Sequence[Picture]) -> dict[str, float]:
        squares, counts = dict.fromkeys(self._taps, 0.0), dict.fromkeys(self._taps, 0)
        for picture in pictures:
            with torch.no_grad():
                found = self(torch.from_numpy(to_nchw(picture.within(SIDE_PX).pixels)))
            for tap, value in found.items():
                squares[tap] += float(value.double().square().sum())
                counts[tap] += value.numel()
        powers = {tap: float(np.sqrt(squares[tap] / counts[tap])) for tap in self._taps}
        for tap, power in powers.items():
            if not np.isfinite(power) or power == 0:
                raise ImpastoError(f"tap {tap} has no finite power above 0 on the pictures: take another network")
        return powers
