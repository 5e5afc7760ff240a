"""Sizes and resampling, against the formula written out."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from impasto.engine.images import Picture, fit_long_side, resize

RNG = np.random.default_rng(5)


def lanczos(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Resample along the first axis: sum of sinc(t) sinc(t / 3) over |t| < 3, with t in pixels of the coarser grid."""
    scale = len(values) / size
    width = max(scale, 1.0)
    result = np.zeros((size, *values.shape[1:]))
    for i in range(size):
        centre = (i + 0.5) * scale
        weights = np.zeros(len(values))
        for j in range(len(values)):
            t = (j + 0.5 - centre) / width
            weights[j] = np.sinc(t) * np.sinc(t / 3) if abs(t) < 3 else 0
        result[i] = np.tensordot(weights / weights.sum(), values, 1)
    return result


@pytest.mark.parametrize(("height", "width"), [(20, 30), (9, 13), (7, 60), (50, 17), (1, 1), (21, 33), (20, 31)])
def test_resize_is_lanczos(height: int, width: int) -> None:
    pixels = RNG.random((20, 30, 3), np.float32)
    expected = lanczos(lanczos(pixels.astype(np.float64), height).swapaxes(0, 1), width).swapaxes(0, 1)
    found = resize(pixels, height, width)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_single_channel_is_resized_likewise() -> None:
    pixels = RNG.random((20, 30, 3), np.float32)
    np.testing.assert_array_equal(resize(pixels[:, :, 1], 12, 40), resize(pixels, 12, 40)[:, :, 1])


def test_the_same_size_is_the_same_array() -> None:
    pixels = RNG.random((20, 30, 3), np.float32)
    assert resize(pixels, 20, 30) is pixels
    picture = Picture(pixels, None, "a")
    assert picture.resized(20, 30) is picture


def test_a_constant_stays_constant() -> None:
    np.testing.assert_allclose(resize(np.full((20, 30, 3), 0.3, np.float32), 37, 11), 0.3, rtol=1e-6)


def test_a_fine_checkerboard_becomes_grey_and_does_not_alias() -> None:
    checkerboard = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)
    np.testing.assert_allclose(resize(checkerboard, 19, 19)[2:-2, 2:-2], 0.5, atol=0.01)


def test_a_resized_picture_stays_in_range() -> None:
    edge = np.zeros((20, 20, 3), np.float32)
    edge[:, 10:] = 1
    assert resize(edge, 50, 50).max() > 1.01  # the filter overshoots
    pixels = Picture(edge, None, "a").resized(50, 50).pixels
    assert pixels.min() == 0
    assert pixels.max() == 1
    assert edge.max() == 1


def test_hidden_colours_do_not_leak_over_the_edge_of_what_is_visible() -> None:
    pixels = np.zeros((40, 40, 3), np.float32)
    pixels[:, :20] = (0.2, 0.5, 0.7)  # visible; the black beside it is not
    alpha = np.zeros((40, 40), np.float32)
    alpha[:, :20] = 1
    for height, width in [(13, 13), (90, 90)]:
        small = Picture(pixels, alpha, "a").resized(height, width)
        assert small.alpha is not None
        assert small.alpha.min() == 0
        assert small.alpha.max() == 1
        visible = small.alpha > 0.02
        np.testing.assert_allclose(
            small.pixels[visible], np.broadcast_to([0.2, 0.5, 0.7], (visible.sum(), 3)), atol=1e-4
        )
    np.testing.assert_array_equal(small.pixels[:, -10:], 0)


def test_an_opaque_picture_is_resized_as_if_it_had_no_alpha() -> None:
    pixels = RNG.random((20, 30, 3), np.float32)
    plain = Picture(pixels, None, "a").resized(11, 17)
    opaque = Picture(pixels, np.ones((20, 30), np.float32), "a").resized(11, 17)
    np.testing.assert_allclose(opaque.pixels, plain.pixels, atol=1e-6)
    np.testing.assert_allclose(np.asarray(opaque.alpha), 1, atol=1e-6)
    assert plain.alpha is None
    assert plain.name == opaque.name == "a"


@pytest.mark.parametrize(
    ("height", "width", "long_side_px", "expected"),
    [
        (768, 1024, 512, (384, 512)),
        (1024, 768, 512, (512, 384)),
        (100, 100, 512, (512, 512)),
        (768, 1024, 0, (768, 1024)),
        (768, 1024, 1024, (768, 1024)),
        (1, 5000, 100, (1, 100)),
        (3, 8, 4, (2, 4)),  # 1.5 is rounded up
        (667, 1000, 512, (342, 512)),
        (1, 1, 32, (32, 32)),
    ],
)
def test_fit_long_side(height: int, width: int, long_side_px: int, expected: tuple[int, int]) -> None:
    assert fit_long_side(height, width, long_side_px) == expected


def test_fit_long_side_keeps_the_aspect_ratio() -> None:
    for height, width, long_side_px in RNG.integers(1, 5000, (500, 3)).tolist():
        new_height, new_width = fit_long_side(height, width, long_side_px)
        assert max(new_height, new_width) == long_side_px
        scale = long_side_px / max(height, width)
        for new, old in [(new_height, height), (new_width, width)]:
            assert isinstance(new, int)
            assert new == max(1, math.floor(old * scale + 0.5)) or abs(old * scale % 1 - 0.5) < 1e-9
