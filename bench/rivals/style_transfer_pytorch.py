"""The method of crowsonkb/style-transfer-pytorch (MIT licence, copyright Katherine Crowson), with impasto's networks.

Written from its description and its numbers as a rival to compare pictures with; no code is taken over. In its order:

1. The scales end at `end_scale` and go down by sqrt 2, rounded, while they are `min_scale` or more.
2. At each scale the content image has that long side (enlarged where it is smaller) and the painting at most that one
   (never enlarged), both resampled from the file with Pillow's bicubic filter.
3. The image begins as the content image at the first scale. At each further scale it is the average of the one before,
   enlarged bicubically and clamped to 0..1.
4. Targets: features of the content image at relu4_2, mean and covariance of the painting at the five style taps.
5. Adam minimises the loss of `impasto.bench.rivals.style_transfer_losses` with steps of `step_size` and decays
   of 0.9 and 0.99; pixels are clamped to 0..1 after every step. Its step count and its two moments last from scale to
   scale: the first is enlarged bicubically, the second bilinearly and kept at 0 or more.
6. An exponential average of the iterates, corrected for its start as Adam's moments are, begins anew at each scale with
   the image there. The average of the last scale is the result.

The network has max pooling, and its first convolution repeats border pixels. Differs from that program: the weights are
impasto's VGG-19 with taps of equal power (`impasto.bench.rivals.equal_power`) and not torchvision's, and the file is
rounded to the nearest grey level and not down.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from impasto.bench.rivals.equal_power import EqualPower
from impasto.bench.rivals.style_transfer_losses import GaussianError, content_error, moments, total_variation
from impasto.engine.images import Picture

CONTENT_TAP = "relu4_2"
STYLE_WEIGHTS: Mapping[str, float] = {
    tap: weight / 341 for tap, weight in zip((f"relu{n}_1" for n in range(1, 6)), (256, 64, 16, 4, 1), strict=True)
}
TAPS = (*STYLE_WEIGHTS, CONTENT_TAP)
BETAS = (0.9, 0.99)
STARTS = ("content", "gray", "uniform")

Terms = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Method:
    """Its numbers, with its defaults.

    Attributes:
        content_weight, tv_weight: cw and tw.
        min_scale, end_scale: long sides of the first scale at least, and of the last, px.
        initial_iterations, iterations: of the first scale, and of each further one.
        step_size: of Adam, for pixels of 0..1.
        avg_decay: of the average of iterates; 0 is the last iterate.
        init: of `STARTS`: the content image, grey with noise of a grey level, or noise.
        style_scale_fac: long side of the painting over that of the scale.
        seed: of the noise.
    """

    content_weight: float = 0.015
    tv_weight: float = 2.0
    min_scale: int = 128
    end_scale: int = 512
    initial_iterations: int = 1000
    iterations: int = 500
    step_size: float = 0.02
    avg_decay: float = 0.99
    init: str = "content"
    style_scale_fac: float = 1.0
    seed: int = 0

    def scales(self) -> list[int]:
        """Return the long sides, from the coarsest, px."""
        least, found = min(self.min_scale, self.end_scale), [self.end_scale]
        while (scale := round(self.end_scale / 2 ** (len(found) / 2))) >= least:
            found.append(scale)
        return found[::-1]


Follow = Callable[[int, int, float], None]
"""Called after each iteration with the scale, px, the number of the iteration there, and the loss before its step."""


def paint(
    network: EqualPower, content: Picture, style: Picture, method: Method, follow: Follow = lambda *_: None
) -> np.ndarray:
    """Paint a picture.

    Args:
        network: with `TAPS`.
        content: the scene.
        style: the painting.
        method: its numbers.
        follow: is told of each iteration.

    Returns:
        float32 H x W x 3, RGB, 0..1.
    """
    scene, painting = _as_image(content), _as_image(style)
    scales = method.scales()
    image = _start(scene, fitted(scene.size, scales[0], enlarge=True), method)
    optimiser: torch.optim.Adam | None = None
    for scale in scales:
        wide, high = fitted(scene.size, scale, enlarge=True)
        image = _enlarged(image, (high, wide), "bicubic").clamp(0, 1).requires_grad_()
        optimiser = _carried(optimiser, image, method.step_size)
        objective = Objective(
            network,
            _planes(scene, (wide, high)),
            _planes(painting, fitted(painting.size, round(scale * method.style_scale_fac))),
            method,
        )
        average = Average(image, method.avg_decay)
        for number in range(method.iterations if scale != scales[0] else method.initial_iterations):
            optimiser.zero_grad()
            loss = objective(image)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                image.clamp_(0, 1)
            average.add(image)
            follow(scale, number + 1, float(loss.detach()))
        image = average.value()
    return np.ascontiguousarray(image[0].clamp(0, 1).permute(1, 2, 0).numpy())


class Objective:
    """The loss of an image [1, 3, H, W], for one scale."""

    def __init__(self, network: EqualPower, content: torch.Tensor, style: torch.Tensor, method: Method) -> None:
        """Compute the targets of both images, [1, 3, h, w], RGB, 0..1."""
        self._network, self._method = network, method
        with torch.no_grad():
            self._features = network(content)[CONTENT_TAP]
            painting = network(style)
            self._errors = {tap: GaussianError(moments(painting[tap])) for tap in STYLE_WEIGHTS}

    def terms(self, image: torch.Tensor) -> Terms:
        """Return the weighted terms by name."""
        values = self._network(image)
        error = self._method.content_weight * content_error(values[CONTENT_TAP], self._features)
        style = {f"style_{tap}": weight * self._errors[tap](values[tap]) for tap, weight in STYLE_WEIGHTS.items()}
        return {f"content_{CONTENT_TAP}": error, **style, "tv": self._method.tv_weight * total_variation(image)}

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the sum of the terms."""
        return torch.stack(list(self.terms(image).values())).sum()


class Average:
    """An exponential average of iterates: sum of (1 - d) d^(n-k) x_k over 1 - d^n."""

    def __init__(self, image: torch.Tensor, decay: float) -> None:
        """Begin with one iterate."""
        self._sum, self._decay, self._left = torch.zeros_like(image.detach()), decay, 1.0
        self.add(image)

    def add(self, image: torch.Tensor) -> None:
        """Add an iterate."""
        self._left *= self._decay
        self._sum = self._sum * self._decay + (1 - self._decay) * image.detach()

    def value(self) -> torch.Tensor:
        """Return the average."""
        return self._sum / (1 - self._left)


def fitted(size: tuple[int, int], long_side_px: int, enlarge: bool = False) -> tuple[int, int]:
    """Return width and height with that long side; the size itself where it is smaller and is not to be enlarged."""
    wide, high = size
    if max(size) <= long_side_px and not enlarge:
        return size
    if high > wide:
        return round(long_side_px * wide / high), long_side_px
    return long_side_px, round(long_side_px * high / wide)


def _carried(before: torch.optim.Adam | None, image: torch.Tensor, step_size: float) -> torch.optim.Adam:
    """Return Adam for an image, with the enlarged moments of the scale before."""
    optimiser = torch.optim.Adam([image], lr=step_size, betas=BETAS)
    if before is not None:
        ((_, state),) = before.state.items()
        size = (image.shape[2], image.shape[3])
        optimiser.state[image] = {
            "step": state["step"].clone(),
            "exp_avg": _enlarged(state["exp_avg"], size, "bicubic"),
            "exp_avg_sq": _enlarged(state["exp_avg_sq"], size, "bilinear").clamp(min=0),
        }
    return optimiser


def _enlarged(values: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    return functional.interpolate(values.detach(), size, mode=mode, align_corners=False)


def _start(scene: Image.Image, size: tuple[int, int], method: Method) -> torch.Tensor:
    if method.init == "content":
        return _planes(scene, size)
    noise = torch.rand([1, 3, size[1], size[0]], generator=torch.Generator().manual_seed(method.seed))
    return noise / 255 + 0.5 if method.init == "gray" else noise


def _as_image(picture: Picture) -> Image.Image:
    return Image.fromarray(np.rint(picture.pixels * np.float32(255)).astype(np.uint8))


def _planes(image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Return an image at a size, width and height, as [1, 3, H, W], 0..1."""
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
