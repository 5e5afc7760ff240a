"""VGG networks as data, and as a torch module built from the data.

A network here is a plain sequence of 3x3 convolutions (stride 1, zero padding 1), each followed by a ReLU, and
2x2 poolings (stride 2, floor). Simonyan and Zisserman, arXiv:1409.1556, table 1, column E is `VGG19`; any other
widths are just other data. The tap of a convolution `conv4_2` is its ReLU's output, `relu4_2`.

Differs from Gatys et al. (arXiv:1508.06576): VGG-19 is cut at conv5_1, the deepest layer that their figures use.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    import torch

    from impasto.models.weights import Weights

POOLINGS = ("avg", "max")


@dataclass(frozen=True)
class Conv:
    """A 3x3 convolution, stride 1, zero padding 1, followed by a ReLU.

    Attributes:
        name: `convN_M`, the M-th convolution of block N.
        in_channels: of its input.
        out_channels: of its output.
    """

    name: str
    in_channels: int
    out_channels: int

    @property
    def tap(self) -> str:
        """The name of the ReLU's output: `reluN_M`."""
        return "relu" + self.name.removeprefix("conv")


@dataclass(frozen=True)
class Pool:
    """A 2x2 pooling, stride 2, without padding: an odd last row or column is dropped."""

    name: str


@dataclass(frozen=True)
class Network:
    """A sequential network: RGB in, one tap after every convolution.

    Attributes:
        name: for people, such as "VGG-19".
        layers: in the order in which they run.
    """

    name: str
    layers: tuple[Conv | Pool, ...]

    @property
    def convolutions(self) -> tuple[Conv, ...]:
        """The layers that have weights, shallow to deep."""
        return tuple(layer for layer in self.layers if isinstance(layer, Conv))

    @property
    def taps(self) -> tuple[str, ...]:
        """The names of all feature taps, shallow to deep."""
        return tuple(conv.tap for conv in self.convolutions)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter: `convN_M.weight` (out, in, 3, 3) and `convN_M.bias` (out,)."""
        shapes: dict[str, tuple[int, ...]] = {}
        for conv in self.convolutions:
            shapes[f"{conv.name}.weight"] = (conv.out_channels, conv.in_channels, 3, 3)
            shapes[f"{conv.name}.bias"] = (conv.out_channels,)
        return shapes


def sequential(name: str, blocks: Sequence[Sequence[int]]) -> Network:
    """Build a network from the widths of its blocks; a pooling stands between two blocks.

    Args:
        name: for people.
        blocks: output channels of every convolution, block by block.
    """
    layers: list[Conv | Pool] = []
    channels = 3
    for number, widths in enumerate(blocks, start=1):
        if number > 1:
            layers.append(Pool(f"pool{number - 1}"))
        for index, width in enumerate(widths, start=1):
            layers.append(Conv(f"conv{number}_{index}", channels, width))
            channels = width
    return Network(name, tuple(layers))


VGG19 = sequential("VGG-19", ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,)))


def canonical_tap(name: str, network: Network = VGG19) -> str:
    """Return the tap's own name: `conv4_2`, the paper's spelling, is `relu4_2`.

    The paper's formulas mask F <= 0, so its `conv4_2` means the values after the ReLU.

    Raises:
        ImpastoError: the network has no such tap, or was cut before it.
    """
    match = re.fullmatch(r"(?:relu|conv)(\d+)_(\d+)", name)
    tap = f"relu{match[1]}_{match[2]}" if match else name
    if tap in network.taps:
        return tap
    last = network.convolutions[-1]
    if match and (int(match[1]), int(match[2])) > _position(last):
        raise ImpastoError(
            f"tap {name!r} lies beyond {last.name}, where {network.name} is cut: use one of {', '.join(network.taps)}"
        )
    raise ImpastoError(f"unknown tap {name!r}: {network.name} has {', '.join(network.taps)}")


def _position(conv: Conv) -> tuple[int, int]:
    block, index = conv.name.removeprefix("conv").split("_")
    return int(block), int(index)


def build_module(
    network: Network, weights: "Weights", taps: Sequence[str] | None = None, pool: str = "avg"
) -> "torch.nn.Module":
    """Build the network in PyTorch, in evaluation mode.

    Args:
        network: the layers.
        weights: their parameters and the preprocessing that belongs to them.
        taps: what forward returns; all taps by default. Layers beyond the deepest one are left out.
        pool: "avg", as the paper recommends, or "max", as VGG was trained.

    Returns:
        A module whose forward takes an image, float32 (N, 3, H, W), RGB, 0..1, and returns a tuple of the
        taps' values, each float32 (N, channels, h, w), in the order of `taps`.

    Raises:
        ImpastoError: PyTorch is missing, or a tap or the pooling is unknown.
    """
    if pool not in POOLINGS:
        raise ImpastoError(f"unknown pooling {pool!r}: it is one of {', '.join(POOLINGS)}")
    wanted = network.taps if taps is None else tuple(canonical_tap(tap, network) for tap in taps)
    try:
        from impasto.models.vgg_module import VggModule
    except ImportError as error:
        raise ImpastoError("building a network needs PyTorch: pip install 'impasto[export]'") from error
    return VggModule(network, weights, wanted, pool)
