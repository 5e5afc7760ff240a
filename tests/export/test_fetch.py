import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from impasto.export.fetch import fetch_network
from impasto.export.network_info import read_info
from impasto.models.atomic import atomic_file
from impasto.models.download import DownloadError, Patience
from impasto.models.errors import ImpastoError
from impasto.models.sources import SOURCES, Source, find_source, known_origin
from impasto.models.store import network_file
from impasto.models.vgg import VGG19, Conv
from tests.file_server import FileServer
from tests.small_network import features_model

CONTENT = np.random.default_rng(0).bytes(200_000)
QUICK = Patience(timeout_s=5.0, attempts=3, pause_s=0.01)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT) as server:
        yield server


def source_of(content: bytes) -> Source:
    return replace(SOURCES["vgg19"], sha256_prefix=hashlib.sha256(content).hexdigest()[:8])


def convert(file: Path, name: str) -> Path:
    """A stand-in for the conversion of 575 MB: a small network that notes the weights' hash as the real one does."""
    assert file.read_bytes() == CONTENT
    model = features_model()
    model.metadata_props["weights_sha256"] = hashlib.sha256(CONTENT).hexdigest()
    with atomic_file(network_file(name)) as part:
        ir.save(model, part)
    return network_file(name)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_can_be_fetched() -> None:
    source = find_source("vgg19")
    assert source.url == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert re.fullmatch(r"dcbb9e9d[0-9a-f]{56}", source.sha256_prefix)
    assert (source.size_bytes, source.megabytes) == (574_673_361, 575)
    assert known_origin(source.sha256_prefix) == source.origin
    assert known_origin("dcbb9e9d" + 56 * "0") is None
    assert known_origin("5dbd849c" + 56 * "0") is None
    with pytest.raises(ImpastoError) as caught:
        find_source("vgg16")
    assert str(caught.value) == (
        "cannot fetch 'vgg16': networks that can be fetched are vgg19; "
        "for a file that you have, run `impasto weights import FILE --name vgg16`"
    )


def test_a_network_is_fetched_converted_and_the_download_dropped(cache: Path, server: FileServer) -> None:
    fetched = fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    assert fetched.is_new
    assert fetched.path == cache / "networks" / "vgg19.onnx"
    assert files(cache) == ["downloads/vgg19.lock", "networks/vgg19.onnx"]


def test_a_network_that_is_there_is_not_fetched_again(server: FileServer) -> None:
    fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    again = fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    assert not again.is_new
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [b"damaged", None])
def test_a_damaged_network_or_one_of_other_weights_is_replaced(server: FileServer, content: bytes | None) -> None:
    with atomic_file(network_file("vgg19")) as part:
        if content is None:
            ir.save(features_model(), part)
        else:
            part.write_bytes(content)
    fetched = fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    assert fetched.is_new
    assert read_info(fetched.path).weights_sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_cut_download_is_resumed_by_the_next_call(cache: Path, server: FileServer) -> None:
    server.cuts = [70_000, 0, 0]
    with pytest.raises(DownloadError) as caught:
        fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    assert str(caught.value) == (
        f"download of {server.url} failed 3 times (70000 of 200000 bytes); "
        "0 MB are kept, run the command again to resume; "
        "for a file that you have, run `impasto weights import FILE --name vgg19`"
    )
    server.requests.clear()
    fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    assert server.requests == ["bytes=70000-"]
    assert files(cache) == ["downloads/vgg19.lock", "networks/vgg19.onnx"]


def test_a_download_that_could_not_be_converted_is_not_repeated(cache: Path, server: FileServer) -> None:
    def fail(file: Path, name: str) -> Path:
        raise ImpastoError("cannot write the network: No space left on device")

    with pytest.raises(ImpastoError, match="No space left"):
        fetch_network(source_of(CONTENT), server.url, convert=fail, patience=QUICK)
    fetch_network(source_of(CONTENT), server.url, convert=convert, patience=QUICK)
    assert len(server.requests) == 1
    assert files(cache) == ["downloads/vgg19.lock", "networks/vgg19.onnx"]


def test_a_wrong_file_leaves_nothing(cache: Path, server: FileServer) -> None:
    with pytest.raises(DownloadError, match=r"^wrong SHA-256: .*; for a file that you have, run"):
        fetch_network(SOURCES["vgg19"], server.url, convert=convert, patience=QUICK)
    assert files(cache) == ["downloads/vgg19.lock"]


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_bytes(b"")
    with pytest.raises(ImpastoError) as caught:
        fetch_network(SOURCES["vgg19"], "http://127.0.0.1:9/")
    assert str(caught.value).startswith(f"cannot write to {cache / 'downloads'}: ")
    assert str(caught.value).endswith("; set IMPASTO_CACHE to another folder")


def test_torch_is_asked_for_before_the_download(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImpastoError, match=r"needs torch: pip install 'impasto\[export\]'$"):
        fetch_network(source_of(CONTENT), server.url, convert=convert)
    assert server.requests == []


FETCH = """
import sys
from pathlib import Path
from tests.export.test_fetch import CONTENT, QUICK, convert, source_of
from impasto.export.fetch import fetch_network
source, wait = source_of(CONTENT), Path(sys.argv[2]).touch
fetched = fetch_network(source, sys.argv[1], convert=convert, patience=QUICK, on_wait=wait)
print("new" if fetched.is_new else "there")
"""


def test_two_processes_at_once_download_once(cache: Path, tmp_path: Path, server: FileServer) -> None:
    server.gate.clear()  # the first one is in the middle of its download until the other one waits for it
    waits = tmp_path / "waits"
    command = [sys.executable, "-c", FETCH, server.url, str(waits)]
    root = Path(__file__).resolve().parent.parent.parent
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(2)]
    while not waits.exists() and all(process.poll() is None for process in processes):
        time.sleep(0.05)
    server.gate.set()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert said == ["new", "there"]
    assert waits.exists()
    assert server.requests == [None]
    assert files(cache) == ["downloads/vgg19.lock", "networks/vgg19.onnx"]


HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_process_that_died_is_free(cache: Path, server: FileServer) -> None:
    lock = cache / "downloads" / "vgg19.lock"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waits: list[str] = []

        def wait() -> None:
            waits.append("wait")
            holder.kill()

        assert fetch_network(source_of(CONTENT), server.url, convert=convert, on_wait=wait).is_new
    assert waits == ["wait"]


def test_threads_wait_for_each_other(server: FileServer) -> None:
    with ThreadPoolExecutor(4) as threads:
        tasks = [threads.submit(fetch_network, source_of(CONTENT), server.url, convert=convert) for _ in range(4)]
    assert sorted(task.result().is_new for task in tasks) == [False, False, False, True]
    assert server.requests == [None]


@pytest.mark.slow
def test_the_whole_path_with_a_file_of_the_real_form(cache: Path, tmp_path: Path) -> None:
    import torch  # here, because the processes of the test above import this file

    generator, state, index = torch.Generator().manual_seed(0), {}, 0
    for layer in VGG19.layers:
        if isinstance(layer, Conv):
            fan_in = 9 * layer.in_channels
            shape = (layer.out_channels, layer.in_channels, 3, 3)
            state[f"features.{index}.weight"] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
            state[f"features.{index}.bias"] = torch.zeros(layer.out_channels)
            index += 1
        index += 1
    state["features.30.weight"] = torch.zeros(512, 512, 3, 3)
    state["classifier.6.bias"] = torch.zeros(1000)
    torch.save(state, tmp_path / "original.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "original.pth").read_bytes()
    with FileServer(content) as server:
        server.cuts = [20_000_000]
        fetched = fetch_network(source_of(content), server.url, patience=QUICK)
    info = read_info(fetched.path)
    assert info.taps == VGG19.taps
    assert info.layout == "torchvision"
    assert info.preprocess == "(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
    assert info.weights_sha256 == hashlib.sha256(content).hexdigest()
    stored = ir.load(fetched.path).graph.initializers["conv5_1.weight"].const_value
    assert stored is not None
    np.testing.assert_array_equal(stored.numpy(), state["features.28.weight"].numpy())
    assert files(cache) == ["downloads/vgg19.lock", "networks/vgg19.onnx"]
