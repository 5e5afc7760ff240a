"""The literal loss of Gatys, Ecker and Bethge, arXiv:1508.06576, equations 1 to 7, and its descent, in PyTorch.

The training needs both: images that the optimiser makes through the student are part of the data, and the score is
the teacher's loss at what the student's descent ends with.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from impasto.models.distil.spec import CONTENT_TAP, STYLE_TAPS, teacher_channels

Features = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]
HISTORY_SIZE = 10


def gram(features: torch.Tensor) -> torch.Tensor:
    """Return F F^T of every image, unnormalised: (N, C, h, w) -> float32 (N, C, C)."""
    flat = features.flatten(2).float()
    return flat @ flat.transpose(1, 2)


def _style_scale(tap: str, features: torch.Tensor) -> float:
    """Return the tap's share of equation 5 times the factor of equation 4: 1 / (number of taps 4 N^2 M^2)."""
    pixels = features.shape[2] * features.shape[3]
    return 1 / len(STYLE_TAPS) / (4 * teacher_channels(tap) ** 2 * pixels**2)


@dataclass(frozen=True)
class Objective:
    """alpha * content + style of one image against fixed targets.

    Attributes:
        features: the network: image, float32 (1, 3, H, W), 0..1, to taps; their distances are VGG-19's.
        content: the target of the content tap.
        styles: the target Gram matrices.
        alpha: content weight.
    """

    features: Features
    content: torch.Tensor
    styles: Mapping[str, torch.Tensor]
    alpha: float

    @classmethod
    def of_images(cls, features: Features, content: torch.Tensor, style: torch.Tensor, alpha: float) -> "Objective":
        """Take the targets from two images of one size, float32 (1, 3, H, W), 0..1."""
        with torch.no_grad():
            styles = features(style)
            target = features(content)[CONTENT_TAP].float()
            return cls(features, target, {tap: gram(styles[tap]) for tap in STYLE_TAPS}, alpha)

    def terms(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the content term, with its weight, and the style term.

        N is always the teacher's number of channels, however many the features have (see `spec`).
        """
        taps = self.features(image)
        content = self.alpha / 2 * (taps[CONTENT_TAP].float() - self.content).square().sum()
        style = torch.zeros((), device=image.device)
        for tap in STYLE_TAPS:
            style = style + _style_scale(tap, taps[tap]) * (gram(taps[tap]) - self.styles[tap]).square().sum()
        return content, style


def style_gradients(features: Features, images: torch.Tensor, *, differentiable: bool = False) -> torch.Tensor:
    """Return, for every image of a batch, the gradient of its style loss against the next image's Gram matrices.

    The images are float32 (N, 3, H, W), 0..1. With ``differentiable`` the result has a gradient in its turn.
    """
    images = images.detach().requires_grad_()
    taps = features(images)
    loss = torch.zeros((), device=images.device)
    for tap in STYLE_TAPS:
        own = gram(taps[tap])
        loss = loss + _style_scale(tap, taps[tap]) * (own - own.detach().roll(-1, 0)).square().sum()
    (gradients,) = torch.autograd.grad(loss, images, create_graph=differentiable)
    return gradients


def descend(objective: Objective, start: torch.Tensor, evaluations: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Run L-BFGS on the image's pixels and yield (number of the evaluation, image evaluated).

    The variable is the pixel value on 0..255; the image, float32 (1, 3, H, W), RGB, 0..1, is not clamped.
    """
    x = (start * 255).clone().requires_grad_(True)
    seen: list[torch.Tensor] = []
    optimiser = torch.optim.LBFGS([x], max_iter=1, max_eval=1, history_size=HISTORY_SIZE,
                                  tolerance_grad=-1, tolerance_change=-1)  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        image = x / 255
        seen.append(image.detach().clone())
        content, style = objective.terms(image)
        total = content + style
        total.backward()  # type: ignore[no-untyped-call]
        return total

    for number in range(1, evaluations + 1):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
        yield number, seen.pop()
