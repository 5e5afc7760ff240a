"""The score of a student: the loss of the full VGG-19 for pictures that were made with the student.

For every pair of a photograph and a painting, L-BFGS runs from the photograph through one network; then the
teacher's own loss judges the picture. `style_ratio` is its style term at the end over the one at the photograph.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from impasto.models.distil.corpus import Image, folder_images, resized
from impasto.models.distil.objective import Features, Objective, descend
from impasto.models.errors import ImpastoError

ALPHA = 1e-3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Score:
    """The teacher's judgement of one picture; both terms carry their weights, alpha = 1e-3 and beta = 1.

    Attributes:
        pair: "photograph/painting".
        evaluations: that the descent was given.
        style_start: style term at the photograph.
        style: style term at the picture.
        content: content term at the picture.
    """

    pair: str
    evaluations: int
    style_start: float
    style: float
    content: float

    @property
    def style_ratio(self) -> float:
        """Style term at the end over the one at the start."""
        return self.style / self.style_start

    def record(self) -> dict[str, object]:
        """Return the form in which files carry it."""
        return {**asdict(self), "style_ratio": self.style_ratio}


def score(
    network: Features, judge: Features, photograph: torch.Tensor, painting: torch.Tensor, pair: str, evaluations: int
) -> tuple[Score, torch.Tensor]:
    """Make a picture through `network` and compute its loss through `judge`, the teacher.

    Photograph (content image and start) and painting (style image) have one size, float32 (1, 3, H, W), RGB, 0..1, and
    are on the networks' device; the pair is a name for the two.

    Returns:
        The score and the last image evaluated, (1, 3, H, W), not clamped.
    """
    picture = photograph
    for _, image in descend(Objective.of_images(network, photograph, painting, ALPHA), photograph, evaluations):
        if bool(image.isfinite().all()):
            picture = image
    truth = Objective.of_images(judge, photograph, painting, ALPHA)
    with torch.no_grad():
        before, after = truth.terms(photograph), truth.terms(picture)
    return Score(pair, evaluations, float(before[1]), float(after[1]), float(after[0])), picture


def summary(scores: Sequence[Score], references: Mapping[str, Score]) -> dict[str, object]:
    """Return the geometric means and the worst pair; content against the teacher's own runs where there are any."""
    ratios = {one.pair: one.style_ratio for one in scores}
    worst = max(ratios, key=lambda pair: ratios[pair])
    both = [(one.content, references[one.pair].content) for one in scores if one.pair in references]
    return {
        "pairs": len(scores),
        "style_ratio": _geometric_mean(list(ratios.values())),
        "worst": {worst: ratios[worst]},
        "content_ratio": _geometric_mean([mine / its for mine, its in both]) if both else None,
    }


def as_input(image: Image, side: int) -> torch.Tensor:
    """Return an image as float32 (1, 3, side, side), 0..1; the aspect ratio is not kept."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return resized(pixels, (side, side))


def save_picture(picture: torch.Tensor, path: Path) -> None:
    """Write a picture as PNG."""
    from skimage import io

    pixels = (picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    io.imsave(path, pixels, check_contrast=False)


def scored_images(folder: Path) -> tuple[dict[str, Image], dict[str, Image]]:
    """Return the protocol's photographs and paintings by name, out of a folder and of scikit-image.

    Raises:
        ImpastoError: the folder lacks them.
    """
    from skimage import data

    files = {path.stem: path for path in sorted(folder.glob("*.jpg"))}
    if "neckarfront" not in files or len(files) < 2:
        raise ImpastoError(f"no neckarfront.jpg and paintings in {folder}: IMPASTO_SHARED names the folder of images/")
    images = dict(zip(files, folder_images(folder), strict=True))
    photographs = {
        "neckarfront": images.pop("neckarfront"),
        **{name: getattr(data, name)() for name in ("astronaut", "cat")},
    }
    return photographs, images


def pairs(
    photographs: Mapping[str, Image], paintings: Mapping[str, Image], side: int, device: torch.device = CPU
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield (name, photograph, painting) of all pairs."""
    for first, photograph in photographs.items():
        for second, painting in paintings.items():
            yield f"{first}/{second}", as_input(photograph, side).to(device), as_input(painting, side).to(device)


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))
