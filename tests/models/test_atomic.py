"""The writer of whole files: what it leaves after an error, and what it says."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from impasto.models.atomic import atomic_file, check_place
from impasto.models.errors import ImpastoError
from impasto.models.store import network_file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_error_leaves_the_old_file_and_nothing_else(cache: Path) -> None:
    target = network_file("vgg19")
    with atomic_file(target) as part:
        part.write_bytes(b"old")

    def write(error: BaseException) -> None:
        with atomic_file(target) as part:
            part.write_bytes(b"half of the n")
            raise error

    with pytest.raises(ImpastoError) as caught:
        write(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(caught.value) == (
        f"cannot write {target}: no space left on the disk; make room, or set IMPASTO_CACHE to another folder"
    )
    with pytest.raises(KeyboardInterrupt):
        write(KeyboardInterrupt())
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_elsewhere_the_cache_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(ImpastoError, match=r"; make room, or give another folder$"),
        atomic_file(tmp_path / "file" / "x"),
    ):
        pass


def test_a_durable_file_is_on_the_disk_before_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target, done = tmp_path / "figure.json", []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def replaced(self: Path, other: Path) -> Path:
        done.append("name")
        return replace(self, other)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    with atomic_file(target, durable=True) as part:
        part.write_bytes(b"x")
    assert done == ["file", "name", "folder"][: 3 if os.name == "posix" else 2]
    done.clear()
    with atomic_file(target) as part:
        part.write_bytes(b"y")
    assert done == ["name"]
    assert target.read_bytes() == b"y"


def test_a_cache_that_is_a_file(cache: Path) -> None:
    cache.write_bytes(b"")
    message = r"^cannot write .*vgg19\.onnx: .*; make room, or set IMPASTO_CACHE to another folder$"
    with pytest.raises(ImpastoError, match=message), atomic_file(network_file("vgg19")):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_others_may_read_what_the_umask_lets_them() -> None:
    with atomic_file(network_file("vgg19")) as part:
        part.write_bytes(b"x")
    mask = os.umask(0)
    os.umask(mask)
    assert network_file("vgg19").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_network_that_is_there_is_replaced_and_nothing_else_is_in_the_folder(cache: Path) -> None:
    for content in (b"old", b"new"):
        with atomic_file(network_file("vgg19")) as part:
            assert part.parent == cache / "networks"
            part.write_bytes(content)
    assert [path.name for path in (cache / "networks").iterdir()] == ["vgg19.onnx"]
    assert network_file("vgg19").read_bytes() == b"new"


def test_a_name_that_no_file_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError) as caught:
        check_place(tmp_path / "\ud800.png")
    assert str(caught.value) == f"cannot write '{tmp_path}/\\ud800.png': no file has such a name; give another name"
