"""The torch module of a VGG network. Importing this file needs PyTorch."""

from collections.abc import Sequence

import torch
from torch import nn

from impasto.models.errors import ImpastoError
from impasto.models.preprocess import Preprocess
from impasto.models.vgg import Conv, Network, Pool
from impasto.models.weights import Weights

POOLINGS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


def build_module(
    network: Network, weights: Weights, taps: Sequence[str] | None = None, pool: str = "avg"
) -> "VggModule":
    """Build the network in evaluation mode; layers beyond the deepest tap are left out.

    All taps are returned by default. The pooling is "avg", as the paper recommends, or "max", as VGG was trained.

    Raises:
        ImpastoError: a tap or the pooling is unknown.
    """
    if pool not in POOLINGS:
        raise ImpastoError(f"unknown pooling {pool!r}: it is one of {', '.join(POOLINGS)}")
    wanted = network.taps if taps is None else tuple(taps)
    for tap in wanted:
        if tap not in network.taps:
            raise ImpastoError(f"unknown tap {tap!r}: {network.name} has {', '.join(network.taps)}")
    return VggModule(network, weights, wanted, pool)


class VggModule(nn.Module):
    """Image, float32 (N, 3, H, W), RGB, 0..1 -> tuple of taps, float32 (N, channels, h, w), in the order of `taps`."""

    def __init__(self, network: Network, weights: Weights, taps: tuple[str, ...], pool: str) -> None:
        super().__init__()
        self.taps = taps
        self.preprocess = _Affine(weights.preprocess)
        deepest = max(i for i, layer in enumerate(network.layers) if isinstance(layer, Conv) and layer.tap in taps)
        self.sequence = network.layers[: deepest + 1]
        for layer in self.sequence:
            module: nn.Module
            if isinstance(layer, Pool):
                module = POOLINGS[pool](2)
            else:
                module = _convolution(layer, weights)
                self.add_module(layer.tap, nn.ReLU())
            self.add_module(layer.name, module)
        self.eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the layers and return the taps."""
        x = self.preprocess(image)
        values = {}
        for layer in self.sequence:
            x = self.get_submodule(layer.name)(x)
            if isinstance(layer, Conv):
                x = values[layer.tap] = self.get_submodule(layer.tap)(x)
        return tuple(values[tap] for tap in self.taps)


class _Affine(nn.Module):
    """gain * image + offset, per channel."""

    gain: torch.Tensor
    offset: torch.Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(preprocess.gain).reshape(1, 3, 1, 1))
        self.register_buffer("offset", torch.tensor(preprocess.offset).reshape(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.gain + self.offset


def _convolution(layer: Conv, weights: Weights) -> nn.Conv2d:
    module = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, device="meta")
    arrays = {part: torch.from_numpy(weights.arrays[f"{layer.name}.{part}"]) for part in ("weight", "bias")}
    module.load_state_dict(arrays, assign=True)
    return module
