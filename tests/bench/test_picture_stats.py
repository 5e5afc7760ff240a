"""The numbers of pictures that can be computed by hand."""

import numpy as np
import pytest

from impasto.bench.picture_stats import SIDE_PX, border_ratio, grain, palette_distance, picture_stats
from impasto.engine.images import Picture


def even(value: float, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), value)


def noise(seed: int = 0, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side, 3))


def coloured(pixels: np.ndarray) -> Picture:
    return Picture(pixels.astype(np.float32), None, "a")


def test_palette_does_not_see_where_pixels_are() -> None:
    pixels = noise()
    shuffled = np.random.default_rng(1).permutation(pixels.reshape(-1, 3)).reshape(pixels.shape)
    assert palette_distance(pixels, shuffled) == pytest.approx(0, abs=1e-12)
    assert palette_distance(pixels, np.repeat(pixels, 2, axis=0)) < 0.1
    assert palette_distance(pixels, pixels[..., ::-1] ** 2) > 5


def test_palette_of_one_colour_each_is_the_mean_projection() -> None:
    # For unit vectors u in 3-space the mean of |u . v| is |v| / 2; 64 directions come close.
    found = palette_distance(even(0.2), even(0.6))
    assert found == pytest.approx(255 * 0.4 * 3**0.5 / 2, rel=0.1)
    assert palette_distance(even(0), even(1)) == pytest.approx(found / 0.4)
    assert palette_distance(even(0.6), even(0.2)) == pytest.approx(found)


def test_palette_tells_colours_of_the_same_luma_apart() -> None:
    assert palette_distance(np.tile([0.5, 0.3, 0.5], (8, 8, 1)), even(0.383)) > 10


def test_grain_of_a_checkerboard() -> None:
    board = np.indices((16, 16)).sum(0) % 2
    luma, chroma = grain(np.repeat(board[..., None], 3, axis=2).astype(float))
    # The Laplacian is 4 times +1 on white and -1 on black.
    assert luma == pytest.approx(4)
    assert chroma == pytest.approx(0, abs=1e-12)


def test_grain_of_colours_without_luma() -> None:
    board = np.indices((16, 16)).sum(0) % 2
    steps = np.array([0.587, -0.299, 0.0])  # luma 0
    luma, chroma = grain(0.5 + board[..., None] * steps)
    assert luma == pytest.approx(0, abs=1e-12)
    assert chroma == pytest.approx(4 * np.sqrt((0.587**2 + 0.299**2) / 3))


def test_even_pictures_and_slopes_have_no_grain_and_even_borders() -> None:
    y, x = np.indices((40, 50)) / 100
    slope = np.stack([x, y, x + y], axis=-1)
    assert grain(slope) == pytest.approx((0, 0), abs=1e-12)
    assert border_ratio(slope) == pytest.approx(1)
    assert border_ratio(even(0.4)) == 1


def test_border_line_by_hand() -> None:
    y, x = np.indices((40, 40)) / 100
    pixels = np.repeat((x + y)[..., None], 3, axis=2)  # neighbours but one differ by 0.02 everywhere
    pixels[0] -= 0.06  # the first row differs by 0.08 then, and the first columns differ as before
    assert border_ratio(pixels) == pytest.approx((0.08 + 3 * 0.02) / 4 / 0.02, rel=0.02)
    framed = even(0.5)
    framed[0] = 1
    assert border_ratio(framed) == float("inf")


def test_a_small_picture_has_no_border_ratio() -> None:
    with pytest.raises(ValueError, match="22 x 22 px has no inside"):
        border_ratio(even(0, 22))


def test_a_picture_s_own_palette_and_larger_pictures() -> None:
    found = picture_stats(coloured(noise()), coloured(noise()))
    assert found.palette == 0
    assert found.luma_grain > 0.3
    assert found.border == pytest.approx(1, abs=0.2)
    smooth = np.clip(np.indices((2 * SIDE_PX, 2 * SIDE_PX)).sum(0)[..., None] / (4 * SIDE_PX) * np.ones(3), 0, 1)
    small, large = coloured(smooth[::2, ::2]), coloured(smooth)
    assert picture_stats(large, large).luma_grain == pytest.approx(picture_stats(small, large).luma_grain, abs=5e-3)
    assert set(found.as_dict()) == {"palette", "luma_grain", "chroma_grain", "border"}
