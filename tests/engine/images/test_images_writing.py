"""Pixels to files and back."""

import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, _imagingcms

from impasto.engine.images import (
    EXTENSIONS,
    ImageError,
    read_image,
    read_metadata,
    write_array,
    write_image,
)

RNG = np.random.default_rng(9)
PIXELS = RNG.random((23, 31, 3), np.float32)
ALPHA = RNG.random((23, 31), np.float32)
METADATA = {"settings": {"size": 512, "taps": ["relu1_1"], "name": "Größe"}, "network": "abc", "versions": {}}


def check_message(message: str, path: Path, pixels: npt.NDArray[np.float32] = PIXELS, **options: Any) -> None:
    with pytest.raises(ImageError) as caught:
        write_image(path, pixels, **options)
    assert str(caught.value) == message


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("alpha", [None, ALPHA], ids=["opaque", "alpha"])
@pytest.mark.parametrize(
    ("name", "bits"), [("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.TIFF", 16), ("a.webp", 8), ("a.PNG", 8)]
)
def test_round_trip(tmp_path: Path, name: str, bits: int, alpha: npt.NDArray[np.float32] | None) -> None:
    write_image(tmp_path / name, PIXELS, alpha, bits=bits, metadata=METADATA)
    picture = read_image(tmp_path / name)
    white = 2**bits - 1
    np.testing.assert_array_equal(np.rint(picture.pixels * white), np.rint(PIXELS * white))
    assert np.abs(picture.pixels - PIXELS).max() <= 0.5001 / white
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(np.rint(np.asarray(picture.alpha) * white), np.rint(alpha * white))
    assert read_metadata(tmp_path / name) == METADATA
    assert files(tmp_path) == [name]


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (300, 1300)])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_other_readers_agree(tmp_path: Path, shape: tuple[int, int], channels: int, bits: int) -> None:
    samples = RNG.integers(0, 2**bits, (*shape, channels)).astype(np.uint8 if bits == 8 else np.uint16)
    unit = samples.astype(np.float32) / np.float32(2**bits - 1)
    alpha = unit[:, :, 3] if channels == 4 else None
    for name in ("a.png", "a.tif"):
        write_image(tmp_path / name, unit[:, :, :3], alpha, bits=bits)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), samples)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()  # every checksum
    with Image.open(tmp_path / "a.png") as image:  # of 16 bits it shows the upper 8
        np.testing.assert_array_equal(np.asarray(image), samples if bits == 8 else samples // 256)
    picture = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, unit[:, :, :3])


def test_16_bit_png_by_hand(tmp_path: Path) -> None:
    pixels = np.array([[[0, 1, 0x1234 / 0xFFFF], [0x00FF / 0xFFFF, 0.5, 0xFF00 / 0xFFFF]]], np.float32)
    write_image(tmp_path / "a.png", pixels, bits=16)
    data = (tmp_path / "a.png").read_bytes()
    assert data[16:29] == b"\0\0\0\2\0\0\0\1\x10\2\0\0\0"  # 2 x 1, 16 bits, RGB
    start = data.index(b"IDAT")
    row = zlib.decompress(data[start + 4 : start + 4 + int.from_bytes(data[start - 4 : start])])
    first = bytes([0, 0, 255, 255, 0x12, 0x34])
    second = bytes([0, 255, 128, 0, 255, 0])
    # Paeth with no row above is the left neighbour.
    assert row == b"\4" + first + bytes((b - a) % 256 for a, b in zip(first, second, strict=True))


def test_rounding_is_to_the_nearest_level_and_clips(tmp_path: Path) -> None:
    row = np.array([-0.7, 0, 0.49 / 255, 0.51 / 255, 127.49 / 255, 127.51 / 255, 1, 1.8], np.float32)
    write_image(tmp_path / "a.png", np.repeat(row[None, :, None], 3, axis=2))
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 0, 1, 127, 128, 255, 255]


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg"])
def test_jpeg_is_close_and_has_no_alpha(tmp_path: Path, name: str) -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], np.float32(0.5)), axis=2)
    write_image(tmp_path / name, pixels, ramp[:, None] * ramp, metadata=METADATA)
    picture = read_image(tmp_path / name)
    assert picture.alpha is None
    assert np.abs(picture.pixels - pixels).mean() < 1 / 255
    assert read_metadata(tmp_path / name) == METADATA


def test_npy_is_neither_rounded_nor_clipped(tmp_path: Path) -> None:
    pixels = PIXELS * 1.5 - 0.25
    write_image(tmp_path / "a.npy", pixels, ALPHA, metadata=METADATA)
    array = np.load(tmp_path / "a.npy")
    assert array.dtype == np.float32
    assert array.shape == (23, 31, 3)
    np.testing.assert_allclose(array, pixels * 255, rtol=1e-6)
    np.testing.assert_allclose(read_image(tmp_path / "a.npy").pixels, pixels, rtol=1e-6)


def test_write_array(tmp_path: Path) -> None:
    array = (PIXELS - 0.5).astype(np.float32) * 1e6
    write_array(tmp_path / "g.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "g.npy"), array)
    with pytest.raises(ImageError) as caught:
        write_array(tmp_path / "g.png", array)
    assert str(caught.value) == f"cannot write {tmp_path}/g.png: unknown extension .png; allowed are .npy"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_same_image_is_the_same_file(tmp_path: Path, extension: str) -> None:
    digests = set()
    for name in ("a", "b"):
        path = tmp_path / f"{name}{extension}"
        write_image(path, PIXELS.copy(), ALPHA.copy(), metadata=dict(METADATA))
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_no_date_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.tif", PIXELS)
    create = ImageCms.createProfile

    def dated(*arguments: Any) -> Any:
        profile = ImageCms.ImageCmsProfile(create(*arguments)).tobytes()
        date = bytes([7, 200, 0, 9, 0, 9, 0, 9, 0, 9, 0, 9])
        return _imagingcms.profile_frombytes(profile[:24] + date + profile[36:])

    monkeypatch.setattr(ImageCms, "createProfile", dated)
    write_image(tmp_path / "b.tif", PIXELS)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_files_are_marked_as_srgb(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp", "a.tif"):
        write_image(tmp_path / name, PIXELS)
        with Image.open(tmp_path / name) as image:
            if name == "a.png":
                assert image.info["srgb"] == 0
                continue
            with (tmp_path / "profile.icc").open("wb") as stream:
                stream.write(image.info["icc_profile"])
        profile = ImageCms.getOpenProfile(str(tmp_path / "profile.icc"))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_metadata_is_where_other_programs_find_it(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", PIXELS, metadata={"a": 1})
    with Image.open(tmp_path / "a.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text == {"impasto": '{"a": 1}'}
    for name in ("a.jpg", "a.webp", "a.tif"):
        write_image(tmp_path / name, PIXELS, metadata={"a": 1})
        with Image.open(tmp_path / name) as image:
            assert image.getexif()[270] == 'impasto {"a": 1}'


def test_messages_for_files_without_metadata(tmp_path: Path) -> None:
    lost = "impasto did not write it, or they were lost when it was edited or converted"
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
        check_no_metadata(tmp_path / name, f"{tmp_path}/{name} holds no settings: {lost}")
    info = PngImagePlugin.PngInfo()
    for text in ("nonsense", "[1]", "{"):
        info.add_text("impasto", text)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png", pnginfo=info)
        check_no_metadata(tmp_path / "a.png", f"{tmp_path}/a.png holds no settings: {lost}")
    write_image(tmp_path / "a.npy", PIXELS, metadata=METADATA)
    no_room = "holds no settings: .npy files have no room for them; look at .png, .jpg, .webp or .tif"
    check_no_metadata(tmp_path / "a.npy", f"{tmp_path}/a.npy {no_room}")
    check_no_metadata(tmp_path / "b.png", f"cannot read {tmp_path}/b.png: no such file")
    (tmp_path / "c.png").write_bytes(b"text")
    with pytest.raises(ImageError, match="it is not an image; readable are"):
        read_metadata(tmp_path / "c.png")


def check_no_metadata(path: Path, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_metadata(path)
    assert str(caught.value) == message


def test_metadata_with_numbers_that_json_lacks_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_image(tmp_path / "a.png", PIXELS, metadata={"loss": float("nan")})
    assert files(tmp_path) == []
