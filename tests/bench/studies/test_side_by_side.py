"""Pairs, makers, means and sheets: by hand, and a whole small study."""

import importlib.util
import json
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.bench.studies import makers, paired_images, side_by_side
from impasto.bench.studies.blind_sheets import write_blind
from impasto.bench.studies.makers import IMPASTO, RIVAL, Maker
from impasto.bench.studies.paired_images import IMAGES, NAMES, PAIRS, Origin, Pair, find_pairs
from impasto.bench.studies.study import as_script
from impasto.models.errors import ImpastoError
from tests.small_network import VGG_WIDTHS, features_model

NUMBERS = {"palette": 2.0, "chroma_grain": 0.02, "border": 1.0, "seconds": 10.0, "processor_seconds": 20.0}


def row(pair: str, maker: str, size_px: int = 256, **others: float) -> dict[str, object]:
    return {"pair": pair, "size_px": size_px, "maker": maker, **NUMBERS, **others}


def test_twelve_pairs_of_images_in_the_table() -> None:
    assert len(set(PAIRS)) == len(NAMES) == 12
    assert {image for pair in PAIRS for image in pair} == set(IMAGES)
    assert all(origin.credit for origin in IMAGES.values())


def test_examples_are_found_and_others_have_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPASTO_SHARED", str(tmp_path))
    found, missing = find_pairs(["harbour+swirls", "neckarfront+swirls"])
    assert [(pair.name, pair.content.name, pair.style.name) for pair in found] == [
        ("harbour+swirls", "harbour.jpg", "swirls.jpg")
    ]
    assert missing == {"neckarfront+swirls": f"no images/neckarfront.jpg in IMPASTO_SHARED={tmp_path}"}
    with pytest.raises(ImpastoError, match=r"^package scikit-learn is not installed$"):
        Origin("sklearn", "a.jpg", "a").found() if not _installed("sklearn") else _raise()
    with pytest.raises(ImpastoError, match=r"^bad pair harbour\+nothing: give CONTENT\+PAINTING of neckarfront, "):
        find_pairs(["harbour+nothing"])


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _raise() -> None:
    with patch.object(paired_images, "find_spec", lambda _: None):
        Origin("sklearn", "a.jpg", "a").found()


def test_an_image_in_a_package_is_found() -> None:
    assert Origin("matplotlib", IMAGES["hopper"].file, "").found().is_file()
    assert Origin("skimage", IMAGES["astronaut"].file, "").found().is_file()


def test_means_by_hand() -> None:
    paintings = {name: {"chroma_grain": 0.03} for name in ("a", "b")}
    rows = [
        row("a", "stp"),
        row("b", "stp", chroma_grain=0.06),
        row("a", "own", palette=1.0, chroma_grain=0.03, border=2.0, seconds=5.0),
        row("b", "own", palette=8.0, chroma_grain=0.03, border=8.0, seconds=20.0),
        row("c", "own"),  # nothing to compare it with
    ]
    found = side_by_side.summary(rows, paintings, "stp")["256"]
    assert found["own"]["pairs"] == 2
    assert found["own"]["palette_ratio"] == pytest.approx((0.5 * 4) ** 0.5)
    assert found["own"]["largest_palette_ratio"] == 4
    assert found["own"]["chroma_grain_ratio"] == pytest.approx((1.5 * 0.5) ** 0.5)
    assert found["own"]["chroma_grain_of_allowed"] == pytest.approx((0.03 / 0.03 * 0.03 / 0.06) ** 0.5)
    assert found["own"]["border"] == found["own"]["border_ratio"] == pytest.approx(4)
    assert found["own"]["seconds_ratio"] == pytest.approx(1)
    assert found["stp"]["palette_ratio"] == 1


def test_makers() -> None:
    maker = Maker.parse(IMPASTO, "fast=--preset fast --init 'my file.png'")
    assert (maker.name, maker.options) == ("fast", ("--preset", "fast", "--init", "my file.png"))
    assert Maker.parse(RIVAL, "stp") == Maker(RIVAL, "stp")
    for text, message in (("a/b=", "bad maker 'a/b='"), ("=--size 3", "bad maker"), ("a='", "bad options of maker a")):
        with pytest.raises(ImpastoError, match=f"^{message}"):
            Maker.parse(IMPASTO, text)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A command line of a short study."""
    monkeypatch.setenv("IMPASTO_SHARED", str(tmp_path))
    ir.save(features_model(widths=VGG_WIDTHS), tmp_path / "small.onnx")
    output = ["-o", tmp_path / "pictures", "--json", tmp_path / "a.json", "--model", tmp_path / "small.onnx"]
    wanted = ["--size", 48, "--threads", 1, "--pair", "harbour+swirls", "--pair", "neckarfront+swirls"]
    rival = "stp=--iterations 2 --initial-iterations 2 --min-scale 32"
    return [*output, *wanted, "--impasto", "own=--iterations 2", "--rival", rival]


def run(*words: object) -> None:
    with patch.object(sys, "argv", ["side_by_side", *map(str, words)]):
        as_script(side_by_side.main)


@pytest.mark.slow
def test_a_whole_study_and_again(
    study: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = ["--sheet", tmp_path / "sheet.jpg", "--blind", tmp_path / "blind"]
    run(*study, *extra)
    printed = capsys.readouterr().out
    assert f"skipped neckarfront+swirls: no images/neckarfront.jpg in IMPASTO_SHARED={tmp_path}\n" in printed
    found = json.loads((tmp_path / "a.json").read_text())
    assert [(row["maker"], row["pair"], row["size_px"]) for row in found["rows"]] == [
        ("own", "harbour+swirls", 48),
        ("stp", "harbour+swirls", 48),
    ]
    assert all(row["processor_seconds"] > 0 and row["palette"] > 0 for row in found["rows"])
    assert found["paintings"]["harbour+swirls"]["palette"] == 0
    assert found["against"] == "stp"
    assert found["summary"]["48"]["stp"]["palette_ratio"] == 1
    assert found["credits"] == {"harbour": "impasto, MIT", "swirls": "impasto, MIT"}
    for name in ("own", "stp"):
        with Image.open(tmp_path / "pictures" / f"harbour+swirls-48-{name}.png") as picture:
            assert max(picture.size) == 48
    assert (tmp_path / "sheet.jpg").is_file()
    assert (tmp_path / "blind" / "01.png").is_file()
    key = json.loads((tmp_path / "blind-key.json").read_text())
    assert {key["01.png"]["A"], key["01.png"]["B"]} == {"own", "stp"}

    def never(*_: object) -> None:
        raise AssertionError("painted again")

    monkeypatch.setattr(makers, "_run", never)
    run(*study)
    assert json.loads((tmp_path / "a.json").read_text())["rows"] == found["rows"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run(*study[:-3], "own=--iterations 3", *study[-2:])
    assert caught.value.code == 2
    place = tmp_path / "pictures" / "harbour+swirls-48-own.png"
    assert capsys.readouterr().err == (
        f"error: {place} was made with another options, ['--iterations', '2']: give the maker another name, "
        "or remove it\n"
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--size", 8], "bad --size 8: allowed are 32 px or more"),
        (["--against", "nobody"], "bad --against nobody: allowed are own, stp"),
        (["--rival", "own"], "maker own is given twice: give each another name"),
        (["--impasto", "wrong=--nothing", "--pair", "harbour+swirls"], "wrong: status 2: "),
    ],
)
def test_mistakes_are_one_line(
    study: list[object], more: list[object], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = study[:-4] if "--impasto" in more else study
    with pytest.raises(SystemExit) as caught:
        run(*first, *more)
    assert caught.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {line}")
    assert not (tmp_path / "a.json").exists()


def test_blind_order_is_random_and_the_key_is_right(tmp_path: Path) -> None:
    shades = {"own": 40, "stp": 200}
    pictures, pairs = {}, []
    for number in range(8):
        name, path = f"a{number}+b", tmp_path / f"{number}.png"
        Image.new("RGB", (40, 40), (number, 0, 0)).save(path)
        pairs.append(Pair(name, path, path))
        for maker, shade in shades.items():
            pictures[name, 40, maker] = tmp_path / f"{number}-{maker}.png"
            Image.new("RGB", (40, 40), (shade, shade, shade)).save(pictures[name, 40, maker])
    key = write_blind(tmp_path / "blind", pairs, pictures, seed=0)
    assert json.loads((tmp_path / "blind-key.json").read_text()) == key
    assert {entry["A"] for entry in key.values()} == set(shades)
    assert [entry["pair"] for entry in key.values()] != [pair.name for pair in pairs]
    for file, entry in key.items():
        with Image.open(tmp_path / "blind" / file) as image:
            drawn = np.asarray(image.convert("L"))
        left, right = drawn[:, : drawn.shape[1] // 2], drawn[:, drawn.shape[1] // 2 :]
        for half, letter in ((left, "A"), (right, "B")):
            assert np.count_nonzero(half == shades[str(entry[letter])]) >= 1600
            assert np.count_nonzero(half == (240 - shades[str(entry[letter])])) < 800
        assert b"own" not in (tmp_path / "blind" / file).read_bytes()
    assert write_blind(tmp_path / "again", pairs, pictures, seed=0) == key
    assert write_blind(tmp_path / "other", pairs, pictures, seed=1) != key
