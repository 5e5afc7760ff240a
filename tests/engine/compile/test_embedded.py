"""The network inside the package, and what `auto` takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import Engine, Settings
from impasto.engine.compile.network import load_network
from impasto.export.objective import build_objective
from impasto.models.store import network_file
from impasto.models.vgg import VGG19
from tests.conftest import REPOSITORY
from tests.engine.command_line import run
from tests.engine.conftest import Files
from tests.small_network import VGG_WIDTHS, features_model

TRAINED = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def transfer(files: Files, *more: object) -> list[object]:
    few = ("--size", 0, "--iterations", 2, "--provider", "cpu")
    return ["transfer", files.content, files.style, "-o", files.folder / "o.png", *few, *more]


def put_full_network() -> None:
    network_file("vgg19").parent.mkdir(parents=True)
    ir.save(features_model(widths=VGG_WIDTHS), network_file("vgg19"))


def test_auto_takes_the_embedded_network_and_says_how_to_get_the_other(
    capsys: pytest.CaptureFixture[str], files: Files, cache: Path
) -> None:
    ended = run(capsys, *transfer(files))
    assert ended.err == "network vgg19-slim, a small stand-in; `impasto weights fetch vgg19` gets VGG-19\n"
    assert " with vgg19-slim on " in ended.out


def test_auto_takes_the_full_network_where_it_is(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    put_full_network()
    ended = run(capsys, *transfer(files))
    assert ended.err == "network vgg19; --model vgg19-slim is a faster approximation\n"
    assert " with vgg19 on " in ended.out


def test_a_network_that_was_named_needs_no_word(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    assert run(capsys, *transfer(files, "--model", "vgg19-slim")).err == ""


def test_terms_count_the_channels_of_vgg19() -> None:
    network = load_network("vgg19-slim")
    graph = build_objective(
        network.model, content_taps=["relu4_2"], style_taps=["relu1_1", "relu5_1"], height=48, width=64
    )
    channels = {conv.tap: conv.out_channels for conv in VGG19.convolutions}
    assert [(term.name, term.channels) for term in graph.terms] == [
        ("content_relu4_2", channels["relu4_2"]),
        ("style_relu1_1", channels["relu1_1"]),
        ("style_relu5_1", channels["relu5_1"]),
    ]


@pytest.mark.parametrize("weighting", ["paper", "johnson"])
def test_losses_and_gradient_resemble_vgg19s(shared: Path, weighting: str, cache: Path) -> None:
    content, style = (REPOSITORY / "examples" / name for name in ("harbour.jpg", "woodcut.jpg"))
    settings = Settings(size=128, weighting=weighting)
    scores = []
    for model in (str(shared / "weights" / "vgg19_oxford.safetensors"), "vgg19-slim"):
        with Engine(model, provider="cpu") as engine:
            scores.append(engine.evaluate(style, content, style, settings))
    full, slim = scores
    for name, value in full.terms.items():
        if name.startswith("content"):
            assert 0.6 < slim.terms[name] / value < 1.5
    cosine = np.vdot(full.gradient, slim.gradient) / np.linalg.norm(full.gradient) / np.linalg.norm(slim.gradient)
    assert cosine > 0.75  # the photograph under the painting is far from where a run ends


@pytest.mark.parametrize(("there", "way"), [(False, "`impasto weights fetch vgg19`"), (True, "--model vgg19")])
def test_a_tap_that_only_the_full_network_has(
    capsys: pytest.CaptureFixture[str], files: Files, there: bool, way: str
) -> None:
    if there:
        put_full_network()
    ended = run(capsys, *transfer(files, "--model", "vgg19-slim", "--style-tap", "conv4_4"))
    assert ended.status == 2
    assert ended.err.startswith("error: unknown tap 'conv4_4': vgg19-slim has relu1_1, ")
    assert ended.err.endswith(f"relu5_1; vgg19 has it: {way}\n")


def test_a_tap_that_no_network_has(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *transfer(files, "--style-tap", "eyes"))
    assert ended.err.startswith("error: unknown tap 'eyes': vgg19-slim has ")
    assert "vgg19 has it" not in ended.err


def test_the_embedded_network_needs_neither_torch_nor_a_writable_home(files: Files) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from impasto.engine import Engine, Settings\n"
        "with Engine() as engine:\n"
        f"    result = engine.transfer({str(files.content)!r}, {str(files.style)!r}, Settings(size=0, iterations=1))\n"
        "print(engine.network.name, result.iterations)\n"
    )
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout == "vgg19-slim 1\n"
