"""Images far larger than the result: reduced while they are read, within a budget of memory."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine.images import ImageError, read_image, read_size, reading, reducing
from impasto.engine.images.limits import MAX_PIXELS, decoding_budget
from tests.fuzz.judge import judge
from tests.oracles import png_files
from tests.oracles.icc_profiles import ADOBE_RGB, gamma_curve, rgb_profile

RNG = np.random.default_rng(5)
SMALL = 64 * 64


@pytest.fixture
def low_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of more than 64 x 64 pixels are large, and read in tiles of 1,000 pixels."""
    for module in (reading, reducing):
        monkeypatch.setattr(module, "LARGE_PIXELS", SMALL)
    monkeypatch.setattr(reducing, "_TILE_PIXELS", 1000)


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    """Return uint8 samples of low frequencies, for which every good way of reduction gives about the same."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(y / 40 + c) * np.cos(x / 50 - c) for c in range(channels)]
    return np.rint(127.5 + 120 * np.stack(waves, axis=2)).astype(np.uint8)


def write(folder: Path, name: str, samples: np.ndarray, **options: object) -> Path:
    Image.fromarray(samples.squeeze()).save(folder / name, **options)  # type: ignore[arg-type]
    return folder / name


@pytest.mark.usefixtures("low_threshold")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.webp"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("long_side_px", [16, 37])
def test_reduction_while_reading_gives_nearly_the_same(
    tmp_path: Path, name: str, channels: int, long_side_px: int
) -> None:
    path = write(tmp_path, name, smooth(301, 403, channels))
    wanted, found = read_image(path).scaled(long_side_px), read_image(path, long_side_px)
    assert found.pixels.shape == wanted.pixels.shape
    assert np.abs(found.pixels - wanted.pixels).max() < 3 / 255


@pytest.mark.usefixtures("low_threshold")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_a_reduced_image_is_upright(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path, name, smooth(301, 203, 3), exif=exif)
    wanted, found = read_image(path).scaled(24), read_image(path, 24)
    assert found.pixels.shape == wanted.pixels.shape
    assert np.abs(found.pixels - wanted.pixels).max() < 4 / 255


@pytest.mark.usefixtures("low_threshold")
def test_colours_of_a_reduced_image_count_by_their_alpha(tmp_path: Path) -> None:
    samples = smooth(301, 403, 4)
    samples[:100, :, 3] = 0
    path = write(tmp_path, "a.png", samples)
    wanted, found = read_image(path).scaled(24), read_image(path, 24)
    assert wanted.alpha is not None
    assert found.alpha is not None
    assert np.abs(found.alpha - wanted.alpha).max() < 0.03
    opaque = wanted.alpha > 0.5
    assert np.abs(found.pixels - wanted.pixels)[opaque].max() < 3 / 255
    hidden = wanted.alpha == 0
    assert np.abs(found.pixels - wanted.pixels)[hidden].max() < 9 / 255  # stored colours, not black


@pytest.mark.usefixtures("low_threshold")
@pytest.mark.parametrize("budget", [decoding_budget(64), 1])
def test_a_profile_and_16_bits_are_applied_before_the_reduction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(reading, "decoding_budget", lambda side: budget)
    monkeypatch.setattr(reading, "check_decoding", lambda *arguments: None)
    samples = RNG.integers(0, 65536, (301, 403, 3))
    profile = rgb_profile(ADOBE_RGB, gamma_curve(2.2))
    embedded = png_files.chunk(b"iCCP", b"a\0\0" + zlib.compress(profile))
    (tmp_path / "a.png").write_bytes(png_files.png_file(samples, 16, png_files.RGB, chunks=[embedded]))
    whole = read_image(tmp_path / "a.png").pixels
    found = read_image(tmp_path / "a.png", 20).pixels
    assert found.shape == (15, 20, 3)
    assert np.abs(found.mean((0, 1)) - whole.mean((0, 1))).max() < 0.01
    assert np.abs(found.mean((0, 1)) - samples.mean((0, 1)) / 65535).max() > 0.02  # the profile does something


@pytest.mark.usefixtures("low_threshold")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_arrays_and_pillow_images_are_reduced_too(tmp_path: Path, dtype: str) -> None:
    samples = smooth(301, 403, 3)
    array = {"uint8": samples, "uint16": samples.astype(np.uint16) * 257, "float32": samples / np.float32(255)}[dtype]
    np.save(tmp_path / "a.npy", array * 255 if dtype == "float32" else array)
    wanted = read_image(samples).scaled(24).pixels
    for source in (array, tmp_path / "a.npy", Image.fromarray(samples)):
        assert np.abs(read_image(source, 24).pixels - wanted).max() < 2 / 255


@pytest.mark.parametrize("long_side_px", [0, 20, 64, 100])
def test_ordinary_images_have_the_same_bits_as_ever(tmp_path: Path, long_side_px: int) -> None:
    path = write(tmp_path, "a.png", RNG.integers(0, 256, (90, 120, 4), np.uint8))
    wanted, found = read_image(path).scaled(long_side_px), read_image(path, long_side_px)
    assert wanted.alpha is not None
    assert np.array_equal(found.pixels, wanted.pixels)
    assert np.array_equal(found.alpha, wanted.alpha)  # type: ignore[arg-type]


def test_boxes_of_uneven_sides_are_means() -> None:
    values = RNG.random((50, 61, 3), np.float32)
    pixels, alpha = reducing.reduced(lambda rows, columns: (values[rows, columns], None), 50, 61, 7)
    assert (pixels.shape, alpha) == ((7, 8, 3), None)
    assert np.allclose(pixels[3, 5], values[21:29, 38:46].mean((0, 1)), atol=1e-6)


def enormous(side: int, depth: int, colour_type: int) -> bytes:
    """Return a PNG file of zeros, of a few kilobytes."""
    channels = {png_files.GREY: 1, png_files.RGB: 3, png_files.RGBA: 4}[colour_type]
    row = bytes(1 + -(-side * channels * depth // 8))
    deflate = zlib.compressobj(9)
    data = b"".join([*(deflate.compress(row) for _ in range(side)), deflate.flush()])
    header = struct.pack(">IIBBBBB", side, side, depth, colour_type, 0, 0, 0)
    chunks = [png_files.chunk(b"IHDR", header), png_files.chunk(b"IDAT", data), png_files.chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


@pytest.mark.parametrize(
    ("side", "depth", "colour_type"), [(int(MAX_PIXELS**0.5), 1, png_files.GREY), (8192, 16, png_files.RGBA)]
)
def test_a_small_file_of_many_pixels_takes_less_than_a_gigabyte(
    tmp_path: Path, side: int, depth: int, colour_type: int
) -> None:
    (tmp_path / "a.png").write_bytes(enormous(side, depth, colour_type))
    verdict = judge(lambda: read_image(tmp_path / "a.png", 64))
    assert not verdict.refused
    assert verdict.peak_bytes < 1e9


def test_a_decoder_beyond_the_budget_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.webp", np.zeros((3000, 16000), np.uint8), lossless=True, method=0)
    with pytest.raises(ImageError) as caught:
        read_image(path, 64)
    assert str(caught.value) == (
        f"{path} takes 1.0 GB to decode, and for a result of 64 px at most 0.8 GB are taken; "
        "reduce the image with another program first, or give a larger size"
    )


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4200, 4100)).save(buffer, "jpeg", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(data[:last] + data[last:-2] * 300 + data[-2:])
    with pytest.raises(ImageError, match=r"^cannot read .*a.jpg: it has 309 scans of 17,220,000 pixels, which takes"):
        read_image(tmp_path / "a.jpg", 64)


def test_not_enough_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    path = write(tmp_path, "a.png", smooth(30, 40, 3))
    monkeypatch.setattr(reading, "to_srgb", fail)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value) == f"cannot read {path}: there is not enough memory for it; use a smaller image"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_the_size_is_known_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path, name, smooth(30, 41, 3), exif=exif)
    picture = read_image(path)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    assert read_size(path) == (picture.height, picture.width)


def test_the_size_of_a_png_whose_orientation_follows_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path, "a.png", smooth(30, 41, 3))
    data = path.read_bytes()
    path.write_bytes(data[:-12] + png_files.chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:])
    assert read_image(path).pixels.shape == (41, 30, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    assert read_size(path) == (41, 30)


def test_the_size_of_arrays_and_pillow_images(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", smooth(30, 41, 3))
    for source in (tmp_path / "a.npy", str(tmp_path / "a.npy"), smooth(30, 41, 1), Image.new("L", (41, 30))):
        assert read_size(source) == (30, 41)
    for wrong in (None, 3):
        with pytest.raises(ImageError, match=r"^cannot use .* as an image: give a path"):
            read_size(wrong)  # type: ignore[arg-type]
