"""Reduction of images far larger than the result, while they are read, so that their floats never exist as a whole."""

from collections.abc import Callable, Iterator

import numpy as np

from impasto.engine.images.picture import LEAST_ALPHA, fit_long_side
from impasto.engine.images.samples import FloatArray

Layers = tuple[FloatArray, FloatArray | None]
"""Colours, float32 H x W x 3 in 0..1, and alpha, float32 H x W, or None."""

LARGE_PIXELS = 1 << 24
"""Images of more pixels than this are reduced while they are read, if a smaller result is wanted."""

_GAP = 2
"""The reduced image has this many times the long side of the result at least, for the Lanczos filter after it."""

_TILE_PIXELS = 1 << 18


def reduction(height: int, width: int, long_side_px: int) -> int:
    """Return how many pixels, along each side, become one while an image is read; 1 is a whole image.

    Args:
        height: of the image, px.
        width: of the image, px.
        long_side_px: the wanted longer side; 0 is the image's own.
    """
    if height * width <= LARGE_PIXELS or long_side_px == 0:
        return 1
    return max(1, max(height, width) // (_GAP * max(fit_long_side(height, width, long_side_px))))


def reduced(part: Callable[[slice, slice], Layers], height: int, width: int, factor: int) -> Layers:
    """Return the means of an image's pixels in boxes of `factor` by `factor`, colours weighted by their alpha.

    The image is divided evenly, so that nothing moves: some boxes are a row or a column larger.

    Args:
        part: returns the pixels of some rows and columns.
        height: of the image, px.
        width: of the image, px.
        factor: 2 or more.

    Returns:
        `height // factor` rows and `width // factor` columns, each at least 1.
    """
    rows, columns = (_edges(side, max(1, side // factor)) for side in (height, width))
    boxes = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    plain = np.zeros((*boxes.shape, 3), np.float32)
    weighted, weights = None, None
    for row, column in _tiles(height, width):
        colour, alpha = part(row, column)
        corner = (row.start, column.start)
        _add(plain, colour, rows, columns, corner)
        if alpha is not None:
            if weighted is None or weights is None:
                weighted, weights = np.zeros_like(plain), np.zeros_like(boxes)
            _add(weighted, colour * alpha[..., None], rows, columns, corner)
            _add(weights, alpha, rows, columns, corner)
    pixels = plain / boxes[..., None]
    if weighted is None or weights is None:
        return np.clip(pixels, 0, 1), None
    visible = weights >= LEAST_ALPHA * boxes
    pixels[visible] = weighted[visible] / weights[visible, None]
    return np.clip(pixels, 0, 1), np.clip(weights / boxes, 0, 1)


def _add(total: FloatArray, tile: FloatArray, rows: np.ndarray, columns: np.ndarray, corner: tuple[int, int]) -> None:
    """Add a tile's pixels to the boxes that they are in."""
    tile, at_row = _sums(tile, rows, corner[0], axis=0)
    tile, at_column = _sums(tile, columns, corner[1], axis=1)
    total[at_row, at_column] += tile


def _edges(side: int, count: int) -> np.ndarray:
    """Return where each of `count` boxes begins, and the end of the last."""
    return (np.arange(count + 1) * side + count // 2) // count


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield rectangles that cover an image, as wide as the image where that leaves them a row."""
    across = min(width, _TILE_PIXELS)
    down = max(1, _TILE_PIXELS // across)
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield slice(top, min(top + down, height)), slice(left, min(left + across, width))


def _sums(tile: FloatArray, edges: np.ndarray, first: int, axis: int) -> tuple[FloatArray, slice]:
    """Return the sums of a tile's lines that belong to one box, and the boxes.

    Args:
        tile: of any number of dimensions.
        edges: of all boxes.
        first: the image's number of the tile's first line.
        axis: along which the lines follow each other.
    """
    last = first + tile.shape[axis] - 1
    low, high = np.searchsorted(edges, (first, last), side="right") - 1
    starts = np.maximum(edges[low : high + 1] - first, 0)
    return np.add.reduceat(tile, starts, axis=axis), slice(int(low), int(high) + 1)
