"""`impasto reconstruct` as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image

from impasto.engine import ImpastoError
from impasto.engine.images import read_metadata
from impasto.engine.jobs import engine
from tests.engine.command_line import run
from tests.engine.conftest import Files


def common(files: Files, name: str = "out.png") -> list[object]:
    return ["-o", files.folder / name, "--model", files.model, "--provider", "cpu"]


def test_content_is_reconstructed_from_noise(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(
        capsys, "reconstruct", "content", files.content, "--tap", "conv1_1", "--size", 0, "--iterations", 60,
        "--json", *common(files),
    )  # fmt: skip
    assert (ended.status, ended.err) == (0, "")
    *lines, summary = [json.loads(line) for line in ended.out.splitlines()]
    assert len(lines) == summary["iterations"] == 60
    assert set(summary["terms"]) == {"content_relu1_1"}
    assert summary["loss"] < 1e-3 * sum(summary["initial_terms"].values())
    record = read_metadata(files.folder / "out.png")
    assert (record["settings"]["init"], record["settings"]["style_weight"]) == ("noise", 0)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [("content", (), "fp32"), ("content", ("--precision", "auto"), "auto"), ("style", (), "auto")],
)
def test_content_alone_asks_for_fp32_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: tuple[str, ...],
    expected: str,
) -> None:
    asked: list[object] = []

    def refuse(model: str, **chosen: object) -> None:
        asked.append(chosen["precision"])
        raise ImpastoError("enough")

    monkeypatch.setattr(engine, "Engine", refuse)
    run(capsys, "reconstruct", kind, files.content, "-o", files.folder / "out.png", *options)
    assert asked == [expected]


def test_a_limit_of_evaluations_alone_is_the_limit(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(
        capsys, "reconstruct", "content", files.content, "--tap", "relu1_1", "--size", 48, "--evaluations", 320,
        "--json", *common(files),
    )  # fmt: skip
    assert json.loads(ended.out.splitlines()[-1])["evaluations"] == 320


def test_style_fills_any_size(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(
        capsys, "reconstruct", "style", files.style, "--style-tap", "relu1_1", "--style-tap", "relu2_1=2",
        "--size", "70x45", "--iterations", 4, "--save-every", 2, *common(files),
    )  # fmt: skip
    assert ended.status == 0
    assert ended.out.startswith(f"{files.folder / 'out.png'}: 70x45 px, 4 iterations (")
    assert sorted(path.name for path in files.folder.glob("out*")) == ["out-000002.png", "out-000004.png", "out.png"]
    with Image.open(files.folder / "out.png") as image:
        assert image.size == (70, 45)


def test_seamless_says_what_it_makes_of_the_size(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(
        capsys, "reconstruct", "style", files.style, "--style-tap", "relu2_1", "--size", 57, "--iterations", 1,
        "--seamless", *common(files),
    )  # fmt: skip
    assert "seamless: 64x48 px, both sides multiples of 16\n" in ended.err
    with Image.open(files.folder / "out.png") as image:
        assert image.size == (64, 48)


def test_transfer_may_be_seamless(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(
        capsys, "transfer", files.content, files.style, "--content-tap", "relu2_1", "--style-tap", "relu1_1",
        "--size", 57, "--iterations", 1, "--seamless", *common(files),
    )  # fmt: skip
    assert ended.status == 0
    with Image.open(files.folder / "out.png") as image:
        assert image.size == (64, 48)


def test_the_same_command_gives_the_same_file(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    for name in ("a.png", "b.png"):
        run(
            capsys, "reconstruct", "style", files.style, "--style-tap", "relu1_1", "--size", 48, "--iterations", 3,
            "--seed", 5, *common(files, name),
        )  # fmt: skip
    assert (files.folder / "a.png").read_bytes() == (files.folder / "b.png").read_bytes()
    assert np.asarray(Image.open(files.folder / "a.png")).std() > 0


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("style", ["--size", "big"], "bad size 'big': write PX, the long side, or WxH, as 512 or 640x480"),
        ("style", ["--size", "64x0"], "bad size '64x0': write PX, the long side, or WxH, as 512 or 640x480"),
        ("style", ["--size", "64x20000"], "bad size 20000: allowed are whole numbers from 0 to 16384"),
        ("style", ["--size", "64x50", "--seamless"],
         "bad side 50 px for a seamless result: allowed are multiples of 16, such as 48 or 64"),
        ("style", ["--size", "64x16", "--style-tap", "relu1_1"],
         "result image too small: 64x16 px, the network needs at least 32 px on each side; "
         "give a larger image or --size"),
        ("style", ["--init", "content", "--style-tap", "relu1_1"],
         "cannot start from the content image: there is none; take noise or a file"),
        ("content", ["--tap", "relu9_9"],
         "tap 'relu9_9' lies beyond the end of small: it has relu1_1, relu2_1, relu3_1"),
        ("content", ["--tap", "relu1_1=0"],
         "nothing to optimise: the weight of relu1_1 is 0; give a tap a weight above 0, as relu1_1=1"),
        ("content", ["--tap", "relu1_1=x"], "bad tap 'relu1_1=x': expected NAME or NAME=WEIGHT, as relu4_2=0.5"),
        ("content", ["--seamless"],
         "No such option: --seamless (Possible options: --seed); see `impasto reconstruct content --help`"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], files: Files, kind: str, options: list[str], message: str
) -> None:
    ended = run(capsys, "reconstruct", kind, files.content, *options, *common(files))
    assert (ended.status, ended.out, ended.err) == (2, "", f"error: {message}\n")
    assert not (files.folder / "out.png").exists()
