"""Where and how files are put: refusals in exact words, and what is left when writing fails."""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from impasto.engine.images import (
    EXTENSIONS,
    ImageError,
    check_writable,
    write_image,
)

PIXELS = np.random.default_rng(9).random((23, 31, 3), np.float32)


def check_message(message: str, path: Path, pixels: npt.NDArray[np.float32] = PIXELS, **options: Any) -> None:
    with pytest.raises(ImageError) as caught:
        write_image(path, pixels, **options)
    assert str(caught.value) == message


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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
        limit = "the file is larger than the limit of the system (ulimit -f)"
        check_message(f"cannot write {path}: {limit}; make room, or give another folder", path)
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
    check_message(f"cannot write {path}: {words}; make room, or give another folder", path)
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
