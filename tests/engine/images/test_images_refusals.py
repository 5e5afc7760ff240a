"""What is not read, and the exact words for it."""

import errno
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from impasto.engine.images import ImageError, Picture, read_image, require_min_side
from impasto.engine.images.limits import MAX_PIXELS
from tests.oracles import png_files

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)


def save(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


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
        (b'X\0\0\0\0\0\0\0{"__metadata__":', "it is a .safetensors file, and a saved style shows no picture"),
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
    data = encoded("WEBP", lossless=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
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
