"""Bad input: the exact line, exit status 2, no traceback, no half-written file."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from impasto.engine.images import EXTENSIONS
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

Case = tuple[list[object], str]
SMALL_TAPS = "relu1_1, relu2_1, relu3_1"
THREADS = f"allowed on this machine are 0 (one per core) to {8 * (os.cpu_count() or 1)}"
READABLE = "readable are JPEG, PNG, WebP, TIFF, BMP and .npy: convert it first"


def arguments(files: Files, *more: object, content: Path | None = None, style: Path | None = None) -> list[object]:
    start = ["transfer", content or files.content, style or files.style]
    return [*start, "--model", files.model, "--iterations", 1, *TAPS, *more]


def _missing_file(files: Files) -> Case:
    path = files.folder / "none.png"
    return arguments(files, content=path), f"cannot read {path}: no such file"


def _not_an_image(files: Files) -> Case:
    path = files.folder / "text.png"
    path.write_text("hello")
    return arguments(files, style=path), f"cannot read {path}: it is not an image; {READABLE}"


def _one_pixel(files: Files) -> Case:
    path = files.folder / "one.png"
    Image.new("RGB", (1, 1)).save(path)
    return arguments(files, content=path), (
        "content image one.png is 1 x 1 px: both sides must be 32 px or more; use a larger image"
    )


def _thin_after_scaling(files: Files) -> Case:
    path = files.folder / "thin.png"
    Image.new("RGB", (1000, 40)).save(path)
    return arguments(files, "--size", 100, content=path), (
        "result image too small: 100x4 px, the network needs at least 32 px on each side; give a larger image or --size"
    )


def _too_large(files: Files) -> Case:
    path = files.folder / "large.png"
    Image.new("1", (20_000, 20_000)).save(path)
    return arguments(files, content=path), (
        f"{path} is 20000 x 20000 px, that is 400,000,000 pixels: at most 178,956,970 are read; "
        "use a smaller image or set IMPASTO_MAX_PIXELS"
    )


def _unknown_tap(files: Files) -> Case:
    return arguments(files, "--content-tap", "eyes"), f"unknown tap 'eyes': small has {SMALL_TAPS}"


def _tap_that_the_network_lacks(files: Files) -> Case:
    return arguments(files, "--style-tap", "conv2_2"), f"unknown tap 'conv2_2': small has {SMALL_TAPS}"


def _tap_beyond_conv5_1(files: Files) -> Case:
    return arguments(files, "--style-tap", "conv5_2"), (
        f"tap 'conv5_2' lies beyond the end of small: it has {SMALL_TAPS}"
    )


def _unknown_provider(files: Files) -> Case:
    allowed = "auto, tensorrt, cuda, webgpu, openvino, cpu"
    return arguments(files, "--provider", "gpu"), f"unknown provider 'gpu': allowed are {allowed}"


def _negative_weight(files: Files) -> Case:
    return arguments(files, "--style-weight", "-1"), "bad style_weight -1: allowed are finite numbers of 0 or more"


def _no_weight(files: Files) -> Case:
    return arguments(files, "--style-weight", 0, "--content-weight", 0), (
        "nothing to optimise: every weight is 0; give --content-weight, --style-weight or --tv-weight above 0"
    )


def _negative_threads(files: Files) -> Case:
    return arguments(files, "--threads", "-2"), f"bad threads -2: {THREADS}"


def _too_many_threads(files: Files) -> Case:
    return arguments(files, "--threads", 100_000), f"bad threads 100000: {THREADS}"


def _negative_save_every(files: Files) -> Case:
    return arguments(files, "--save-every", -1), "bad save_every -1: allowed are 0 (never) and more iterations"


def _unknown_start(files: Files) -> Case:
    return arguments(files, "--init", "nose"), (
        "unknown init 'nose': allowed are content, noise, style or an image file; it is no file"
    )


def _style_thin_after_scaling(files: Files) -> Case:
    return arguments(files, "--style-size", 40), (
        "style image too small: 40x31 px once scaled, the network needs at least 32 px on each side; "
        "give a larger --style-size"
    )


def _unknown_option(files: Files) -> Case:
    return arguments(files, "--colour"), "No such option: --colour; see `impasto transfer --help`"


def _missing_argument(files: Files) -> Case:
    return ["transfer", files.content], "Missing argument 'style'; see `impasto transfer --help`"


def _unknown_model(files: Files) -> Case:
    return [*arguments(files)[:3], "--model", "vgg99"], (
        "unknown network 'vgg99': there is vgg19-slim; run `impasto weights list` to see what can be fetched, "
        "or `impasto weights import FILE --name vgg99` with a file that you have"
    )


def _missing_model(files: Files) -> Case:
    path = files.folder / "none.onnx"
    return [*arguments(files)[:3], "--model", path], f"no such file: --model {path}"


def _not_a_model(files: Files) -> Case:
    path = files.folder / "text.onnx"
    path.write_text("hello")
    return [*arguments(files)[:3], "--model", path], (
        f"not an ONNX model: {path} (DecodeError); expected a features model"
    )


def _empty_model(files: Files) -> Case:
    path = files.folder / "empty.onnx"
    path.touch()
    return [*arguments(files)[:3], "--model", path], (
        f"not a features model: {path} has no outputs; expected one per tap"
    )


def _text_as_npz(files: Files) -> Case:
    path = files.folder / "text.npz"
    path.write_text("hello world, this is no archive")
    return [*arguments(files)[:3], "--model", path], (
        f"damaged or truncated weights file: {path} (not a .npz archive, or not all of one); get the file again"
    )


def _text_as_pth(files: Files) -> Case:
    path = files.folder / "text.pth"
    path.write_text("hello world, this is no pickle")
    return [*arguments(files)[:3], "--model", path], (
        f"damaged or truncated weights file: {path} (not what torch.save writes); get the file again"
    )


def _image_as_model(files: Files) -> Case:
    return [*arguments(files)[:3], "--model", files.content], (
        f"not a network: --model {files.content}; expected a name that `impasto weights list` shows, "
        "or a .onnx, .safetensors, .pth or .npz file"
    )


def _model_as_image(files: Files) -> Case:
    return arguments(files, style=files.model), f"cannot read {files.model}: it is not an image; {READABLE}"


def _weights_of_another_network(files: Files) -> Case:
    path = files.folder / "other.safetensors"
    save_file({"conv1_1.weight": np.zeros((16, 3, 3, 3), np.float32)}, path)
    return [*arguments(files)[:3], "--model", path], (
        f"weights of another network: conv1_1.weight in {path} has shape 16x3x3x3, VGG-19 needs 64x3x3x3"
    )


CASES: dict[str, Callable[[Files], Case]] = {
    name.removeprefix("_"): value
    for name, value in list(globals().items())
    if name.startswith("_") and callable(value) and getattr(value, "__annotations__", {}).get("return") is Case
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(files.folder / "cache"))
    output = files.folder / "out.png"
    command, message = CASES[name](files)
    ended = run(capsys, *command, *(["-o", output] if name != "missing_argument" else []))
    assert (ended.status, ended.out, ended.err) == (2, "", f"error: {message}\n")
    assert not output.exists()


def test_what_auto_chose_is_not_said_before_a_mistake(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(files.folder / "cache"))
    path = files.folder / "none.png"
    ended = run(capsys, "transfer", path, files.style, "-o", files.folder / "out.png")
    assert (ended.status, ended.out, ended.err) == (2, "", f"error: cannot read {path}: no such file\n")


@pytest.mark.parametrize("command", [[], ["weights"]])
def test_without_arguments_there_is_help_and_no_error_line(
    capsys: pytest.CaptureFixture[str], command: list[object]
) -> None:
    ended = run(capsys, *command)
    assert (ended.status, ended.err) == (2, "")
    assert "Usage: impasto" in ended.out


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing/out.png", "cannot write {path}: there is no folder {parent}; create it first"),
        ("out.gif", "cannot write {path}: unknown extension .gif; allowed are {extensions}"),
        ("out", "cannot write {path}: it has no extension; allowed are {extensions}"),
        ("folder.png", "cannot write {path}: it is a folder; give a file name"),
    ],
)
def test_an_output_that_cannot_be_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], files: Files, target: str, message: str
) -> None:
    (files.folder / "folder.png").mkdir()
    path = files.folder / target
    ended = run(capsys, *arguments(files, "-o", path))
    expected = message.format(path=path, parent=path.parent, extensions=", ".join(EXTENSIONS))
    assert (ended.status, ended.out, ended.err) == (2, "", f"error: {expected}\n")


def test_an_array_that_is_no_image_is_refused(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    path = files.folder / "gradient.npy"
    np.save(path, np.zeros((40, 40, 7)))
    ended = run(capsys, *arguments(files, "-o", files.folder / "o.png", style=path))
    assert (ended.status, ended.out, ended.err) == (
        2,
        "",
        "error: cannot use gradient.npy as an image: its shape is 40 x 40 x 7; allowed are uint8, uint16 or floats, "
        "H x W x 3 RGB, H x W x 4 RGBA, or H x W grey\n",
    )
