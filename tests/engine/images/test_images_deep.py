"""16 bits a channel, to the last bit."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from impasto.engine.images import ImageError, Picture, read_image
from tests.oracles import png_files

RNG = np.random.default_rng(11)
RGBA = RNG.integers(0, 65536, (11, 13, 4), np.uint16)
RGB, GREY_ALPHA, GREY = RGBA[:, :, :3], RGBA[:, :, :2], RGBA[:, :, :1]


def read(folder: Path, data: bytes) -> Picture:
    (folder / "deep").write_bytes(data)
    return read_image(folder / "deep")


def exact(array: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    return np.asarray(array.astype(np.float32) / np.float32(65535))


def check(picture: Picture, samples: npt.NDArray[np.uint16]) -> None:
    channels = samples.shape[2]
    colour = samples[:, :, : channels - (channels in (2, 4))]
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(exact(colour), (*samples.shape[:2], 3)))
    if channels in (2, 4):
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, exact(samples[:, :, -1]))
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("samples", "colour_type"),
    [(RGB, png_files.RGB), (RGBA, png_files.RGBA), (GREY, png_files.GREY), (GREY_ALPHA, png_files.GREY_ALPHA)],
    ids=["RGB", "RGBA", "grey", "grey and alpha"],
)
def test_png(tmp_path: Path, samples: npt.NDArray[np.uint16], colour_type: int, interlaced: bool) -> None:
    check(read(tmp_path, png_files.png_file(samples, 16, colour_type, interlaced=interlaced)), samples)


def test_the_transparent_colour_of_a_png_counts_all_its_bits(tmp_path: Path) -> None:
    samples = RGB.copy()
    samples[2, 3] = (0x1234, 0x5678, 0x9ABC)
    samples[4, 5] = (0x1234, 0x5678, 0x9ABD)
    key = png_files.chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    picture = read(tmp_path, png_files.png_file(samples, 16, png_files.RGB, chunks=[key]))
    expected = np.ones((11, 13), np.float32)
    expected[2, 3] = 0
    np.testing.assert_array_equal(picture.alpha, expected)


def test_the_transparent_grey_of_a_png(tmp_path: Path) -> None:
    key = png_files.chunk(b"tRNS", struct.pack(">H", int(GREY[2, 3, 0])))
    picture = read(tmp_path, png_files.png_file(GREY, 16, png_files.GREY, chunks=[key]))
    np.testing.assert_array_equal(picture.alpha, (GREY[:, :, 0] != GREY[2, 3, 0]).astype(np.float32))


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"rowsperstrip": 3},
    {"rowsperstrip": 3, "compression": "zlib"},
    {"tile": (16, 16)},
    {"tile": (16, 16), "compression": "zlib"},
]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff(tmp_path: Path, channels: int, layout: dict[str, Any], byteorder: Any) -> None:
    file = io.BytesIO()
    extra = ["unassalpha"] if channels == 4 else None
    samples = RGBA[:, :, :channels]
    tifffile.imwrite(file, samples, photometric="rgb", extrasamples=extra, byteorder=byteorder, **layout)
    check(read(tmp_path, file.getvalue()), samples)


def test_bigtiff(tmp_path: Path) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, RGB, photometric="rgb", bigtiff=True)
    check(read(tmp_path, file.getvalue()), RGB)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_in_separate_planes(tmp_path: Path, channels: int, byteorder: Any) -> None:
    samples = RGBA[:, :, :channels]
    check(read(tmp_path, planar_tiff(samples, byteorder=byteorder)), samples)
    # Compressed as well, 8 bits are what can be had.
    picture = read(tmp_path, planar_tiff(samples, byteorder=byteorder, compression="zlib"))
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), samples[:, :, :3] >> 8)


def planar_tiff(samples: npt.NDArray[np.uint16], **options: Any) -> bytes:
    file = io.BytesIO()
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    extra = ["unassalpha"] if samples.shape[2] == 4 else None
    tifffile.imwrite(file, planes, photometric="rgb", planarconfig="separate", extrasamples=extra, **options)
    return file.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_premultiplied_tiff(tmp_path: Path, compression: Any) -> None:
    alpha = np.array([[65535, 40000, 1000, 0]], np.uint16)
    colour = np.array([[[60000, 30000, 5]] * 4], np.uint16)
    stored = np.rint(colour * (alpha[:, :, None] / 65535)).astype(np.uint16)
    file = io.BytesIO()
    samples = np.dstack([stored, alpha])
    tifffile.imwrite(file, samples, photometric="rgb", extrasamples=["assocalpha"], compression=compression)
    picture = read(tmp_path, file.getvalue())
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, exact(alpha))
    np.testing.assert_allclose(picture.pixels[0, :2] * 65535, colour[0, :2], atol=1.1)
    np.testing.assert_allclose(picture.pixels[0, 2] * 65535, colour[0, 2], atol=33)  # 1 in 65535 / 1000
    np.testing.assert_array_equal(picture.pixels[0, 3], 0)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_grey_tiff(tmp_path: Path, photometric: Any, compression: Any) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, GREY[:, :, 0], photometric=photometric, compression=compression)
    check(read(tmp_path, file.getvalue()), GREY if photometric == "minisblack" else 65535 - GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_tiff(tmp_path: Path, orientation: int) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, RGB, photometric="rgb", extratags=[(274, 3, 1, orientation, False)])
    flat = Image.fromarray(np.arange(143, dtype=np.uint8).reshape(11, 13))
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    turns |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    if orientation > 1:
        flat = flat.transpose(Image.Transpose[turns[orientation]])
    picture = read(tmp_path, file.getvalue())
    np.testing.assert_array_equal(picture.pixels, exact(RGB.reshape(143, 3))[np.asarray(flat)])


def test_grey_in_32_bits(tmp_path: Path) -> None:
    for samples in (GREY[:, :, 0].astype(np.int32), GREY[:, :, 0].astype(np.float32) / 65535):
        file = io.BytesIO()
        tifffile.imwrite(file, samples, photometric="minisblack")
        check(read(tmp_path, file.getvalue()), GREY)


def test_message_for_numbers_of_unknown_range(tmp_path: Path) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([[-3, 70_000]], np.int32), photometric="minisblack")
    with pytest.raises(ImageError) as caught:
        read(tmp_path, file.getvalue())
    assert str(caught.value) == (
        f"cannot read {tmp_path}/deep: truncated, corrupt or of an unsupported kind "
        "(grey values from -3 to 70000; in 32 bits, whole numbers in 0..65535 or floats in 0..1)"
    )


def test_16_bit_grey_pil_images() -> None:
    check(read_image(Image.fromarray(GREY[:, :, 0])), GREY)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, RGB, photometric="rgb", compression="zlib")
    for data in (png_files.png_file(RGB, 16, png_files.RGB), tiff.getvalue()):
        with pytest.raises(ImageError, match="truncated, corrupt or of an unsupported kind"):
            read(tmp_path, data[: int(len(data) * share)])
