import errno
import functools
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine.cache.network_facts import recall
from impasto.export import fetch
from impasto.models.atomic import atomic_file
from impasto.models.download import Patience
from impasto.models.sources import SOURCES
from impasto.models.store import network_file
from impasto.models.vgg import VGG19
from tests.engine.command_line import run
from tests.file_server import FileServer
from tests.small_network import features_model

CONTENT = np.random.default_rng(0).bytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FETCHABLE = "can be fetched: vgg19, 575 MB, BSD-3-Clause, https://download.pytorch.org/models/vgg19-dcbb9e9d.pth\n"
HINT = "for a file that you have, run `impasto weights import FILE --name vgg19`"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A mirror with a small file in the place of vgg19's, and a conversion to match."""
    source = replace(SOURCES["vgg19"], sha256_prefix=SHA256[:8], size_bytes=len(CONTENT))
    monkeypatch.setattr("impasto.engine.cli.weights.SOURCES", {"vgg19": source})
    monkeypatch.setattr("impasto.models.sources.SOURCES", {"vgg19": source})
    patience = Patience(timeout_s=5.0, attempts=3, pause_s=0.01)
    monkeypatch.setattr(fetch, "fetch_network", functools.partial(fetch.fetch_network, patience=patience))
    monkeypatch.setattr("impasto.engine.compile.installing.install", convert)
    with FileServer(CONTENT) as server:
        yield server


def convert(file: Path, name: str) -> Path:
    origin = SOURCES["vgg19"].origin
    model = features_model()
    model.metadata_props["weights_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    model.metadata_props["layout"] = "torchvision"
    model.metadata_props["licence"], model.metadata_props["attribution"] = origin.licence, origin.attribution
    with atomic_file(network_file(name)) as part:
        ir.save(model, part)
    return network_file(name)


def error(capsys: Capture, *arguments: object) -> str:
    """The one line on stderr of a command that must end with status 2 and say nothing else."""
    ended = run(capsys, "weights", *arguments)
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("error: ").removesuffix("\n")


def test_an_empty_cache(capsys: Capture, cache: Path) -> None:
    ended = run(capsys, "weights", "list")
    assert ended.status == 0
    _, embedded, fetchable = ended.out.splitlines()
    assert embedded.split()[:6] == ["vgg19-slim", "6", "MB", "relu1_1", "...", "relu5_1"]
    assert " CC BY 4.0 " in embedded
    assert fetchable + "\n" == FETCHABLE
    assert not cache.exists()


def test_a_users_own_model_is_imported_and_listed(
    capsys: Capture, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMPASTO_NO_CACHE", raising=False)
    ir.save(features_model(), tmp_path / "own.onnx")
    ended = run(capsys, "weights", "import", tmp_path / "own.onnx", "--name", "own")
    path = cache / "networks" / "own.onnx"
    assert ended.status == 0
    facts = recall(path)
    assert facts is not None
    assert facts.taps == ("relu1_1", "relu2_1", "relu3_1")
    assert ended.out == (
        f"network        own, 0 MB, {path}\n"
        "taps           relu1_1, relu2_1, relu3_1\n"
        "preprocessing  its own\n"
        "licence        not stated\n"
        "attribution    not stated\n"
    )
    network_file("broken").write_bytes(b"not a model at all")
    lines = run(capsys, "weights", "list").out.splitlines()
    assert lines[0].split() == ["name", "size", "taps", "preprocessing", "(x:", "RGB,", "0..1)", "licence", "path"]
    assert lines[1].split()[0] == "broken"
    assert "damaged network" in lines[1]
    own = next(line for line in lines if line.startswith("own "))
    assert own.split(maxsplit=3)[:3] == ["own", "0", "MB"]
    assert "relu1_1, relu2_1, relu3_1" in own
    assert lines[-1] + "\n" == FETCHABLE


def test_fetching_shows_licence_and_attribution(capsys: Capture, cache: Path, server: FileServer) -> None:
    ended = run(capsys, "weights", "fetch", "vgg19", "--url", server.url)
    assert ended.status == 0
    assert ended.err == ""
    assert ended.out == (
        f"network        vgg19, 0 MB, {cache / 'networks' / 'vgg19.onnx'}\n"
        "taps           relu1_1, relu2_1, relu3_1\n"
        "preprocessing  its own  (torchvision layout; --layout takes another one)\n"
        "licence        BSD-3-Clause\n"
        "attribution    VGG-19 (Simonyan and Zisserman, arXiv:1409.1556) as trained on ImageNet by the "
        "torchvision contributors\n"
    )
    again = run(capsys, "weights", "fetch", "vgg19", "--url", server.url)
    assert again.out == "vgg19 is in the cache already\n" + ended.out
    assert len(server.requests) == 1


def test_a_file_that_is_not_there(capsys: Capture, server: FileServer) -> None:
    server.statuses = [404]
    message = error(capsys, "fetch", "vgg19", "--url", server.url)
    assert message == f"cannot download {server.url}: HTTP 404 Not Found; {HINT}"


def test_a_wrong_hash(capsys: Capture, server: FileServer) -> None:
    server.content = b"something else"
    assert error(capsys, "fetch", "vgg19", "--url", server.url) == (
        f"wrong SHA-256: {server.url} has {hashlib.sha256(b'something else').hexdigest()}, expected one that begins "
        f"with {SHA256[:8]}; the file is not the official one, so it was deleted; {HINT}"
    )


def test_a_cut_download_goes_on(capsys: Capture, server: FileServer) -> None:
    server.cuts = [50_000, 0, 0]
    assert error(capsys, "fetch", "vgg19", "--url", server.url) == (
        f"download of {server.url} failed 3 times (50000 of 200000 bytes); "
        f"0 MB are kept, run the command again to resume; {HINT}"
    )
    assert run(capsys, "weights", "fetch", "vgg19", "--url", server.url).status == 0
    assert server.requests[-1] == "bytes=50000-"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://[::1", "its host is neither a name nor an IP address"),
        ("http://host:99999/w.pth", "its port is not a number from 1 to 65535"),
        ("http://m\u00fcller.de/w.pth", "it is not in ASCII; write its host in the form xn--... and its path with %XX"),
    ],
)
def test_a_malformed_address(capsys: Capture, url: str, why: str) -> None:
    assert error(capsys, "fetch", "vgg19", "--url", url) == f"bad address {url!r}: {why}; {HINT}"


def test_a_redirect_to_a_file(capsys: Capture, server: FileServer) -> None:
    server.location = "file:///etc/hostname"
    assert error(capsys, "fetch", "vgg19", "--url", server.url) == (
        f"cannot download: {server.url} redirects to a bad address 'file:///etc/hostname': "
        f"expected http://... or https://...; {HINT}"
    )


def test_a_server_that_sends_more(capsys: Capture, cache: Path, server: FileServer) -> None:
    server.endless = True
    assert error(capsys, "fetch", "vgg19", "--url", server.url) == (
        f"too large: expected at most {len(CONTENT)} bytes, {server.url} does not end there; "
        f"the file is not the official one; {HINT}"
    )
    assert [path.name for path in (cache / "downloads").iterdir()] == ["vgg19.lock"]


def test_a_password_is_nowhere(capsys: Capture, cache: Path, server: FileServer) -> None:
    url = server.url.replace("//", "//anna:secret@")
    server.statuses = [403]
    texts = [error(capsys, "fetch", "vgg19", "--url", bad) for bad in (url, "http://anna:secret@[::1")]
    ended = run(capsys, "weights", "fetch", "vgg19", "--url", url)
    assert ended.status == 0
    assert server.authorizations[-1] == "Basic YW5uYTpzZWNyZXQ="
    assert not any("secret" in text or "anna" in text for text in (*texts, ended.out, ended.err))
    assert not any(b"secret" in path.read_bytes() for path in cache.rglob("*") if path.is_file())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk(capsys: Capture, cache: Path, server: FileServer) -> None:
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "vgg19-dcbb9e9d.pth.part").symlink_to("/dev/full")
    message = error(capsys, "fetch", "vgg19", "--url", server.url)
    assert message.startswith(f"disk full: 0 MB are needed in {cache / 'downloads'}, ")
    assert message.endswith(f"make room, or set IMPASTO_CACHE to a folder with more; {HINT}")


def test_an_unknown_name(capsys: Capture) -> None:
    assert error(capsys, "fetch", "vgg16") == (
        "cannot fetch 'vgg16': networks that can be fetched are vgg19; "
        "for a file that you have, run `impasto weights import FILE --name vgg16`"
    )


def test_weights_of_another_network(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "resnet.npz"
    np.savez(path, **{"layer1.0.conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})  # type: ignore[arg-type]
    assert error(capsys, "import", path, "--name", "vgg19") == (
        f"weights of another network: {path} has no conv1_1.weight, VGG-19 needs it; "
        "the file's first key is layer1.0.conv1.weight"
    )
    np.savez(path, **{"features.0.weight": np.zeros((64, 3, 11, 11), np.float32)})  # type: ignore[arg-type]
    assert error(capsys, "import", path, "--name", "vgg19") == (
        f"weights of another network: features.0.weight in {path} has shape 64x3x11x11, VGG-19 needs 64x3x3x3"
    )


def test_other_mistakes(capsys: Capture, tmp_path: Path) -> None:
    missing = tmp_path / "w.pth"
    assert error(capsys, "import", missing, "--name", "x") == f"no such file: {missing}"
    assert error(capsys, "import", missing, "--name", "X") == (
        "bad network name 'X': use lower-case letters, digits, '.', '_' and '-', "
        "beginning with a letter or digit, at most 100 of them"
    )
    assert error(capsys, "import", missing, "--name", "x", "--layout", "bgr") == (
        "unknown layout 'bgr': it is one of torchvision, caffe, oxford"
    )
    assert error(capsys, "fetch", "vgg19", "--url", "file:///etc/hostname") == (
        f"bad address 'file:///etc/hostname': expected http://... or https://...; {HINT}"
    )


def test_fetching_without_torch(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert error(capsys, "fetch", "vgg19") == (
        "turning weights into a network needs torch: pip install 'impasto[export]'"
    )


def spoilt(weight: str, value: float) -> ir.Model:
    """A features model with one bad number among a tap's weights."""
    model = features_model()
    stored = model.graph.initializers[weight]
    assert stored.const_value is not None
    array = np.array(stored.const_value.numpy())
    array.flat[3] = value
    stored.const_value = ir.tensor(array, name=weight)
    return model


def with_preprocessing(text: str) -> ir.Model:
    model = features_model()
    model.metadata_props["preprocess"] = text
    return model


def with_short_outputs() -> ir.Model:
    """A model whose output has no positions."""
    model = features_model()
    tape = ir.tape.Tape()
    mean = tape.op("GlobalAveragePool", [model.graph.outputs[-1]])
    flat = tape.op("Flatten", [mean])
    flat.name, flat.dtype, flat.shape = "flat", ir.DataType.FLOAT, ir.Shape(("n", 5))
    model.graph.extend(tape.nodes)
    model.graph.outputs[:] = [flat]
    return model


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (spoilt("relu2_1.weight", np.nan), "damaged weights: relu2_1.weight in FILE holds NaN or infinite values; "),
        (spoilt("relu3_1.bias", -np.inf), "damaged weights: relu3_1.bias in FILE holds NaN or infinite values; "),
        (spoilt("relu1_1.weight", 3e38), "the network does not work: relu2_1 of FILE is NaN or infinite for an image "),
        (with_preprocessing('{"scale": NaN}'), "unreadable preprocessing '{\"scale\": NaN}': expected "),
        (
            with_preprocessing('{"scale": 1, "mean": [0, 0, 1e999], "std": [1, 1, 1]}'),
            'unreadable preprocessing \'{"scale": 1, "mean": [0, 0, 1e999], "std": [1, 1, 1]}\': expected ',
        ),
        (with_short_outputs(), "not a features model: output 'flat' of FILE has shape [1,5], expected [N, channels, "),
        (None, "not an ONNX model: FILE (DecodeError); expected a features model"),
    ],
)
@pytest.mark.usefixtures("own")
def test_a_network_that_does_not_work_leaves_the_old_one(
    capsys: Capture, tmp_path: Path, model: ir.Model | None, said: str
) -> None:
    bad = tmp_path / "bad.onnx"
    if model is None:
        bad.write_bytes(network_file("own").read_bytes()[:1000])
    else:
        ir.save(model, bad)
    for name in ("own", "new"):
        assert error(capsys, "import", bad, "--name", name).startswith(said.replace("FILE", str(bad)))


def test_a_single_infinite_number_may_be_a_bound(capsys: Capture, tmp_path: Path) -> None:
    model = features_model()
    bound = ir.tensor(np.array(np.inf, np.float32), name="bound")
    model.graph.register_initializer(ir.val("bound", ir.DataType.FLOAT, (), const_value=bound))
    ir.save(model, tmp_path / "own.onnx")
    assert run(capsys, "weights", "import", tmp_path / "own.onnx", "--name", "own").status == 0


def large_weights(path: Path) -> Path:
    """Finite weights of VGG-19 whose features are not."""
    arrays = {name: np.full(shape, 1e20, np.float32) for name, shape in VGG19.parameter_shapes.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture
def own(capsys: Capture, tmp_path: Path, cache: Path) -> Iterator[None]:
    """A good network of that name, which must be there after the test, and alone."""
    ir.save(features_model(), tmp_path / "good.onnx")
    assert run(capsys, "weights", "import", tmp_path / "good.onnx", "--name", "own").status == 0
    before = network_file("own").read_bytes()
    yield
    assert network_file("own").read_bytes() == before
    assert [path.name for path in (cache / "networks").iterdir()] == ["own.onnx"]


@pytest.mark.usefixtures("own")
def test_weights_are_tried_before_they_replace(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.engine.compile.installing.read_weights", lambda path, layout: None)
    monkeypatch.setattr("impasto.engine.compile.installing.tap_model", lambda weights: spoilt("relu1_1.weight", 3e38))
    said = f"the network does not work: relu2_1 of {tmp_path}/w.pth is NaN or infinite for an image of noise; "
    assert error(capsys, "import", tmp_path / "w.pth", "--name", "own") == said + "get the file again"


@pytest.mark.slow
@pytest.mark.usefixtures("own")
def test_large_weights_of_the_real_form(capsys: Capture, tmp_path: Path) -> None:
    assert "'relu1_2'" in error(capsys, "import", large_weights(tmp_path / "large.npz"), "--name", "own")


@pytest.mark.usefixtures("own")
def test_a_full_disk_leaves_the_old_network(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(model: ir.Model, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("impasto.export.tap_model.ir.save", full)
    assert "no space left on the disk" in error(capsys, "import", tmp_path / "good.onnx", "--name", "own")


@pytest.mark.slow
def test_the_real_weights(capsys: Capture, cache: Path, shared: Path) -> None:
    ended = run(capsys, "weights", "import", shared / "weights" / "vgg19_oxford.safetensors", "--name", "vgg19")
    assert ended.status == 0
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0] == f"network        vgg19, 52 MB, {cache / 'networks' / 'vgg19.onnx'}"
    assert lines[2:4] == [
        "preprocessing  255 x - (123.68, 116.779, 103.939)  (oxford layout; --layout takes another one)",
        "licence        CC BY 4.0",
    ]
    assert "Karen Simonyan and Andrew Zisserman" in lines[4]


def test_the_network_in_the_package_needs_no_fetching(capsys: Capture, cache: Path) -> None:
    ended = run(capsys, "weights", "fetch", "vgg19-slim")
    assert (ended.status, ended.err) == (0, "")
    first, second, *_ = ended.out.splitlines()
    assert first == "vgg19-slim is in the package already"
    assert second.startswith("network        vgg19-slim, 6 MB, ")
    assert not (cache / "networks").exists()
