"""What a stylised picture's pixels say of it: its palette against a painting's, its grain, and lines at its borders.

Numbers to be read along with the picture: a low palette distance does not make a painting, nor a low grain. Pictures
are brought to a long side of `SIDE_PX` first, so that those of different sizes compare.
"""

from dataclasses import asdict, dataclass

import numpy as np

from impasto.engine.images import Picture

SIDE_PX = 256
LUMA = (0.299, 0.587, 0.114)  # of R, G and B (ITU-R BT.601)
DIRECTIONS, QUANTILES = 64, 257
RIM_PX = 10  # what does not count as inside
SMALLEST_PX = 2 * RIM_PX + 3  # at least one difference inside


@dataclass(frozen=True)
class PictureStats:
    """The numbers of one picture.

    Attributes:
        palette: distance of its colours to the painting's, grey levels (see `palette_distance`).
        luma_grain, chroma_grain: see `grain`.
        border: see `border_ratio`.
    """

    palette: float
    luma_grain: float
    chroma_grain: float
    border: float

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def picture_stats(picture: Picture, painting: Picture) -> PictureStats:
    """Return the numbers of a picture in the style of a painting.

    Raises:
        ValueError: a side of the picture, brought to `SIDE_PX`, is shorter than `SMALLEST_PX`.
    """
    pixels, palette = (np.asarray(image.within(SIDE_PX).pixels, np.float64) for image in (picture, painting))
    luma_grain, chroma_grain = grain(pixels)
    return PictureStats(palette_distance(pixels, palette), luma_grain, chroma_grain, border_ratio(pixels))


def palette_distance(pixels: np.ndarray, others: np.ndarray) -> float:
    """Return the sliced Wasserstein distance of two sets of colours, in grey levels.

    The mean, over `DIRECTIONS` fixed random directions in RGB, of the Wasserstein-1 distance of the projections, from
    their quantiles (Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", 2015). Where the pixels are
    does not count. From black to white it is 236.

    Args:
        pixels: H x W x 3, RGB, 0..1.
        others: likewise, of any size.
    """
    directions = np.random.default_rng(0).normal(size=(DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = np.linspace(0, 1, QUANTILES)
    own, wanted = (np.quantile(image.reshape(-1, 3) @ directions.T, steps, axis=0) for image in (pixels, others))
    return float(255 * np.abs(own - wanted).mean())


def grain(pixels: np.ndarray) -> tuple[float, float]:
    """Return the standard deviation of the Laplacian of luma, and of the colours less their luma.

    Speckle raises both, coloured fringes the second. Pixels are H x W x 3, RGB, 0..1, of 3 px or more a side.
    """
    luma = pixels @ np.asarray(LUMA)
    return float(_laplacian(luma).std()), float(_laplacian(pixels - luma[..., None]).std())


def border_ratio(pixels: np.ndarray) -> float:
    """Return how much the outermost rows and columns differ from the second next, over the same inside.

    Lines along a border raise it; a picture that goes on evenly to its borders has about 1. 0 / 0 is 1, so a picture of
    one colour has 1; a line around a picture of one colour has infinity.

    Args:
        pixels: H x W x 3, RGB, 0..1.

    Raises:
        ValueError: a side is shorter than `SMALLEST_PX`.
    """
    if min(pixels.shape[:2]) < SMALLEST_PX:
        raise ValueError(
            f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px has no inside: {SMALLEST_PX} px or more"
        )
    edges = ((0, 2), (-1, -3))
    rows = [_difference(pixels[outer], pixels[inner]) for outer, inner in edges]
    columns = [_difference(pixels[:, outer], pixels[:, inner]) for outer, inner in edges]
    near, far = slice(RIM_PX, -RIM_PX - 2), slice(RIM_PX + 2, -RIM_PX)
    inside = (_difference(pixels[near], pixels[far]) + _difference(pixels[:, near], pixels[:, far])) / 2
    edge = float(np.mean(rows + columns))
    if inside == 0:
        return 1.0 if edge == 0 else float("inf")
    return edge / inside


def _laplacian(values: np.ndarray) -> np.ndarray:
    """Return 4 times each inner value less its four neighbours, over the first two axes."""
    middle = 4 * values[1:-1, 1:-1]
    return np.asarray(middle - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:])


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())
