"""Weight files of VGG networks: one reader for all common layouts.

| layout | the network reads | found in |
|---|---|---|
| `oxford` | RGB, 0..255, mean removed | files with `convN_M.weight` keys |
| `caffe` | BGR, 0..255, mean removed | the Caffe ports, such as neural-style-pt's `vgg19-d01eb7cb.pth` |
| `torchvision` | RGB, ImageNet mean and standard deviation | torchvision's files, `features.N.weight` keys |

A BGR network is turned to RGB on reading, by flipping the input channels of conv1_1, which is exact.
`impasto.models.layout` detects the layout where none is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.layout import BGR, LAYOUTS, file_keys, recognise_oxford, usual_layout
from impasto.models.preprocess import Preprocess
from impasto.models.sources import OXFORD_VGG, UNKNOWN, Origin, known_origin
from impasto.models.vgg import VGG19, Network
from impasto.models.weight_files import WeightFile, read_arrays

FloatArray = NDArray[np.float32]
AnyArray = NDArray[np.generic]


@dataclass(frozen=True)
class Weights:
    """The parameters of a network, with preprocessing and origin.

    Attributes:
        arrays: float32, `convN_M.weight` (out, in, 3, 3), RGB, and `convN_M.bias` (out,).
        preprocess: how an image becomes the network's input.
        layout: as in the table above.
        sha256: of the file that they came from.
        origin: licence and attribution.
    """

    arrays: Mapping[str, FloatArray]
    preprocess: Preprocess
    layout: str
    sha256: str
    origin: Origin = UNKNOWN


def read_weights(path: Path, network: Network = VGG19, layout: str | None = None) -> Weights:
    """Read the parameters of a network from a `.safetensors`, `.pth`, `.pt` or `.npz` file.

    Layers that the network does not have (deeper ones, the classifier) are ignored. The metadata of a
    `.safetensors` file may hold `preprocess` (see `Preprocess.to_json`), `licence` and `attribution`. The layout is one
    of the table above; None detects it.

    Raises:
        ImpastoError: the file is missing, damaged, of another network, or not finite; or `layout` is unknown.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ImpastoError(f"unknown layout {layout!r}: it is one of {', '.join(LAYOUTS)}")
    file = read_arrays(path)
    arrays = {name: _finite(key, file.arrays[key], path) for name, key in _fitting(file, network, path).items()}
    recognised = recognise_oxford(arrays["conv1_1.weight"])
    found = layout or recognised or usual_layout(file.arrays)
    if found in BGR:
        arrays["conv1_1.weight"] = np.ascontiguousarray(arrays["conv1_1.weight"][:, ::-1])
    preprocess, metadata = LAYOUTS[found], file.metadata
    if layout is None and "preprocess" in metadata:
        preprocess = Preprocess.from_json(metadata["preprocess"])
    sha256 = sha256_of(path)
    stated = Origin(metadata.get("licence", UNKNOWN.licence), metadata.get("attribution", UNKNOWN.attribution))
    origin = OXFORD_VGG if recognised else known_origin(sha256) or stated
    return Weights(arrays, preprocess, found, sha256, origin)


def _fitting(file: WeightFile, network: Network, path: Path) -> dict[str, str]:
    """Return the file's key of each of the network's parameters; all are there and have the right shape."""
    keys = file_keys(file.arrays.keys(), network)
    for name, shape in network.parameter_shapes.items():
        key = keys[name]
        if key not in file.arrays:
            raise ImpastoError(
                f"weights of another network: {path} has no {key}, {network.name} needs it; "
                f"the file's first key is {next(iter(file.arrays))}"
            )
        found = file.arrays[key].shape
        if found != shape:
            raise ImpastoError(
                f"weights of another network: {key} in {path} has shape {_by(found)}, {network.name} needs {_by(shape)}"
            )
    return keys


def _finite(key: str, array: AnyArray, path: Path) -> FloatArray:
    if not np.issubdtype(array.dtype, np.floating) and array.dtype.name != "bfloat16":
        raise ImpastoError(f"not weights: {key} in {path} holds {array.dtype}, expected floating-point numbers")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is reported
        values: FloatArray = np.array(array, np.float32, order="C")
    if not np.isfinite(values).all():
        raise ImpastoError(f"damaged weights: {key} in {path} holds NaN or infinite values; get the file again")
    return values


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"
