"""ICC profiles, against Little CMS and against colours worked out by hand."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms

from impasto.engine.images import read_image
from impasto.engine.images.colour import unit
from tests.oracles import icc_profiles as icc
from tests.oracles import png_files

LEVELS = np.arange(0, 256, 15, dtype=np.uint8)
GRID = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), axis=-1).reshape(-1, 54, 3)
SRGB_CURVE = icc.parametric_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TABLE = icc.table_curve((np.arange(1024) / 1023) ** 1.8)


def read(
    folder: Path, image: Image.Image, profile: bytes, name: str = "a.png", **options: Any
) -> npt.NDArray[np.float32]:
    image.save(folder / name, icc_profile=profile, **options)
    return read_image(folder / name).pixels


def little_cms(image: Image.Image, profile: bytes, *, compensated: bool = True) -> npt.NDArray[np.float32]:
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION if compensated else ImageCms.Flags.NONE,
    )
    assert converted is not None
    return unit(np.asarray(converted))


@pytest.mark.parametrize(
    "profile",
    [
        icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(2.2)),
        icc.rgb_profile(icc.PROPHOTO_RGB, icc.gamma_curve(1.8)),
        icc.rgb_profile(icc.PROPHOTO_RGB, TABLE),
        icc.rgb_profile(icc.ADOBE_RGB, icc.identity_curve()),
        icc.rgb_profile(icc.ADOBE_RGB, SRGB_CURVE),
        icc.rgb_profile(icc.ADOBE_RGB, icc.parametric_curve(0, 2.0)),
        icc.rgb_profile(icc.ADOBE_RGB, icc.parametric_curve(1, 2.0, 1.1, -0.1)),
        icc.rgb_profile(icc.ADOBE_RGB, icc.parametric_curve(4, 2.4, 0.9, 0.1, 0.3, 0.1, 0.0, 0.0)),
    ],
    ids=["adobe", "prophoto", "table", "linear", "srgb curve", "type 0", "type 1", "type 4"],
)
def test_wide_gamuts_come_out_as_in_little_cms(tmp_path: Path, profile: bytes) -> None:
    image = Image.fromarray(GRID)
    found, expected = read(tmp_path, image, profile), little_cms(image, profile)
    assert np.abs(expected - unit(GRID)).max() > 10 / 255  # the profile does something
    np.testing.assert_allclose(found, expected, atol=1.01 / 255)  # theirs is rounded to 8 bits
    assert np.abs(found - expected).mean() < 0.3 / 255


def test_a_curve_with_a_lifted_black(tmp_path: Path) -> None:
    profile = icc.rgb_profile(icc.ADOBE_RGB, icc.parametric_curve(2, 2.0, 0.9, -0.1, 0.2))
    image = Image.fromarray(GRID)
    expected = little_cms(image, profile, compensated=False)
    np.testing.assert_allclose(read(tmp_path, image, profile), expected, atol=1.01 / 255)


@pytest.mark.parametrize(
    ("name", "options"), [("a.png", {}), ("a.tif", {}), ("a.webp", {"lossless": True}), ("a.jpg", {"quality": 98})]
)
def test_every_format_brings_its_profile(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    profile = icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(2.2))
    image = Image.new("RGB", (16, 16), (60, 160, 90))
    found = read(tmp_path, image, profile, name, **options)
    np.testing.assert_allclose(found, little_cms(image, profile), atol=3 / 255)
    assert abs(found[0, 0, 0] - 60 / 255) > 10 / 255


def test_a_colour_worked_out_by_hand(tmp_path: Path) -> None:
    # Adobe RGB's green is beyond sRGB's: its red and blue fall below 0 and are clipped. Its grey axis is sRGB's white
    # point, so (128, 128, 128) stays grey: linear 0.2195 and 1.055 * 0.2195^(1/2.4) - 0.055 = 0.5061.
    profile = icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(2.2))
    found = read(tmp_path, Image.fromarray(np.array([[[0, 255, 0], [128, 128, 128]]], np.uint8)), profile)
    np.testing.assert_allclose(found[0, 0], [0, 1, 0], atol=0.02)
    np.testing.assert_allclose(found[0, 1], 0.5061, atol=1e-3)


def test_16_bit_colours_keep_their_precision(tmp_path: Path) -> None:
    # A ramp of steps far below 1/255 through ProPhoto's grey axis: the result is as smooth as the curve that it is.
    levels = np.arange(20_000, 20_400, dtype=np.uint16)
    profile = icc.rgb_profile(icc.PROPHOTO_RGB, icc.gamma_curve(1.8))
    path = tmp_path / "ramp.tif"
    samples = np.repeat(levels[None, :, None], 3, axis=2)
    tifffile.imwrite(path, samples, photometric="rgb", iccprofile=profile)
    linear = (levels / 65535) ** (round(1.8 * 256) / 256)
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    found = read_image(path).pixels[0].astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=1), expected, atol=2e-4)  # the primaries' rounding: one constant factor
    steps = np.diff(found[:, 1])
    assert steps.min() > 0
    np.testing.assert_allclose(steps, np.diff(expected), atol=3e-7)


def test_srgb_itself_is_left_exactly_as_it_is(tmp_path: Path) -> None:
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read(tmp_path, Image.fromarray(GRID), made), unit(GRID))


def test_grey_profiles(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(8, 32))
    profile = icc.grey_profile(icc.gamma_curve(1.5))
    found = read(tmp_path, image, profile)
    np.testing.assert_allclose(found, little_cms(image, profile), atol=2 / 255)  # theirs is coarse near black
    linear = (np.arange(256) / 255) ** 1.5
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found[:, :, 0].ravel(), expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, :, 0], found[:, :, 2])


def test_alpha_is_not_converted(tmp_path: Path) -> None:
    rgba = np.dstack([GRID, np.resize(np.arange(256, dtype=np.uint8), GRID.shape[:2])])
    profile = icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(2.2))
    Image.fromarray(rgba).save(tmp_path / "a.png", icc_profile=profile)
    picture = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.alpha, unit(rgba[:, :, 3]))
    np.testing.assert_allclose(picture.pixels, little_cms(Image.fromarray(GRID), profile), atol=1.01 / 255)


@pytest.mark.parametrize(("name", "tolerance"), [("a.tif", 0.0), ("a.jpg", 4.0)])
def test_cmyk_with_a_profile(tmp_path: Path, name: str, tolerance: float) -> None:
    inks = np.kron(np.array([[0, 255], [128, 64]], np.uint8), np.ones((8, 8), np.uint8))
    image = Image.fromarray(np.dstack([inks, inks, inks, inks]), "CMYK")
    found = read(tmp_path, image, icc.cmyk_profile(), name)
    np.testing.assert_allclose(found, little_cms(image, icc.cmyk_profile()), atol=tolerance / 255)
    # L* of 100, 20 (no ink is blacker) and 60 is Y of 1, 0.030 and 0.281: 255, 48 and 144 in sRGB.
    np.testing.assert_allclose(found[0, 0] * 255, 255, atol=2)
    np.testing.assert_allclose(found[0, -1] * 255, 48, atol=5)
    np.testing.assert_allclose(found[-1, 0] * 255, 144, atol=3)


def test_the_black_of_a_table_becomes_black(tmp_path: Path) -> None:
    # Y of L* = 20 is 0.030, of L* = 60 it is 0.281; less the black and stretched, 0.259, that is 139 in sRGB.
    image = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255], [0, 128, 255]]], np.uint8))
    found = read(tmp_path, image, icc.table_rgb_profile())[0, :, 1] * 255
    np.testing.assert_allclose(found, [0, 255, 139], atol=2)


def test_16_bits_under_a_profile_of_tables_are_converted_at_8(tmp_path: Path) -> None:
    samples = np.array([[[1000, 30_000, 65_535], [40_000, 500, 20_000]]], np.uint16)
    profile = icc.table_rgb_profile()
    chunk = png_files.chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))
    (tmp_path / "a.png").write_bytes(png_files.png_file(samples, 16, png_files.RGB, chunks=[chunk]))
    rounded = Image.fromarray(np.rint(samples / 257).astype(np.uint8))
    expected = little_cms(rounded, profile)
    assert np.abs(expected - unit(np.asarray(rounded))).max() > 10 / 255
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, expected)


def test_16_bits_under_a_profile_that_does_not_fit_stay_16(tmp_path: Path) -> None:
    samples = np.array([[[1000, 30_000, 65_535]]], np.uint16)
    chunk = png_files.chunk(b"iCCP", b"test\0\0" + zlib.compress(icc.cmyk_profile()))
    (tmp_path / "a.png").write_bytes(png_files.png_file(samples, 16, png_files.RGB, chunks=[chunk]))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, unit(samples))


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"nonsense",
        bytes(128),
        icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(2.2))[:150],
        icc.rgb_profile(icc.ADOBE_RGB, b"text\0\0\0\0nothing"),
        icc.rgb_profile(icc.ADOBE_RGB, icc.parametric_curve(9, 1.0)),
        icc.grey_profile(icc.gamma_curve(2.2)),
        icc.cmyk_profile(),
    ],
    ids=["empty", "nonsense", "zeros", "truncated", "no curve", "unknown curve", "of grey", "of inks"],
)
def test_a_profile_that_does_not_fit_is_passed_over(tmp_path: Path, profile: bytes) -> None:
    np.testing.assert_array_equal(read(tmp_path, Image.fromarray(GRID), profile), unit(GRID))


def test_an_rgb_profile_on_a_grey_image_is_passed_over(tmp_path: Path) -> None:
    grey = GRID[:, :, 0]
    found = read(tmp_path, Image.fromarray(grey), icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(2.2)))
    np.testing.assert_array_equal(found[:, :, 1], unit(grey))
