"""VGG networks as data; `impasto.models.vgg_module` builds the torch module from it.

A network here is a plain sequence of 3x3 convolutions (stride 1, zero padding 1), each followed by a ReLU, and
2x2 poolings (stride 2, floor). Simonyan and Zisserman, arXiv:1409.1556, table 1, column E is `VGG19`; any other
widths make another network. The tap of a convolution `conv4_2` is its ReLU's output, `relu4_2`.

Differs from Gatys et al. (arXiv:1508.06576): VGG-19 is cut at conv5_1, the deepest layer that their figures use.
"""

from collections.abc import Sequence
from dataclasses import dataclass


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
    """Build a network from the output channels of its convolutions, by block; a pooling stands between two blocks."""
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
