"""The network to be imitated, and its features as the student sees them."""

from collections.abc import Sequence
from pathlib import Path

import torch

from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.preprocess import Preprocess
from impasto.models.sources import Origin
from impasto.models.store import network_path
from impasto.models.vgg import VGG19
from impasto.models.vgg_module import build_module
from impasto.models.weight_files import READERS
from impasto.models.weights import Weights, read_weights

Features = dict[str, torch.Tensor]


class Teacher:
    """VGG-19 with average pooling: images, float32 (N, 3, H, W), RGB, 0..1 -> {tap: (N, C, h, w)}.

    With ``half`` the convolutions run in bfloat16, which halves the time and costs about 0.5 % of accuracy.
    """

    def __init__(self, weights: Weights, taps: Sequence[str], device: torch.device, half: bool = True) -> None:
        self.sha256 = weights.sha256
        self.taps = tuple(taps)
        self.half = half
        self.device = device
        module = build_module(VGG19, weights, taps, "avg").to(device)
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: torch.Tensor) -> Features:
        """Return the features; differentiable in the images."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            values = self.module(images.contiguous(memory_format=torch.channels_last))
        return dict(zip(self.taps, values, strict=True))


def teacher_weights(source: str) -> Weights:
    """Return VGG-19's parameters out of a weights file, a tap model's .onnx, or a network of the store by its name.

    Raises:
        ImpastoError: there is no such file or name, or it holds no VGG-19.
    """
    path = Path(source)
    if path.suffix.lower() in READERS:
        return read_weights(path)
    path = path if path.suffix.lower() == ".onnx" else network_path(source)
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and the readers share no base class
        raise ImpastoError(f"cannot read the teacher {path} ({type(error).__name__}); give a VGG-19") from error
    said = {entry.key: entry.value for entry in model.metadata_props}
    arrays = {value.name: value for value in model.graph.initializer}
    for name, shape in VGG19.parameter_shapes.items():
        if name not in arrays or tuple(arrays[name].dims) != shape or "preprocess" not in said:
            raise ImpastoError(f"no teacher: {path} does not hold VGG-19's {name}; give a VGG-19 as --teacher")
    return Weights(
        {name: numpy_helper.to_array(arrays[name]).copy() for name in VGG19.parameter_shapes},
        Preprocess.from_json(said["preprocess"]),
        said.get("layout", ""),
        said.get("weights_sha256") or sha256_of(path),
        Origin(said.get("licence", ""), said.get("attribution", "")),
    )
