"""Weight files of VGG networks: one reader for the layouts in which people have them.

| layout | image enters as | found in |
|---|---|---|
| `oxford` | RGB, 0..255, mean removed | files with `convN_M.weight` keys |
| `caffe` | BGR, 0..255, mean removed | the Caffe ports, such as neural-style-pt's `vgg19-d01eb7cb.pth` |
| `torchvision` | RGB, ImageNet mean and standard deviation | torchvision's files, `features.N.weight` keys |

A BGR network is turned to RGB on reading, by flipping the input channels of conv1_1, which is exact.
The keys do not tell a Caffe port from torchvision's own: see `impasto.models.layout`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from impasto.models.errors import ImpastoError
from impasto.models.layout import LAYOUTS, named_arrays, recognise_layout
from impasto.models.preprocess import Preprocess
from impasto.models.vgg import VGG19, Network
from impasto.models.weight_files import read_arrays
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
PREPROCESS_KEY = "preprocess"


@dataclass(frozen=True)
class Weights:
    """The parameters of a network and the preprocessing that belongs to them.

    Attributes:
        arrays: float32, `convN_M.weight` (out, in, 3, 3), RGB, and `convN_M.bias` (out,).
        preprocess: how an image becomes the network's input.
        layout: as in the table above.
        sha256: of the file that they came from.
    """

    arrays: Mapping[str, FloatArray]
    preprocess: Preprocess
    layout: str
    sha256: str


def read_weights(path: Path, network: Network = VGG19, layout: str | None = None) -> Weights:
    """Read the parameters of a network from a `.safetensors`, `.pth`, `.pt` or `.npz` file.

    Layers that the network does not have (deeper ones, the classifier) are ignored.

    Args:
        path: the file.
        network: what its weights must fit.
        layout: one of the table above; None finds out.

    Raises:
        ImpastoError: the file is missing, damaged, of another network, or not finite; or `layout` is unknown.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ImpastoError(f"unknown layout {layout!r}: it is one of {', '.join(LAYOUTS)}")
    file = read_arrays(path)
    arrays = {key: _checked(key, array, path) for key, array in _fitting(file.arrays, network, path).items()}
    found = layout or recognise_layout(arrays["conv1_1.weight"], file.arrays)
    convention = LAYOUTS[found]
    if convention.bgr:
        arrays["conv1_1.weight"] = np.ascontiguousarray(arrays["conv1_1.weight"][:, ::-1])
    preprocess = convention.preprocess
    if layout is None and PREPROCESS_KEY in file.metadata:
        preprocess = Preprocess.from_json(file.metadata[PREPROCESS_KEY])
    return Weights(arrays, preprocess, found, _sha256(path))


def _fitting(
    found: Mapping[str, NDArray[np.generic]], network: Network, path: Path
) -> dict[str, NDArray[np.generic]]:
    """Return the network's parameters by name, each of the right shape."""
    arrays = named_arrays(found, network)
    result = {}
    for key, shape in network.parameter_shapes.items():
        if key not in arrays:
            raise ImpastoError(f"weights of another network: {path} has no {key}, which {network.name} needs")
        if arrays[key].shape != shape:
            raise ImpastoError(
                f"weights of another network: {key} in {path} has shape {_by(arrays[key].shape)}, "
                f"{network.name} needs {_by(shape)}"
            )
        result[key] = arrays[key]
    return result


def _checked(key: str, array: NDArray[np.generic], path: Path) -> FloatArray:
    if not np.issubdtype(array.dtype, np.floating):
        raise ImpastoError(
            f"not weights: {key} in {path} holds {array.dtype}, expected floating point numbers"
        )
    values: FloatArray = np.array(array, np.float32, order="C")
    if not np.isfinite(values).all():
        raise ImpastoError(
            f"damaged weights: {key} in {path} holds NaN or infinite values; get the file again"
        )
    return values


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
