"""The training images: photographs and paintings that are at hand, procedural pictures, and strong augmentation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from impasto.models.distil.procedural import FAMILIES, strokes

Image = NDArray[np.uint8]

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cat", "coffee", "coins", "colorwheel", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
LONGEST_SIDE_PX = 640
PROCEDURAL_SIDE_PX = 256
FOUND_SHARE = 0.55  # of the crops, out of photographs and paintings


def build_corpus(seed: int, procedural: int, folders: Sequence[Path] = ()) -> list[Image]:
    """Return the images, uint8 (H, W, 3), RGB: photographs, those of the folders, and so many of each family."""
    found = photographs() + [image for folder in folders for image in folder_images(folder)]
    rng = np.random.default_rng(seed)
    made = [family(rng, PROCEDURAL_SIDE_PX) for family in FAMILIES.values() for _ in range(procedural)]
    for image in found:
        ground = _square(rng, image, PROCEDURAL_SIDE_PX)
        made.append(strokes(rng, PROCEDURAL_SIDE_PX, ground))
    return found + [(image * 255).round().astype(np.uint8) for image in made]


def photographs() -> list[Image]:
    """Return the photographs that come inside scikit-image's wheel (none is downloaded)."""
    from skimage import data

    return [_rgb(getattr(data, name)()) for name in PHOTOGRAPHS]


def folder_images(folder: Path) -> list[Image]:
    """Return a folder's .jpg and .png files in the order of their names, reduced to a moderate size."""
    from skimage import io

    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [_rgb(io.imread(path)) for path in files]


def resized(pixels: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return images (N, channels, H, W) at another height and width."""
    return functional.interpolate(pixels, tuple(size), mode="bilinear", antialias=True, align_corners=False)


class Sampler:
    """Random augmented crops out of a corpus; with the same generator, the same crops."""

    def __init__(self, corpus: Sequence[Image], found: int) -> None:
        self.images = [torch.from_numpy(image).permute(2, 0, 1) for image in corpus]
        made = len(corpus) - found
        shares = FOUND_SHARE / found, (1 - FOUND_SHARE) / max(made, 1)
        self.chances = torch.cat([torch.full((found,), shares[0]), torch.full((made,), shares[1])])

    def batch(self, rng: torch.Generator, count: int, side: int, plain: bool = False) -> torch.Tensor:
        """Return crops, float32 (count, 3, side, side), RGB, about 0..1; `plain` leaves out colour and noise."""
        picks = torch.multinomial(self.chances, count, replacement=True, generator=rng)
        crops = torch.stack([self._crop(rng, self.images[int(i)], side) for i in picks])
        return crops if plain else _recolour(rng, crops)

    def _crop(self, rng: torch.Generator, image: torch.Tensor, side: int) -> torch.Tensor:
        height, width = image.shape[1:]
        full = min(height, width)
        smallest = min(side * 0.6, full)
        cut = int(smallest * (full / smallest) ** _random(rng))
        top, left = (int(_random(rng) * (extent - cut + 1)) for extent in (height, width))
        crop = image[None, :, top : top + cut, left : left + cut].float() / 255
        if cut != side:
            crop = resized(crop, (side, side))
        if _random(rng) < 0.5:
            crop = crop.flip(3)
        return crop[0].rot90(int(4 * _random(rng)), (1, 2)) if _random(rng) < 0.3 else crop[0]


def _recolour(rng: torch.Generator, crops: torch.Tensor) -> torch.Tensor:
    """Change colours, contrast and noise; values may leave 0..1 a little, as the optimiser's do."""
    count = len(crops)

    def per_image(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=rng)

    mean = crops.mean((2, 3), keepdim=True)
    matrix = torch.eye(3) + 0.25 * per_image(3, 3) * (torch.rand(count, 1, 1, generator=rng) < 0.5)
    contrast = torch.exp(0.25 * per_image(1, 1, 1))
    crops = torch.einsum("ncd,ndyx->ncyx", matrix, crops - mean) * contrast + mean + 0.08 * per_image(3, 1, 1)
    crops = crops.clamp(-0.1, 1.1)
    strength = 0.15 * torch.rand(count, 1, 1, 1, generator=rng) ** 2 * (torch.rand(count, 1, 1, 1, generator=rng) < 0.5)
    return crops + strength * torch.randn(crops.shape, generator=rng)


def _random(rng: torch.Generator) -> float:
    """Return a number of 0..1."""
    return float(torch.rand((), generator=rng))


def _rgb(image: NDArray[np.generic]) -> Image:
    """Return uint8 RGB, the longer side reduced to `LONGEST_SIDE_PX`."""
    from skimage import color

    if image.ndim == 2:
        image = color.gray2rgb(image)  # type: ignore[no-untyped-call]
    pixels = torch.from_numpy(np.array(image[..., :3], np.float32)).permute(2, 0, 1)[None]
    scale = LONGEST_SIDE_PX / max(pixels.shape[2:])
    if scale < 1:
        size = [round(extent * scale) for extent in pixels.shape[2:]]
        pixels = resized(pixels, size)
    return pixels[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def _square(rng: np.random.Generator, image: Image, side: int) -> NDArray[np.float32]:
    """Return a random square part, float32 0..1, of side x side pixels."""
    extent = min(image.shape[:2])
    top, left = (int(rng.integers(0, length - extent + 1)) for length in image.shape[:2])
    part = torch.from_numpy(image[top : top + extent, left : left + extent]).permute(2, 0, 1)[None].float() / 255
    result: NDArray[np.float32] = resized(part, (side, side))[0].permute(1, 2, 0).numpy()
    return result
