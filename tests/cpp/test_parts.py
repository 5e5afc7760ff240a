"""Parts of the library alone: resampling against Pillow, the root of a covariance against NumPy, and the manifest."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine.images import interpolate, resize
from impasto.export.square_root import root
from tests.cpp.conftest import Built

SIZES = [
    (40, 30, 20, 15), (40, 30, 80, 60), (33, 17, 16, 40), (50, 50, 7, 7), (7, 7, 50, 50),
    (64, 48, 63, 47), (64, 48, 65, 49), (100, 3, 10, 3), (3, 100, 3, 10), (1, 1, 9, 9),
    (90, 60, 1, 1), (31, 29, 62, 29), (31, 29, 31, 58), (120, 80, 45, 30), (45, 30, 120, 80),
    (2, 2, 3, 5), (128, 96, 91, 68), (91, 68, 128, 96), (77, 55, 13, 99), (13, 99, 77, 55),
]  # fmt: skip


def resampled(built: Built, pixels: np.ndarray, width: int, height: int, kind: str) -> np.ndarray:
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
    arguments = ("resize", pixels.shape[1], pixels.shape[0], width, height, kind)
    out = built.run("impasto-inside", *arguments, given=planes.tobytes()).stdout
    return np.frombuffer(out, np.float32).reshape(3, height, width).transpose(1, 2, 0)


@pytest.mark.parametrize("size", SIZES)
def test_lanczos_is_pillows(built: Built, size: tuple[int, int, int, int]) -> None:
    width, height, new_width, new_height = size
    levels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    pixels = levels.astype(np.float32) / np.float32(255)
    found = resampled(built, pixels, new_width, new_height, "lanczos")
    np.testing.assert_array_equal(found, resize(pixels, new_height, new_width))
    in_bytes = np.asarray(Image.fromarray(levels).resize((new_width, new_height), Image.Resampling.LANCZOS), int)
    in_levels = resampled(built, pixels, new_width, new_height, "levels")
    assert np.abs(np.rint(in_levels * 255) - in_bytes).max() <= 1


def test_bilinear_is_pillows(built: Built) -> None:
    pixels = np.random.default_rng(1).random((24, 31, 3), np.float32)
    np.testing.assert_allclose(resampled(built, pixels, 62, 40, "bilinear"), interpolate(pixels, 40, 62), atol=1e-6)


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (2, 2), (5, 5), (16, 7), (64, 64), (96, 20)])
def test_the_root_is_numpys(built: Built, size: int, rank: int) -> None:
    """B is unique up to the signs of its columns, and its product is what counts."""
    rng = np.random.default_rng(size)
    factors = rng.standard_normal((size, rank)) * np.logspace(0, -2, rank)
    covariance = (factors @ factors.T).astype(np.float32)
    found = np.frombuffer(
        built.run("impasto-inside", "root", size, given=covariance.tobytes()).stdout, np.float32
    ).reshape(size, size)
    expected = root(covariance[None])[0]
    scale = np.abs(covariance).max()
    product, wanted = (value.astype(np.float64) @ value.astype(np.float64).T for value in (found, expected))
    np.testing.assert_allclose(product, wanted, atol=2e-6 * scale)
    assert (np.abs(found).max(0) > 0).sum() == (np.abs(expected).max(0) > 0).sum()


def test_a_matrix_of_zeros_has_a_root_of_zeros(built: Built) -> None:
    out = built.run("impasto-inside", "root", 4, given=np.zeros((4, 4), np.float32).tobytes()).stdout
    assert not np.frombuffer(out, np.float32).any()


def test_the_manifest_is_read(built: Built, bundle: Path) -> None:
    assert built.run("impasto-inside", "manifest", given=(bundle / "manifest.json").read_bytes()).stdout == b"fine\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unexpected character at byte 0"),
        ("{", "unexpected character at byte 1"),
        ('{"a": 1, "a": 2}', "a key is given twice"),
        ('{"a": 1e999}', "a number out of range"),
        ("[" * 50, "nested too deep"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ("{} x", "text after the end"),
        ('{"a": 01}', "unexpected character"),
        ("nul", "unexpected word"),
        ("[1]", "of another format"),
    ],
)
def test_text_that_is_no_manifest_is_refused(built: Built, text: str, said: str) -> None:
    assert said in built.run("impasto-inside", "manifest", given=text.encode()).stdout.decode()
