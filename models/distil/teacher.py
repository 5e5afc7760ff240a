"""The network to be imitated, and its features as the student sees them."""

from collections.abc import Sequence
from pathlib import Path

import torch

from impasto.models.vgg import VGG19, build_module
from impasto.models.weights import read_weights

Features = dict[str, torch.Tensor]


class Teacher:
    """VGG-19 with average pooling: images, float32 (N, 3, H, W), RGB, 0..1 -> {tap: (N, C, h, w)}.

    Args:
        path: a VGG-19 weights file.
        taps: which features to return.
        device: where it runs.
        half: whether the convolutions run in bfloat16, which halves the time and costs about 0.5 % of accuracy.
    """

    def __init__(self, path: Path, taps: Sequence[str], device: torch.device, half: bool = True) -> None:
        self.taps = tuple(taps)
        self.half = half
        self.device = device
        module = build_module(VGG19, read_weights(path), taps, "avg").to(device)
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: torch.Tensor) -> Features:
        """Return the features; differentiable in the images."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            values = self.module(images.contiguous(memory_format=torch.channels_last))
        return dict(zip(self.taps, values, strict=True))
