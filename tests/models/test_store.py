import sys
from pathlib import Path

import pytest

from impasto.models.atomic import atomic_file
from impasto.models.errors import ImpastoError
from impasto.models.store import (
    EMBEDDED,
    EMBEDDED_DIR,
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


def test_no_network_is_called_auto() -> None:
    with pytest.raises(ImpastoError) as caught:
        network_file("auto")
    assert str(caught.value) == ("bad network name 'auto': `--model auto` lets impasto choose; give another name")
