import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from impasto.models.errors import ImpastoError
from impasto.models.store import (
    EMBEDDED,
    EMBEDDED_DIR,
    atomic_file,
    cache_dir,
    list_networks,
    network_file,
    network_name,
    network_path,
    networks_dir,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_looking_makes_no_folder(cache: Path) -> None:
    assert cache_dir() == cache
    assert networks_dir() == cache / "networks"
    assert list_networks() == (EMBEDDED,)
    assert network_file("vgg19") == cache / "networks" / "vgg19.onnx"
    assert not cache.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="XDG_CACHE_HOME is not Windows'")
def test_the_platforms_cache_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMPASTO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == (
        tmp_path / "Library/Caches/impasto" if sys.platform == "darwin" else tmp_path / "xdg/impasto"
    )


def test_networks_are_listed_by_name_and_leftovers_are_not(cache: Path) -> None:
    for name in ("vgg19", "a.b-c_d", "2"):
        with atomic_file(network_file(name)) as part:
            part.write_bytes(name.encode())
    for leftover in (".vgg19.onnx.x.tmp", "Upper.onnx", "notes.txt", ".hidden.onnx"):
        (cache / "networks" / leftover).write_bytes(b"")
    assert list_networks() == ("2", "a.b-c_d", "vgg19", EMBEDDED)
    assert network_path("vgg19").read_bytes() == b"vgg19"


def test_the_embedded_network_is_found_and_one_of_its_name_hides_it(cache: Path) -> None:
    assert network_path(EMBEDDED) == EMBEDDED_DIR / f"{EMBEDDED}.onnx"
    assert network_path(EMBEDDED).stat().st_size <= 8_000_000
    with atomic_file(network_file(EMBEDDED)) as part:
        part.write_bytes(b"own")
    assert network_path(EMBEDDED).read_bytes() == b"own"
    assert list_networks() == (EMBEDDED,)


def test_an_unknown_network(cache: Path) -> None:
    with pytest.raises(ImpastoError) as caught:
        network_path("slim")
    assert str(caught.value) == (
        "unknown network 'slim': there is vgg19-slim; run `impasto weights list` to see what can be fetched, "
        "or `impasto weights import FILE --name slim` with a file that you have"
    )


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", ".hidden", "-x", "é", "x" * 101, "a b", "x\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        network_file(name)
    assert str(caught.value) == (
        f"bad network name {name!r}: use lower-case letters, digits, '.', '_' and '-', "
        "beginning with a letter or digit, at most 100 of them"
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [("VGG19 (Oxford)", "vgg19-oxford"), ("vgg19-d01eb7cb", "vgg19-d01eb7cb"), ("../..", "network"), ("ж", "network")],
)
def test_a_name_from_a_text(text: str, name: str) -> None:
    assert network_name(text) == name
    network_file(network_name(text * 40))


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
        f"cannot write {target}: No space left on device; make room, or set IMPASTO_CACHE to another folder"
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
