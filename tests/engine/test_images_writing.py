"""Pixels to files and back; what happens when writing fails."""

import errno
import hashlib
import os
import stat
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, _imagingcms

from impasto.engine import images
from impasto.engine.images import (
    EXTENSIONS,
    ImageError,
    check_writable,
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


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_message_for_pixels_that_are_not_finite(tmp_path: Path, extension: str, value: float) -> None:
    pixels = PIXELS.copy()
    pixels[3, 4, 1] = value
    path = tmp_path / f"a{extension}"
    check_message(f"cannot write {path}: the pixels hold NaN or infinity", path, pixels)
    assert files(tmp_path) == []


ALLOWED = "allowed are .png, .jpg, .jpeg, .webp, .tif, .tiff, .npy"


@pytest.mark.parametrize(
    ("name", "what"),
    [("a.gif", "unknown extension .gif"), ("a", "it has no extension"), (".png", "it has no extension")],
)
def test_message_for_an_extension(tmp_path: Path, name: str, what: str) -> None:
    message = f"cannot write {tmp_path}/{name}: {what}; {ALLOWED}"
    check_message(message, tmp_path / name)
    with pytest.raises(ImageError) as caught:
        check_writable(tmp_path / name)
    assert str(caught.value) == message


def test_message_for_bits(tmp_path: Path) -> None:
    check_message("bad bits 12: allowed are 8 and 16", tmp_path / "a.png", bits=12)
    for name, extension in [("a.jpg", ".jpg"), ("a.WEBP", ".webp")]:
        message = f"cannot write {tmp_path}/{name}: {extension} has no 16 bits per channel; use .png, .tif, .tiff"
        check_message(message, tmp_path / name, bits=16)
        with pytest.raises(ImageError) as caught:
            check_writable(tmp_path / name, bits=16)
        assert str(caught.value) == message


def test_message_for_a_size_that_the_format_lacks(tmp_path: Path) -> None:
    pixels = np.broadcast_to(np.float32(0), (1, 16384, 3))
    message = f"cannot write {tmp_path}/a.webp: 16384 x 1 px, and .webp holds sides up to 16383 px; use .png"
    check_message(message, tmp_path / "a.webp", np.asarray(pixels))
    with pytest.raises(ImageError) as caught:
        check_writable(tmp_path / "a.webp", size=(1, 16384))
    assert str(caught.value) == message
    check_writable(tmp_path / "a.webp", size=(1, 16383))
    write_image(tmp_path / "a.webp", np.zeros((1, 16383, 3), np.float32))


def check_place_message(path: Path, message: str) -> None:
    """Both ways, before a run and after it, end in the same words."""
    with pytest.raises(ImageError) as caught:
        check_writable(path)
    assert str(caught.value) == message
    check_message(message, path)


def test_message_for_a_missing_folder(tmp_path: Path) -> None:
    check_place_message(
        tmp_path / "no" / "a.png",
        f"cannot write {tmp_path}/no/a.png: there is no folder {tmp_path}/no; create it first",
    )


def test_message_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    check_place_message(tmp_path / "a.png", f"cannot write {tmp_path}/a.png: it is a folder; give a file name")


def test_message_for_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    check_place_message(
        tmp_path / "no" / "a.png",
        f"cannot write {tmp_path}/no/a.png: there is no folder {tmp_path}/no; create it first",
    )


def test_message_for_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    message = f"cannot write {tmp_path}/a.png: permission denied in folder {tmp_path}"
    check_place_message(tmp_path / "a.png", message)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_real_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        message = f"cannot write {tmp_path}/a.png: permission denied in folder {tmp_path}"
        check_place_message(tmp_path / "a.png", message)
    finally:
        tmp_path.chmod(0o700)


def test_message_for_a_read_only_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root is told that it may
    check_place_message(path, f"cannot write {path}: the file is read-only; give another name")
    assert path.read_bytes() == b"old"


def test_check_writable_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    check_writable(tmp_path / "a.png")
    check_writable(str(tmp_path / "old.png"), bits=16, size=(10, 10))
    check_writable(tmp_path / "a.npy", extensions=(".npy",))
    assert files(tmp_path) == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"


def test_a_relative_name_is_written_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable("a.png")
    write_image("a.png", PIXELS)
    assert files(tmp_path) == ["a.png"]
    check_message("cannot write no/a.png: there is no folder no; create it first", Path("no/a.png"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_write_that_fails_midway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "a.png"
    write_image(path, PIXELS[:2, :2])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        check_message(f"cannot write {path}: file too large", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert files(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "the file system is read-only")],
)
def test_a_rename_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(path: Path, _: Path) -> None:
        assert path.stat().st_size > 1000  # all is written by then
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", fail)
    check_message(f"cannot write {path}: {words}", path)
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["a.png"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "a.png", PIXELS)
    assert files(tmp_path) == []


def test_the_old_file_is_there_until_the_new_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    seen = []
    replace = Path.replace

    def watch(source: Path, target: Path) -> Path:
        seen.append((source.parent, path.read_bytes(), source.read_bytes()[:4]))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", watch)
    write_image(path, PIXELS)
    assert seen == [(tmp_path, b"old", b"\x89PNG")]
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="permissions and links of POSIX")
def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    umask = os.umask(0o027)
    try:
        write_image(path, PIXELS)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    write_image(path, PIXELS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(sys.platform == "win32", reason="permissions and links of POSIX")
def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "b.png", tmp_path / "a.png"
    link.symlink_to(target)
    for _ in range(2):  # dangling at first
        write_image(link, PIXELS)
        assert link.is_symlink()
        assert target.read_bytes().startswith(b"\x89PNG")
    assert files(tmp_path) == ["a.png", "real"]


def test_public_names() -> None:
    assert sorted(images.__all__) == images.__all__
    assert all(hasattr(images, name) for name in images.__all__)


def test_pillow_is_imported_by_this_package_alone() -> None:
    engine = Path(images.__file__).parent.parent
    others = [path for path in engine.rglob("*.py") if "images" not in path.relative_to(engine).parts[:1]]
    assert len(others) > 3
    assert [path.name for path in others if "from PIL" in path.read_text() or "import PIL" in path.read_text()] == []
