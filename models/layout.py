"""Which convention a weight file follows: how its keys are spelled, and how the image enters.

Keys alone do not tell a Caffe port from torchvision's networks, nor RGB from BGR, and a wrong guess gives a picture
in wrong colours. The original Oxford VGG-19 is recognised by its first layer: the share of every colour, and of the
kernels' centre, in the energy of a filter, averaged over the filters. These four numbers survive rounding to half
precision and rescaling of single filters (Gatys' normalised network), and reading them in the order B, G, R shows the
Caffe ports. Every other network counts as what its keys suggest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from impasto.models.preprocess import OXFORD, TORCHVISION, Preprocess
from impasto.models.vgg import Conv, Network
from numpy.typing import NDArray

# Measured on conv1_1 of the original network; torchvision's network was trained anew and shares none of it.
OXFORD_COLOUR_SHARE = (0.3430, 0.3908, 0.2662)
OXFORD_CENTRE_SHARE = 0.1319
SHARE_TOLERANCE = 0.002


@dataclass(frozen=True)
class Layout:
    """How the image enters a network.

    Attributes:
        preprocess: its range, mean and deviation, in the order R, G, B.
        bgr: whether the first convolution's input channels are blue, green, red.
    """

    preprocess: Preprocess
    bgr: bool = False


LAYOUTS = {
    "torchvision": Layout(TORCHVISION),
    "caffe": Layout(OXFORD, bgr=True),
    "oxford": Layout(OXFORD),
}


def named_arrays(
    arrays: Mapping[str, NDArray[np.generic]], network: Network
) -> dict[str, NDArray[np.generic]]:
    """Return arrays under `convN_M.weight` and `.bias`, whether the file spells them so or `features.N.weight`.

    `features.N` counts the layers of torchvision's nn.Sequential: convolution, ReLU and pooling are one each.
    """
    if not _is_numbered(arrays):
        return dict(arrays)
    result, index = {}, 0
    for layer in network.layers:
        if isinstance(layer, Conv):
            for part in ("weight", "bias"):
                key = f"features.{index}.{part}"
                if key in arrays:
                    result[f"{layer.name}.{part}"] = arrays[key]
            index += 1  # its ReLU
        index += 1
    return result


def recognise_layout(conv1_1: NDArray[np.float32], arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Return the layout's name.

    Args:
        conv1_1: the first convolution's weights, (out, 3, 3, 3), as the file has them.
        arrays: all of the file, for its keys.
    """
    energy = np.square(conv1_1, dtype=np.float64)
    filters = energy.sum(axis=(1, 2, 3))
    alive = filters > 0
    if alive.any():
        shares = energy[alive] / filters[alive, None, None, None]
        colours = shares.sum(axis=(2, 3)).mean(axis=0)
        centre = shares[:, :, 1, 1].sum(axis=1).mean()
        if abs(centre - OXFORD_CENTRE_SHARE) < SHARE_TOLERANCE:
            if np.allclose(colours, OXFORD_COLOUR_SHARE, rtol=0, atol=SHARE_TOLERANCE):
                return "oxford"
            if np.allclose(colours[::-1], OXFORD_COLOUR_SHARE, rtol=0, atol=SHARE_TOLERANCE):
                return "caffe"
    return "torchvision" if _is_numbered(arrays) else "oxford"


def _is_numbered(arrays: Mapping[str, NDArray[np.generic]]) -> bool:
    return any(key.startswith("features.") for key in arrays)
