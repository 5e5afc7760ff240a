"""The loss of Gatys et al. (arXiv:1508.06576, equations 1, 4, 5 and 7) in PyTorch.

Of a batch it is the sum over the images, each with the targets in its place, as a program that renders several at once
would have it.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import onnx_ir as ir
import torch

from impasto.bench.contenders.torch_taps import TorchTaps
from impasto.bench.contenders.variants import Variant
from impasto.engine.settings import Settings
from impasto.export.tap_graph import available_taps, nominal_channels
from impasto.export.taps import find_tap

PIXEL = 255.0
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchObjective:
    """The loss as a function of the images on 0..255, [N, 3, H, W]."""

    def __init__(
        self,
        variant: Variant,
        features: ir.Model,
        content: torch.Tensor,
        style: torch.Tensor,
        settings: Settings,
        device: str,
    ) -> None:
        known = available_taps(features)
        self._content, self._style = (
            {find_tap(known, tap.name): tap.weight for tap in taps}
            for taps in (settings.active_content_taps, settings.active_style_taps)
        )
        taps = tuple(name for name in known if name in self._content or name in self._style)
        self._layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        network = TorchTaps(features, taps, content.shape[-1], settings.pool)
        self._network = network.to(device, memory_format=self._layout)  # type: ignore[call-overload]
        self._variant, self._device, self._taps = variant, device, taps
        self._alpha, self._beta = settings.content_weight or 0.0, settings.style_weight or 0.0
        with torch.no_grad():
            of_content, of_style = (dict(zip(taps, network(image), strict=True)) for image in (content, style))
        self._features = {tap: of_content[tap].float() for tap in self._content}
        self._grams = {tap: self._gram(of_style[tap].float()) for tap in self._style}
        self._channels = {tap: nominal_channels(features, tap) or of_style[tap].shape[1] for tap in self._style}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        with self._autocast():
            image = (x / PIXEL).contiguous(memory_format=self._layout)
            values = dict(zip(self._taps, self._network(image), strict=True))
            loss = torch.zeros((), device=x.device)
            for tap, weight in self._content.items():
                error = values[tap].float() - self._features[tap]
                loss = loss + self._alpha * (1.0 if weight is None else weight) * 0.5 * error.square().sum()
            for tap, weight in self._style.items():
                error = self._gram(values[tap]) - self._grams[tap]
                factor = (1 / len(self._style) if weight is None else weight) / (4 * self._channels[tap] ** 2)
                loss = loss + self._beta * factor * error.square().sum()
        return loss

    def _gram(self, features: torch.Tensor) -> torch.Tensor:
        """Return G / M, [C, C] or, of several images, [N, C, C]; a G of float16 would overflow."""
        flat = features.flatten(2)
        flat = flat[0] if len(flat) == 1 else flat
        if features.dtype == torch.float16:
            with torch.autocast(self._device, enabled=False):
                flat = flat.float()
                return flat @ flat.mT / flat.shape[-1]
        return (flat @ flat.mT).float() / flat.shape[-1]

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self._variant.autocast:
            return nullcontext()
        # A captured graph cannot refer to casts that the cache has thrown away.
        cached = not self._variant.cuda_graph
        return torch.autocast(self._device, _TYPES[self._variant.autocast], cache_enabled=cached)
