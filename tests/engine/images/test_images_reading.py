"""Files and PIL images of every mode to pixels."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from impasto.engine.images import Picture, read_image
from tests.oracles import png_files

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
RGBA = RNG.integers(0, 256, (5, 7, 4), np.uint8)
GREY = RNG.integers(0, 256, (5, 7), np.uint8)


def levels(picture: Picture) -> npt.NDArray[np.float32]:
    return picture.pixels * np.float32(255)


def exact(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(array.astype(np.float32) / np.float32(255))


def three(grey: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.repeat(grey[:, :, None], 3, axis=2)


def save(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.webp", {"lossless": True}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"big_tiff": True}),
        ("wrong_name.jpg", {"format": "PNG"}),
    ],
)
def test_rgb_is_exact(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    picture = read_image(save(tmp_path, name, Image.fromarray(RGB), **options))
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.flags.c_contiguous
    assert picture.alpha is None
    assert picture.name == name
    assert (picture.height, picture.width) == (5, 7)
    np.testing.assert_array_equal(picture.pixels, exact(RGB))


def test_jpeg_decodes_as_pillow_does(tmp_path: Path) -> None:
    path = save(tmp_path, "a.jpg", Image.fromarray(RGB), quality=90)
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_image(path).pixels, exact(np.asarray(image)))


@pytest.mark.parametrize("kind", [str, Path, os.fspath])
def test_a_path_may_be_text(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    path = save(tmp_path, "a.png", Image.fromarray(RGB))
    np.testing.assert_array_equal(read_image(kind(path)).pixels, exact(RGB))


@pytest.mark.parametrize(
    ("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True, "exact": True}), ("a.tif", {})]
)
def test_alpha_is_kept_apart(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    picture = read_image(save(tmp_path, name, Image.fromarray(RGBA), **options))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.pixels, exact(RGBA[:, :, :3]))
    np.testing.assert_array_equal(picture.alpha, exact(RGBA[:, :, 3]))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_grey(tmp_path: Path, name: str) -> None:
    picture = read_image(save(tmp_path, name, Image.fromarray(GREY)))
    np.testing.assert_array_equal(picture.pixels, exact(three(GREY)))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_with_alpha(tmp_path: Path, name: str) -> None:
    picture = read_image(save(tmp_path, name, Image.fromarray(RGBA[:, :, :2], "LA")))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.pixels, exact(three(RGBA[:, :, 0])))
    np.testing.assert_array_equal(picture.alpha, exact(RGBA[:, :, 1]))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_one_bit(tmp_path: Path, name: str) -> None:
    picture = read_image(save(tmp_path, name, Image.fromarray(GREY > 127)))
    np.testing.assert_array_equal(picture.pixels, three((GREY > 127).astype(np.float32)))


def test_a_palette_becomes_colours(tmp_path: Path) -> None:
    image = Image.fromarray(GREY % 3, "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture = read_image(save(tmp_path, "a.png", image))
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels, exact(palette[GREY % 3]))


@pytest.mark.parametrize(("transparency", "alpha"), [(1, [255, 0, 255]), (b"\x80\x00\xff", [128, 0, 255])])
def test_a_palette_keeps_its_transparency(tmp_path: Path, transparency: int | bytes, alpha: list[int]) -> None:
    image = Image.fromarray(GREY % 3, "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture = read_image(save(tmp_path, "a.png", image, transparency=transparency))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, exact(np.array(alpha, np.uint8)[GREY % 3]))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_level_is_found_at_every_depth(tmp_path: Path, depth: int) -> None:
    samples = (GREY >> (8 - depth))[:, :, None]
    key = int(samples[2, 3, 0])
    path = tmp_path / "a.png"
    path.write_bytes(
        png_files.png_file(samples, depth, png_files.GREY, chunks=[png_files.chunk(b"tRNS", struct.pack(">H", key))])
    )
    picture = read_image(path)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, (samples[:, :, 0] != key).astype(np.float32))
    np.testing.assert_allclose(picture.pixels, three(samples[:, :, 0] / (2**depth - 1)), rtol=1e-6)


def test_a_transparent_colour_is_found(tmp_path: Path) -> None:
    colour = RGB.copy()
    colour[1, 2] = colour[3, 4] = (9, 8, 7)
    path = save(tmp_path, "a.png", Image.fromarray(colour), transparency=(9, 8, 7))
    expected = np.ones((5, 7), np.float32)
    expected[1, 2] = expected[3, 4] = 0
    np.testing.assert_array_equal(read_image(path).alpha, expected)


def test_cmyk_without_a_profile_is_ideal_ink(tmp_path: Path) -> None:
    picture = read_image(save(tmp_path, "a.tif", Image.fromarray(RGBA, "CMYK")))
    c, m, y, k = np.moveaxis(1 - RGBA / 255, 2, 0)
    assert picture.alpha is None
    np.testing.assert_allclose(picture.pixels, np.stack([c * k, m * k, y * k], axis=2), atol=2e-7)


def test_the_inverted_cmyk_of_jpeg_is_turned_round(tmp_path: Path) -> None:
    inks = np.full((16, 16, 4), (200, 100, 20, 10), np.uint8)
    path = save(tmp_path, "a.jpg", Image.fromarray(inks, "CMYK"), quality=100)
    assert b"Adobe" in path.read_bytes()
    expected = [(255 - ink) * (255 - 10) / 255 for ink in (200, 100, 20)]
    np.testing.assert_allclose(levels(read_image(path)), np.broadcast_to(expected, (16, 16, 3)), atol=2)


def test_lab(tmp_path: Path) -> None:
    colours = np.array([[180, 70], [128, 90]], np.uint8)
    rgb = Image.fromarray(np.stack([colours, colours.T, 255 - colours], axis=2))
    lab = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    picture = read_image(save(tmp_path, "a.tif", lab))
    np.testing.assert_allclose(levels(picture), np.asarray(rgb), atol=4)


def test_the_first_of_several_frames_is_read(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    for name, options in [("a.tif", {}), ("a.png", {}), ("a.webp", {"lossless": True})]:
        path = save(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(read_image(path).pixels, exact(RGB))


@pytest.mark.parametrize(
    ("image", "colour", "alpha"),
    [
        (Image.fromarray(RGB), RGB, None),
        (Image.fromarray(RGBA), RGBA[:, :, :3], RGBA[:, :, 3]),
        (Image.fromarray(GREY), three(GREY), None),
        (Image.fromarray(RGB).convert("RGBX"), RGB, None),
    ],
    ids=["RGB", "RGBA", "L", "RGBX"],
)
def test_pil_images(image: Image.Image, colour: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None) -> None:
    picture = read_image(image)
    assert picture.name == "PIL image"
    np.testing.assert_array_equal(picture.pixels, exact(colour))
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, exact(alpha))


def test_a_pil_image_of_inverted_hue_and_of_luma_becomes_rgb() -> None:
    flat = Image.new("RGB", (4, 4), (200, 30, 90))
    for mode in ("HSV", "YCbCr"):
        np.testing.assert_allclose(levels(read_image(flat.convert(mode))), np.asarray(flat), atol=2)


def test_premultiplied_alpha_is_divided_out() -> None:
    picture = read_image(Image.new("RGBA", (2, 2), (200, 100, 50, 128)).convert("RGBa"))
    assert picture.alpha is not None
    np.testing.assert_allclose(levels(picture), np.broadcast_to([200, 100, 50], (2, 2, 3)), atol=1)
    np.testing.assert_allclose(picture.alpha, 128 / 255, atol=1e-6)
