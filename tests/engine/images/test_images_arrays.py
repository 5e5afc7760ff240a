"""Arrays and .npy files as images."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from impasto.engine.images import ImageError, from_nchw, interpolate, read_image, thumbnail, to_nchw

RNG = np.random.default_rng(3)
FLOATS = RNG.random((4, 6, 3)).astype(np.float32)
BYTES = RNG.integers(0, 256, (4, 6, 4), np.uint8)
ALLOWED = "allowed are uint8, uint16 or floats, H x W x 3 RGB, H x W x 4 RGBA, or H x W grey"


def save(folder: Path, array: npt.NDArray[Any]) -> Path:
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


def check_message(source: Any, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert str(caught.value) == message


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_0_to_1(dtype: type[np.floating[Any]]) -> None:
    picture = read_image(FLOATS.astype(dtype))
    assert picture.name == "array"
    assert picture.alpha is None
    assert picture.pixels.dtype == np.float32
    np.testing.assert_array_equal(picture.pixels, FLOATS.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_whole_numbers_use_their_full_range(dtype: type[np.unsignedinteger[Any]], white: int) -> None:
    array = RNG.integers(0, white + 1, (4, 6, 3)).astype(dtype)
    array[0, 0] = 0, white, white // 5
    picture = read_image(array)
    np.testing.assert_array_equal(picture.pixels, array.astype(np.float32) / np.float32(white))
    np.testing.assert_array_equal(picture.pixels[0, 0], np.array([0, 1, 0.2], np.float32))


def test_grey_and_alpha_channels() -> None:
    unit = BYTES.astype(np.float32) / np.float32(255)
    for array, colour, alpha in [
        (BYTES, unit[:, :, :3], unit[:, :, 3]),
        (BYTES[:, :, :2], unit[:, :, [0, 0, 0]], unit[:, :, 1]),
        (BYTES[:, :, :1], unit[:, :, [0, 0, 0]], None),
        (BYTES[:, :, 0], unit[:, :, [0, 0, 0]], None),
    ]:
        picture = read_image(array)
        np.testing.assert_array_equal(picture.pixels, colour)
        assert picture.pixels.flags.c_contiguous
        assert (picture.alpha is None) == (alpha is None)
        if alpha is not None:
            np.testing.assert_array_equal(picture.alpha, alpha)


def test_the_picture_does_not_change_with_the_array() -> None:
    array = FLOATS.copy()
    picture = read_image(array)
    array[:] = 0
    np.testing.assert_array_equal(picture.pixels, FLOATS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_in_npy_files_are_0_to_255(tmp_path: Path, dtype: type[np.floating[Any]]) -> None:
    array = (FLOATS * 255).astype(dtype)
    array[0, 0] = 0, 255, 51
    picture = read_image(save(tmp_path, array))
    assert picture.name == "a.npy"
    np.testing.assert_allclose(picture.pixels, array / 255, rtol=1e-7)
    np.testing.assert_array_equal(picture.pixels[0, 0], np.array([0, 1, 0.2], np.float32))


@pytest.mark.parametrize("order", ["C", "F"])
def test_bytes_in_npy_files(tmp_path: Path, order: Any) -> None:
    picture = read_image(save(tmp_path, np.asarray(BYTES, order=order)))
    np.testing.assert_array_equal(picture.pixels, BYTES[:, :, :3].astype(np.float32) / np.float32(255))


def test_an_optimised_image_may_leave_its_range_and_is_not_clipped(tmp_path: Path) -> None:
    array = np.array([[[-40, 300, 128]]], np.float32)
    np.testing.assert_allclose(read_image(save(tmp_path, array)).pixels, array / 255, rtol=1e-6)
    np.testing.assert_allclose(read_image(array / 255).pixels, array / 255, rtol=1e-6)


def test_a_black_npy_file_is_an_image(tmp_path: Path) -> None:
    assert read_image(save(tmp_path, np.zeros((2, 2, 3)))).pixels.max() == 0


@pytest.mark.parametrize(
    ("shape", "words"),
    [((3,), "3"), ((3, 4, 6), "3 x 4 x 6"), ((1, 4, 6, 3), "1 x 4 x 6 x 3"), ((0, 5, 3), "0 x 5 x 3"), ((), "()")],
)
def test_message_for_a_shape(shape: tuple[int, ...], words: str) -> None:
    check_message(np.zeros(shape, np.uint8), f"cannot use array as an image: its shape is {words}; {ALLOWED}")


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "int8"])
def test_message_for_a_type(dtype: str) -> None:
    check_message(np.zeros((2, 2, 3), dtype), f"cannot use array as an image: its type is {dtype}; {ALLOWED}")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_message_for_values_that_are_not_finite(value: float) -> None:
    array = FLOATS.copy()
    array[1, 2, 0] = value
    check_message(array, "cannot use array as an image: it holds NaN or infinity")


def test_messages_for_floats_on_another_scale(tmp_path: Path) -> None:
    check_message(
        np.array([[0, 255]], np.float64),
        "cannot use array as an image: its values run from 0 to 255, but floats are 0..1 here; divide it by 255",
    )
    check_message(
        np.array([[-1.5, 0]], np.float64),
        "cannot use array as an image: its values run from -1.5 to 0, but floats are 0..1 here; divide it by 255",
    )
    check_message(
        save(tmp_path, np.array([[0, 1]], np.float64)),
        "cannot use a.npy as an image: its values run from 0 to 1, but floats are 0..255 here; multiply it by 255",
    )
    check_message(
        save(tmp_path, np.array([[-900, 3]], np.float64)),
        "cannot use a.npy as an image: its values run from -900 to 3, but floats are 0..255 here; check what it holds",
    )


def test_message_for_too_many_pixels(tmp_path: Path) -> None:
    text = (
        " is 20000 x 20000 px, that is 400,000,000 pixels: at most 178,956,970 are read; "
        "use a smaller image or set IMPASTO_MAX_PIXELS"
    )
    check_message(np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)), "array" + text)
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (20_000, 20_000, 3)).flush()  # a sparse file
    check_message(tmp_path / "a.npy", "a.npy" + text)


def test_message_for_a_truncated_npy_file(tmp_path: Path) -> None:
    path = save(tmp_path, BYTES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"cannot read {path}: truncated or corrupt .npy, or not plain numbers (")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ImageError, match="truncated or corrupt"):
        read_image(path)


def test_a_header_that_promises_more_than_memory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 3)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(b"few")
    with pytest.raises(ImageError, match="truncated or corrupt"):
        read_image(tmp_path / "a.npy")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([object()]), allow_pickle=True)
    with pytest.raises(ImageError, match="not plain numbers"):
        read_image(path)


def test_graph_layout() -> None:
    image = to_nchw(FLOATS)
    assert image.shape == (1, 3, 4, 6)
    assert image.flags.c_contiguous
    for row, column, channel in np.ndindex(4, 6, 3):
        assert image[0, channel, row, column] == FLOATS[row, column, channel]
    back = from_nchw(image)
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, FLOATS)
    image[:] = 0
    np.testing.assert_array_equal(back, FLOATS)


def test_graph_layout_of_one_pixel_is_a_copy() -> None:
    pixels = FLOATS[:1, :1].copy()
    to_nchw(pixels)[:] = 0
    np.testing.assert_array_equal(pixels, FLOATS[:1, :1])


def test_interpolation_is_a_mean_of_values() -> None:
    pixels = np.random.default_rng(0).random((5, 7, 3), np.float32)
    found = interpolate(pixels, 9, 13)
    assert found.dtype == np.float32
    assert found.shape == (9, 13, 3)
    assert pixels.min() <= found.min() < found.max() <= pixels.max()
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[None, :, None], (4, 8, 1))
    inner = interpolate(ramp, 8, 16)[:, 1:-1, 0]
    np.testing.assert_allclose(inner, np.broadcast_to((np.arange(1, 15) + 0.5) / 2 - 0.5, (8, 14)), atol=1e-6)


def test_a_thumbnail_that_is_larger_has_no_blocks() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[None, :, None], (8, 16, 3))
    found = thumbnail(ramp, 16, 32).astype(int)
    assert found.shape == (16, 32, 3)
    assert np.diff(found[8, 2:-2, 0]).min() > 0  # no two neighbours are copies of one pixel
