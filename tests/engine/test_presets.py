"""Presets: files of settings that every given setting overrides."""

import json
from pathlib import Path
from typing import Any

import pytest

from impasto.engine import ImpastoError, Settings, preset
from impasto.engine.images import read_metadata
from impasto.engine.inputs.manifest import read_manifest
from impasto.engine.presets import DEFAULT, NAMES
from tests.engine.command_line import run
from tests.engine.conftest import Files

FEW = ("--size", 64, "--iterations", 2, "--provider", "cpu", "--model", "vgg19-slim")


def test_the_paper_is_what_settings_are_without_a_preset() -> None:
    assert preset("paper") == Settings(preset="paper")


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_a_preset_survive_json(name: str) -> None:
    settings = preset(name, size=96)
    assert (settings.preset, settings.size) == (name, 96)
    assert Settings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"content_weight": 0.5}, {"strength": None, "content_weight": 0.5}),
        ({"strength": 0.25}, {"strength": 0.25, "content_weight": None}),
        ({"tv_weight": 2.0}, {"smoothness": None, "tv_weight": 2.0}),
        ({"smoothness": 0.0}, {"smoothness": 0.0, "tv_weight": None}),
        ({"weighting": "paper"}, {"content_weight": None, "smoothness": 1.0, "tv_weight": None, "style_weight": 1.0}),
        ({"weighting": "paper", "content_weight": 2.0}, {"content_weight": 2.0, "strength": None}),
        ({"optimizer": "lbfgs"}, {"learning_rate": Settings.learning_rate}),
        ({"pool": "avg"}, {"pool": "avg", "style_loss": "moments"}),
    ],
)
def test_a_given_setting_replaces_those_of_the_preset_that_mean_the_same(
    changes: dict[str, Any], left: dict[str, Any]
) -> None:
    settings = preset(**changes)
    assert {name: getattr(settings, name) for name in left} == left


def test_a_file_is_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"size": 99, "pool": "max"}')
    assert preset(str(path), iterations=7) == Settings(size=99, pool="max", iterations=7, preset="mine.json")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("oil", None, "unknown preset 'oil': allowed are painterly, fast, paper, neural-style"),
        ("gone.json", None, "no such file"),
        ("list.json", "[1]", "not a JSON object; expected JSON as"),
        ("typo.json", '{"sise": 3}', "unknown setting 'sise'"),
        ("wide.json", '{"strength": 2}', "bad strength 2: allowed are numbers from 0 to 1"),
    ],
)
def test_a_bad_preset_is_one_line(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ImpastoError) as caught:
        preset(str(path) if name.endswith(".json") else name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strength": 0.5, "content_weight": 1.0}, "both weigh the content; give one of them"),
        ({"stroke_size": 2.0, "style_size": 64}, "both scale the style image; give one of them"),
        ({"smoothness": 1, "tv_weight": 1}, "both weigh total variation; give one of them"),
        ({"smoothness": -1}, "bad smoothness -1: allowed are "),
        ({"strength": -0.1}, "allowed are numbers from 0 to 1"),
        ({"strength": float("nan")}, "allowed are numbers from 0 to 1"),
        ({"stroke_size": 0}, "allowed are numbers above 0"),
        ({"stroke_size": 9}, "allowed are numbers above 0 up to 8"),
    ],
)
def test_values_that_exclude_each_other_or_are_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ImpastoError, match=message):
        Settings(**values)


def test_a_command_begins_with_the_default_preset(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    output = files.folder / "o.png"
    command = ("transfer", files.content, files.style, "-o", output, *FEW, "--pool", "avg")

    assert run(capsys, *command, preset=True).status == 0

    kept = read_metadata(output)["settings"]
    assert kept == json.loads(json.dumps(preset(size=64, iterations=2, pool="avg").as_dict()))
    shown = run(capsys, "show", output).out
    assert DEFAULT in shown


def test_what_is_typed_counts_even_if_it_is_a_default(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    output = files.folder / "o.png"
    typed = ("--optimizer", "adam", "--style-loss", "moments")

    assert (
        run(capsys, "transfer", files.content, files.style, "-o", output, *FEW, "--preset", "paper", *typed).status == 0
    )

    kept = read_metadata(output)["settings"]
    assert (kept["preset"], kept["optimizer"], kept["style_loss"], kept["weighting"]) == (
        "paper",
        "adam",
        "moments",
        "paper",
    )


def test_a_row_of_a_batch_may_have_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = ({"preset": "paper", "size": 64}, {"size": 64}, {"preset": "own.json"})
    (tmp_path / "own.json").write_text('{"size": 48}')
    path.write_text("\n".join(json.dumps({"content": "c.png", "style": "s.png", **row}) for row in rows))

    settings = [row.settings for row in read_manifest(path, tmp_path)]

    assert settings == [preset("paper", size=64), preset(size=64), Settings(size=48, preset="own.json")]


def test_a_dry_run_prints_the_look(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("transfer", files.content, files.style, "-o", files.folder / "o.png", *FEW, "--dry-run")
    out = run(capsys, *command, preset=True).out
    assert "preset painterly, moments, weighting calibrated, strength 0.5, beta 1, smoothness 1, max pooling" in out
    assert "from content" in out


def test_the_weights_of_a_preset_are_printed_on_request_alone(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("transfer", files.content, files.style, "-o", files.folder / "o.png", *FEW)
    kept = files.folder / "run.safetensors"
    said = run(capsys, *common, "--checkpoint", kept, preset=True).err
    resumed = run(capsys, "resume", kept, "--iterations", 4, "--model", "vgg19-slim", "--provider", "cpu").err
    assert "weighting" not in said + resumed
    assert (
        "weighting calibrated: alpha[relu4_2] = " in run(capsys, *common, "--weighting", "calibrated", preset=True).err
    )
