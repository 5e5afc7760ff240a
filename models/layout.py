"""The convention of a weight file: how its keys are spelled, and the form of the image that the network reads.

Keys alone do not distinguish a Caffe port from torchvision's networks, nor RGB from BGR, and a wrong guess gives a
picture in wrong colours. The original Oxford VGG-19 is recognised by its first layer: the share of every colour,
and of the kernels' centre, in the energy of a filter, averaged over the filters. These four numbers survive
rounding to half precision, and rescaling of single filters as in Gatys' normalised network; in the order B, G, R
they show the Caffe ports. For every other network the keys decide.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from impasto.models.preprocess import OXFORD, TORCHVISION
from impasto.models.vgg import Conv, Network

# Measured on conv1_1 of the original network. torchvision's was trained anew, and a random first layer has about
# 1/3 for every colour and 1/9 for the centre.
OXFORD_COLOUR_SHARE = (0.3430, 0.3908, 0.2662)
OXFORD_CENTRE_SHARE = 0.1319
SHARE_TOLERANCE = 0.002

LAYOUTS = {"torchvision": TORCHVISION, "caffe": OXFORD, "oxford": OXFORD}
"""The preprocessing that the network of each layout expects."""

BGR = ("caffe",)
"""Layouts in which the first convolution's input channels are blue, green, red."""


def file_keys(keys: Collection[str], network: Network) -> dict[str, str]:
    """Return how a file spells every parameter of a network: `conv1_2.bias` -> `features.2.bias`, or itself.

    `features.N` counts the layers of torchvision's nn.Sequential: convolution, ReLU and pooling are one each. The file,
    whose keys these are, may lack some of the parameters.
    """
    numbered = _is_numbered(keys)
    result, index = {}, 0
    for layer in network.layers:
        if isinstance(layer, Conv):
            for part in ("weight", "bias"):
                result[f"{layer.name}.{part}"] = f"{f'features.{index}' if numbered else layer.name}.{part}"
            index += 1  # its ReLU
        index += 1
    return result


def recognise_oxford(conv1_1: NDArray[np.float32]) -> str | None:
    """Return `oxford` or `caffe` for the original network's first layer in RGB or BGR, None for another network.

    The first convolution's weights are (out, 3, 3, 3) as the file has them.
    """
    energy = np.square(conv1_1, dtype=np.float64)
    filters = energy.sum(axis=(1, 2, 3))
    alive = filters > 0
    if not alive.any():
        return None
    shares = energy[alive] / filters[alive, None, None, None]
    centre = shares[:, :, 1, 1].sum(axis=1).mean()
    colours = shares.sum(axis=(2, 3)).mean(axis=0)
    for layout, order in (("oxford", colours), ("caffe", colours[::-1])):
        measured = np.array([*order, centre])
        if np.allclose(measured, [*OXFORD_COLOUR_SHARE, OXFORD_CENTRE_SHARE], rtol=0, atol=SHARE_TOLERANCE):
            return layout
    return None


def usual_layout(keys: Collection[str]) -> str:
    """Return the layout that files with such keys have as a rule."""
    return "torchvision" if _is_numbered(keys) else "oxford"


def _is_numbered(keys: Collection[str]) -> bool:
    return any(key.startswith("features.") for key in keys)
