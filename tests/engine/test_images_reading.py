"""Files of every kind to pixels, and the message for every kind that is not read."""

import errno
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from impasto.engine.images import ImageError, Picture, read_image, require_min_side
from impasto.engine.images.limits import MAX_PIXELS
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


def check_message(source: Any, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert str(caught.value) == message


def test_message_for_a_missing_file(tmp_path: Path) -> None:
    check_message(tmp_path / "no.png", f"cannot read {tmp_path}/no.png: no such file")


def test_message_for_a_folder(tmp_path: Path) -> None:
    check_message(tmp_path, f"cannot read {tmp_path}: it is a folder, not an image file")


def test_message_for_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    check_message(tmp_path / "a.png", f"cannot read {tmp_path}/a.png: the file is empty")


def test_message_for_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    check_message(tmp_path / "a.png", f"cannot read {tmp_path}/a.png: permission denied")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"hello", "it is not an image"),
        (b"RIFF\0\0\0\0AVI LIST", "it is not an image"),
        (b"GIF89a", "it is GIF"),
        (b"%PDF-1.7", "it is PDF"),
        (b"<svg xmlns=", "it is SVG"),
        (b"<?xml version=", "it is XML or SVG"),
        (b"\0\0\0\x1cftypavif", "it is AVIF"),
        (b"\0\0\0\x18ftypheic", "it is HEIC"),
        (b"8BPS", "it is Photoshop"),
        (b"\0\0\0\x0cJXL \r\n", "it is JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n", "it is JPEG 2000"),
    ],
)
def test_message_for_other_kinds_of_file(tmp_path: Path, head: bytes, what: str) -> None:
    (tmp_path / "a.png").write_bytes(head)
    readable = "JPEG, PNG, WebP, TIFF, BMP and .npy"
    check_message(
        tmp_path / "a.png", f"cannot read {tmp_path}/a.png: {what}; readable are {readable}: convert it first"
    )


def test_message_for_something_else() -> None:
    check_message(3, "cannot use int as an image: give a path, a PIL image or a NumPy array")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_refused_in_one_line(tmp_path: Path, name: str, share: float) -> None:
    path = save(tmp_path, name, Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"cannot read {path}: truncated, corrupt or of an unsupported kind (")
    assert "\n" not in message


def test_exact_message_for_a_truncated_file(tmp_path: Path) -> None:
    path = save(tmp_path, "a.bmp", Image.fromarray(RGB))
    path.write_bytes(path.read_bytes()[:-20])
    check_message(
        path,
        f"cannot read {path}: truncated, corrupt or of an unsupported kind "
        "(image file is truncated (4 bytes not processed))",
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"])
def test_corrupt_files_are_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, name, Image.fromarray(RNG.integers(0, 256, (24, 24, 3), np.uint8)))
    whole = path.read_bytes()
    messages = []
    for _ in range(60):
        data = bytearray(whole)
        for position in RNG.integers(0, min(len(data), 200), 4):
            data[position] = RNG.integers(0, 256)
        path.write_bytes(data)
        try:
            assert read_image(path).pixels.ndim == 3
        except ImageError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert not any("\n" in message for message in messages)


def huge_png() -> bytes:
    return png_files.header(20_000, 20_000, 8, png_files.RGB) + png_files.chunk(b"IDAT", b"")


def encoded(name: str, **options: Any) -> bytearray:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, name, **options)
    return bytearray(file.getvalue())


def huge_jpeg() -> bytes:
    data = encoded("JPEG")
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 20_000, 20_000)
    return bytes(data)


def huge_bmp() -> bytes:
    data = encoded("BMP")
    struct.pack_into("<ii", data, 18, 20_000, 20_000)
    return bytes(data)


def huge_tiff() -> bytes:
    with Image.open(io.BytesIO(encoded("TIFF"))) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        tags = image.tag_v2
        tags[TiffImagePlugin.IMAGEWIDTH] = tags[TiffImagePlugin.IMAGELENGTH] = 20_000
        file = io.BytesIO()
        tags.save(file)
    return file.getvalue()


@pytest.mark.parametrize("make", [huge_png, huge_jpeg, huge_bmp, huge_tiff])
def test_message_for_too_many_pixels(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "big"
    path.write_bytes(make())
    before = Image.MAX_IMAGE_PIXELS
    check_message(
        path,
        f"{path} is 20000 x 20000 px, that is 400,000,000 pixels: at most 178,956,970 are read; "
        "use a smaller image or set IMPASTO_MAX_PIXELS",
    )
    assert before == Image.MAX_IMAGE_PIXELS
    with Image.open(save(tmp_path, "a.png", Image.fromarray(RGB))) as image:
        image._size = (20_000, 20_000)
        with pytest.raises(ImageError, match=r"^a\.png is 20000 x 20000 px"):
            read_image(image)


def test_message_for_a_webp_file_with_too_many_pixels(tmp_path: Path) -> None:
    data = encoded("WEBP", lossless=True, **oriented(1))
    assert data[12:16] == b"VP8X"
    data[24:30] = (19_999).to_bytes(3, "little") * 2
    (tmp_path / "big.webp").write_bytes(data)
    check_message(
        tmp_path / "big.webp",
        f"{tmp_path}/big.webp has too many pixels: at most 178,956,970 are read; "
        "use a smaller image or set IMPASTO_MAX_PIXELS",
    )


def test_our_limit_is_where_pillow_refuses_too() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert 2 * Image.MAX_IMAGE_PIXELS == MAX_PIXELS


def test_the_environment_sets_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, "a.png", Image.fromarray(RGB))
    monkeypatch.setenv("IMPASTO_MAX_PIXELS", "35")
    read_image(path)
    monkeypatch.setenv("IMPASTO_MAX_PIXELS", "34")
    check_message(
        path,
        f"{path} is 7 x 5 px, that is 35 pixels: at most 34 are read; use a smaller image or set IMPASTO_MAX_PIXELS",
    )
    for text in ("0", "-1", "many", ""):
        monkeypatch.setenv("IMPASTO_MAX_PIXELS", text)
        check_message(path, f"bad IMPASTO_MAX_PIXELS {text!r}: allowed are whole numbers above 0")


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg", "a.bmp"])
@pytest.mark.parametrize("pillow_limit", [3, 20])  # where Pillow would refuse, and where it would warn
def test_pillows_own_limit_gives_way_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pillow_limit: int
) -> None:
    path = save(tmp_path, name, Image.fromarray(RGB))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    assert read_image(path).pixels.shape == (5, 7, 3)
    assert pillow_limit == Image.MAX_IMAGE_PIXELS


def test_message_for_an_image_that_is_too_small(tmp_path: Path) -> None:
    picture = read_image(save(tmp_path, "dot.png", Image.fromarray(RGB[:1, :1])))
    with pytest.raises(ImageError) as caught:
        require_min_side(picture, 32, "content image")
    assert str(caught.value) == (
        "content image dot.png is 1 x 1 px: both sides must be 32 px or more; use a larger image"
    )
    require_min_side(Picture(np.zeros((32, 40, 3), np.float32), None, "a"), 32, "content image")
    with pytest.raises(ImageError, match="is 40 x 31 px"):
        require_min_side(Picture(np.zeros((31, 40, 3), np.float32), None, "a"), 32, "content image")
