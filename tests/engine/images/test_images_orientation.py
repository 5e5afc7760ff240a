"""EXIF orientation: all eight, in every format."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from impasto.engine.images import Picture, read_image

RGB = np.random.default_rng(7).integers(0, 256, (5, 7, 3), np.uint8)


def three(grey: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.repeat(grey[:, :, None], 3, axis=2)


def levels(picture: Picture) -> npt.NDArray[np.float32]:
    return picture.pixels * np.float32(255)


def save(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


GREY_2x3 = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
UPRIGHT = {
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[40, 10], [50, 20], [60, 30]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[30, 60], [20, 50], [10, 40]],
    9: [[10, 20, 30], [40, 50, 60]],  # no such orientation: as stored
}


def oriented(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[274] = orientation
    return {"exif": exif}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {})])
def test_exif_orientation(tmp_path: Path, name: str, options: dict[str, Any], orientation: int) -> None:
    image = Image.fromarray(three(GREY_2x3))
    picture = read_image(save(tmp_path, name, image, **oriented(orientation), **options))
    np.testing.assert_array_equal(np.rint(levels(picture)), three(np.array(UPRIGHT[orientation])))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_of_jpeg_and_of_pil_images(tmp_path: Path, orientation: int) -> None:
    path = save(
        tmp_path, "a.jpg", Image.fromarray(np.kron(GREY_2x3, np.ones((8, 8), np.uint8))), **oriented(orientation)
    )
    expected = three(np.kron(UPRIGHT[orientation], np.ones((8, 8))))
    np.testing.assert_allclose(levels(read_image(path)), expected, atol=2)
    with Image.open(path) as image:
        picture = read_image(image)
    assert picture.name == "a.jpg"
    np.testing.assert_allclose(levels(picture), expected, atol=2)


def test_orientation_turns_alpha_too(tmp_path: Path) -> None:
    path = save(tmp_path, "a.png", Image.fromarray(np.dstack([three(GREY_2x3), GREY_2x3])), **oriented(6))
    picture = read_image(path)
    assert picture.alpha is not None
    np.testing.assert_array_equal(np.rint(picture.alpha * 255), UPRIGHT[6])


def test_broken_exif_data_does_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path, "a.png", Image.fromarray(RGB), exif=b"Exif\0\0MM\0*nonsense that goes nowhere")
    np.testing.assert_array_equal(read_image(path).pixels, RGB.astype(np.float32) / np.float32(255))
