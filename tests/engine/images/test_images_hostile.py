"""Files made to do harm: profiles without colours, pixels that end early, pipes, and headers that are no literals."""

import io
import os
import socket
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine.images import ImageError, read_image, read_size
from impasto.engine.images.libtiff import quiet_libtiff
from tests.oracles import icc_profiles, png_files

RNG = np.random.default_rng(3)
SAMPLES = RNG.integers(1, 256, (20, 24, 3))

# Parameters are g, a, b, c, d.
CURVES = {
    "exponent -1": icc_profiles.parametric_curve(0, -1.0),
    "exponent -1 and an offset": icc_profiles.parametric_curve(3, -1.0, 1.0, 0.0, 1.0, 0.0),
    "values beyond float32": icc_profiles.parametric_curve(1, 32767.0, 30000.0, 1.0),
    "values that overflow in the matrix": icc_profiles.parametric_curve(1, 8.6, 30000.0, 1.0),
}


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("grey", [True, False])
def test_a_profile_whose_colours_are_not_finite_is_refused(tmp_path: Path, name: str, depth: int, grey: bool) -> None:
    if grey and "matrix" in name:
        pytest.skip("grey profiles have no matrix")
    curve = CURVES[name]
    profile = (
        icc_profiles.grey_profile(curve) if grey else icc_profiles.rgb_profile(icc_profiles.ADOBE_RGB * 9e3, curve)
    )
    chunk = png_files.chunk(b"iCCP", b"a\0\0" + zlib.compress(profile))
    samples = RNG.integers(0, 2**depth, (20, 24, 1 if grey else 3))
    kind = png_files.GREY if grey else png_files.RGB
    (tmp_path / "a.png").write_bytes(png_files.png_file(samples, depth, kind, chunks=[chunk]))
    assert refusal(tmp_path / "a.png") == (
        f"cannot read {tmp_path}/a.png: its ICC profile named 'test' gives colours that are not finite; convert the "
        "image to sRGB with another program, or remove the profile"
    )


def test_the_name_of_a_hostile_profile_is_escaped_and_short(tmp_path: Path) -> None:
    profile = icc_profiles.rgb_profile(icc_profiles.ADOBE_RGB, icc_profiles.parametric_curve(0, -1.0))
    text = "\x1b[2J" + "x" * 300
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text.encode()
    profile = icc_profiles.profile(
        b"mntr", b"RGB ", b"XYZ ", {tag: profile_tag(profile, tag) for tag in TAGS} | {b"desc": description}
    )
    Image.fromarray(SAMPLES.astype(np.uint8)).save(tmp_path / "a.png", icc_profile=profile)
    assert "named '\\\\x1b[2Jxxx" in refusal(tmp_path / "a.png")
    assert len(refusal(tmp_path / "a.png")) < len(str(tmp_path)) + 250


TAGS = (b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ")


def profile_tag(profile: bytes, wanted: bytes) -> bytes:
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {}
    for index in range(count):
        signature, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        tags[signature] = profile[offset : offset + size]
    return tags[wanted]


def cut_short(samples: np.ndarray, share: float, *, depth: int = 8, interlaced: bool = False) -> bytes:
    """Return a PNG file whose compressed pixels are a whole stream, with its checksum, of too few rows."""
    kind = {1: png_files.GREY, 3: png_files.RGB, 4: png_files.RGBA}[samples.shape[2]]
    data = png_files.png_file(samples, depth, kind, interlaced=interlaced)
    start = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, start - 4)
    pixels = zlib.decompress(data[start + 4 : start + 4 + length])
    stream = zlib.compress(pixels[: int(len(pixels) * share)])
    return data[: start - 4] + png_files.chunk(b"IDAT", stream) + data[start + 8 + length :]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("interlaced", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_png_whose_pixels_end_early_is_refused(
    tmp_path: Path, channels: int, depth: int, interlaced: bool, share: float
) -> None:
    samples = RNG.integers(0, 2**depth, (20, 24, channels))
    path = tmp_path / "a.png"
    path.write_bytes(cut_short(samples, 1.0, depth=depth, interlaced=interlaced))
    read_image(path)
    path.write_bytes(cut_short(samples, share, depth=depth, interlaced=interlaced))
    assert refusal(path).startswith(f"cannot read {path}: truncated, corrupt or of an unsupported kind (")


@pytest.mark.parametrize("interlaced", [True, False])
@pytest.mark.parametrize("shape", [(20, 24, 3), (1, 1, 1), (3, 2, 4), (5, 1, 3), (1, 9, 1)])
def test_a_black_png_is_whole(tmp_path: Path, shape: tuple[int, int, int], interlaced: bool) -> None:
    (tmp_path / "a.png").write_bytes(cut_short(np.zeros(shape, np.int64), 1.0, interlaced=interlaced))
    assert not read_image(tmp_path / "a.png").pixels.any()


def test_a_black_png_whose_pixels_end_early_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(cut_short(np.zeros((20, 24, 3), np.int64), 0.5))
    assert refusal(tmp_path / "a.png").endswith("(its pixels end early, after 730 of 1,460 bytes)")


def broken_tiff() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(SAMPLES.astype(np.uint8)).save(buffer, "tiff", compression="tiff_adobe_deflate")
    data = bytearray(buffer.getvalue())
    data[12:40] = bytes(28)
    return bytes(data)


def test_libtiff_says_nothing_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tif").write_bytes(broken_tiff())
    refusal(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_libtiff_has_its_handlers_back_afterwards(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(broken_tiff())
    threads = [threading.Thread(target=refusal, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with quiet_libtiff(), quiet_libtiff():
        refusal(path)
    assert capfd.readouterr().err == ""
    with pytest.raises(OSError, match="decoder error"), Image.open(path) as image:
        image.load()
    assert "Decode" in capfd.readouterr().err  # so the check above can fail


@pytest.mark.parametrize("read", [read_image, read_size])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, read: object) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tmp_path)  # the names of sockets are short
        listener.bind("socket")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to("circle")
    for name, why in {
        "pipe": "it is a pipe; save what it gives to a file first",
        "socket": "it is a socket",
        "/dev/null": "it is a device",
        "link": "it is a device",
        "circle": "its symbolic links form a circle",
        "x" * 300: "the name is too long",
        "a\0b": "no file has such a name: embedded null byte",
        "missing/a.png": "no such file",
        "": "it is a folder, not an image file",
    }.items():
        with pytest.raises(ImageError) as caught:
            read(Path(name) if name.startswith("/") else tmp_path / name)  # type: ignore[operator]
        assert str(caught.value).endswith(f": {why}"), name
    with pytest.raises(ImageError, match="no file has such a name"):
        read_image("a\ud800.png")


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "header",
    [
        "(" * 300,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (18, 23, 3",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 23, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 23, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2, 3), }",
        "{'descr': 'f4,f4', 'fortran_order': False, 'shape': (2, 2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (18L, 2), }",
        "{'descr': '\\d', 'fortran_order': False, 'shape': (2, 2), }",
        "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (2, 2), }",
        "\\",
    ],
)
def test_a_broken_header_of_a_npy_file_is_one_line(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(header, bytes(64)))
    assert refusal(path).startswith(("cannot read ", "cannot use "))
    with pytest.raises(ImageError):
        read_size(path)
