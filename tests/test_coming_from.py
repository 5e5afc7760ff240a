"""docs/coming-from.md: every flag, options that exist, and losses that are the programs', in NumPy and SciPy."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from impasto.bench.rivals import neural_style
from impasto.bench.rivals.equal_power import EqualPower
from impasto.bench.rivals.style_transfer_pytorch import TAPS
from impasto.engine import Engine, Settings, preset
from impasto.engine.settings import STYLE_TAPS
from tests.conftest import REPOSITORY
from tests.documented_commands import lines, resolve
from tests.oracles import style_transfer_pytorch as oracle
from tests.small_network import VGG_WIDTHS, features_model, weights

PAGE = (REPOSITORY / "docs" / "coming-from.md").read_text()
CONTENT_TAP, CHANNELS = "relu4_2", VGG_WIDTHS["relu4_2"]
VGG_CHANNELS = dict(zip(STYLE_TAPS, (64, 128, 256, 512, 512), strict=True))
STP_WEIGHTS = {tap: weight / 341 for tap, weight in zip(STYLE_TAPS, (256, 64, 16, 4, 1), strict=True)}
LIVELY = 13  # seed of a small network without a filter that is 0 everywhere, so that covariances have their roots

NEURAL_STYLE = (  # the flags of neural_style.lua and neural_style.py
    *("-content_image", "-style_image", "-style_blend_weights", "-image_size", "-output_image", "-content_weight"),
    *("-style_weight", "-tv_weight", "-normalize_weights", "-normalize_gradients", "-num_iterations", "-init"),
    *("-init_image", "-optimizer", "-learning_rate", "-lbfgs_num_correction", "-content_layers", "-style_layers"),
    *("-style_scale", "-original_colors", "-pooling", "-seed", "-print_iter", "-save_iter", "-model_file"),
    *("-proto_file", "-disable_check", "-gpu", "-backend", "-cudnn_autotune", "-multigpu_strategy"),
    "-multidevice_strategy",
)
STYLE_TRANSFER_PYTORCH = (  # the arguments of style_transfer, by their long names
    *("content", "styles", "--output", "--style-weights", "--devices", "--random-seed", "--content-weight"),
    *("--tv-weight", "--optimizer", "--min-scale", "--end-scale", "--iterations", "--initial-iterations"),
    *("--save-every", "--step-size", "--avg-decay", "--init", "--style-scale-fac", "--style-size", "--pooling"),
    *("--proof", "--web", "--host", "--port", "--browser"),
)
CHAPTERS = ("neural-style and neural-style-pt", "style-transfer-pytorch")


def tables(part: str) -> list[list[str]]:
    """Return the cells of the rows under a heading, up to the next one."""
    text = PAGE.split(f"{part}\n", 1)[1].split("\n#", 1)[0]
    rows = [row.replace(r"\|", "!").strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| ")]
    return rows[1:]


def flag_tables(chapter: str) -> list[list[str]]:
    """Return the cells of the rows of a chapter's table of flags."""
    text = PAGE.split(f"\n## {chapter}\n", 1)[1].split("### Flags", 1)[1].split("\n#", 1)[0]
    return [re.split(r" ?\| ", row[2:]) for row in text.splitlines() if row.startswith("| `")]


def flags(chapter: str) -> Iterator[str]:
    for row in flag_tables(chapter):
        yield from re.findall(r"`(.*?)`", row[0])


def test_every_flag_of_neural_style() -> None:
    found = [flag.split()[0] for flag in flags("neural-style and neural-style-pt")]
    assert sorted(set(found)) == sorted(NEURAL_STYLE)


def test_every_flag_of_style_transfer_pytorch() -> None:
    found = [flag for flag in flags("style-transfer-pytorch") if not re.fullmatch(r"-\w+", flag)]
    assert sorted(found) == sorted(STYLE_TRANSFER_PYTORCH)


def test_every_option_of_impasto_exists() -> None:
    cells = [cell for chapter in CHAPTERS for row in flag_tables(chapter) for cell in row[2:]]
    cells += [line for line in PAGE.splitlines() if not re.match(r"\| `", line)]
    named = {option for cell in cells for option in re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", cell)}
    command, _ = resolve(["impasto", "transfer"])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {"--weighting", "--style-tap", "--unbounded", "--save-every", "--preset"} <= named
    assert named - known - {"--name"} == set()  # the last is of `impasto weights import`


def settings_of(number: int) -> Settings:
    """Return the settings of a command line of the page, at the size of the pictures."""
    commands = [words for words in lines(PAGE) if words[:2] == ["impasto", "transfer"]]
    command, rest = resolve(commands[number])
    context = command.make_context("impasto", rest)
    known = {field.name for field in fields(Settings)} - {"preset"}
    sources = {name: context.get_parameter_source(name) for name in known & set(context.params)}
    typed = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    values: dict[str, Any] = {name: context.params[name] for name in typed}
    return replace(preset(context.params["preset"], **values), size=0, style_size=0)


NEURAL_STYLE_COMMAND, STP_COMMAND = 0, 1


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    ir.save(features_model(LIVELY, VGG_WIDTHS), path)
    with Engine(path, provider="cpu", precision="fp32", threads=1) as opened:
        yield opened


def pixels(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


IMAGE, CONTENT, STYLE = pixels(0), pixels(1), pixels(2, 40, 56)


def taps(image: np.ndarray) -> Mapping[str, np.ndarray]:
    """The taps of the small network with zero padding, in float64."""
    return oracle.features(image, weights(LIVELY, VGG_WIDTHS), VGG_WIDTHS, edge=False)


OWN, OF_CONTENT, OF_STYLE = taps(IMAGE), taps(CONTENT), taps(STYLE)


def the_paintings_target(tap: str) -> np.ndarray:
    return neural_style.style_target([OF_STYLE[tap]])


def neural_style_terms(content_weight: float, style_weights: Mapping[str, float]) -> dict[str, float]:
    style = {
        f"style_{tap}": neural_style.style_loss(OWN[tap], the_paintings_target(tap), weight)
        for tap, weight in style_weights.items()
    }
    content = neural_style.content_loss(OWN[CONTENT_TAP], OF_CONTENT[CONTENT_TAP], content_weight)
    return {f"content_{CONTENT_TAP}": content, **style}


def without_tv(terms: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in terms.items() if name != "tv"}


@pytest.mark.parametrize(
    ("name", "number"), [("neural-style", NEURAL_STYLE_COMMAND), ("style-transfer-pytorch", STP_COMMAND)]
)
def test_a_preset_has_the_numbers_of_the_page(name: str, number: int) -> None:
    wanted, found = (vars(settings) for settings in (settings_of(number), preset(name, size=0, style_size=0)))
    only_in_the_preset = {"preset", "scales", "average", "padding", "iterations", "evaluations"}
    assert {key: value for key, value in found.items() if key not in only_in_the_preset} == {
        key: value for key, value in wanted.items() if key not in only_in_the_preset
    }


def test_the_default_of_neural_style(engine: Engine) -> None:
    settings = settings_of(NEURAL_STYLE_COMMAND)
    assert (settings.pool, settings.history, settings.bounded, settings.evaluations) == ("max", 100, False, 1000)
    found = engine.evaluate(IMAGE, CONTENT, STYLE, settings).terms
    assert without_tv(found) == pytest.approx(neural_style_terms(5.0, dict.fromkeys(STYLE_TAPS, 100.0)), rel=1e-4)
    last_row, last_column = (
        np.square(np.diff(IMAGE[-1], axis=0)).sum(),
        np.square(np.diff(IMAGE[:, -1], axis=0)).sum(),
    )
    left_out = 1e-3 / 2 * 256**2 * float(last_row + last_column)
    assert found["tv"] == pytest.approx(neural_style.squared_smoothness(IMAGE, 1e-3) + left_out, rel=1e-4)


def test_the_same_in_the_paper_s_weighting(engine: Engine) -> None:
    content, style, smoothness = ((row[1], row[2]) for row in tables("### Other weightings"))
    positions = OWN[CONTENT_TAP][0].size
    settings = replace(
        settings_of(NEURAL_STYLE_COMMAND),
        weighting="paper",
        content_weight=2 * 5.0 / (CHANNELS * positions),
        style_weight=1.0,
        style_taps=tuple(f"{tap}={4 * 100.0 / VGG_WIDTHS[tap] ** 2}" for tap in STYLE_TAPS),
        tv_weight=1e-3 * 256**2 / 2,
    )
    found = engine.evaluate(IMAGE, CONTENT, STYLE, settings).terms
    expected = engine.evaluate(IMAGE, CONTENT, STYLE, settings_of(NEURAL_STYLE_COMMAND)).terms
    assert found == pytest.approx(expected, rel=1e-4)
    assert without_tv(found) == pytest.approx(neural_style_terms(5.0, dict.fromkeys(STYLE_TAPS, 100.0)), rel=1e-4)
    assert "2 cw / (N M)" in content[0]
    assert float(content[1].split()[-1]) == pytest.approx(2 * 5 / (512 * 64 * 48), rel=1e-4)
    printed = {tap: float(weight) for tap, weight in re.findall(r"(relu\d_1)=([\d.e-]+)", style[1])}
    assert printed == pytest.approx({tap: 400 / n**2 for tap, n in VGG_CHANNELS.items()}, rel=1e-4)
    assert float(smoothness[1]) == settings.tv_weight


def test_normalize_weights(engine: Engine) -> None:
    (text,) = (row[3] for row in tables("### Flags") if "normalize_weights" in row[0])
    printed = {tap: float(weight) for tap, weight in re.findall(r"(relu\d_1)=([\d.]+)", text)}
    assert printed == {tap: 1 / channels for tap, channels in VGG_CHANNELS.items()}
    longest = max(OWN[CONTENT_TAP].shape)
    settings = replace(
        settings_of(NEURAL_STYLE_COMMAND),
        content_weight=5.0 / longest,
        style_taps=tuple(f"{tap}={1 / VGG_WIDTHS[tap]}" for tap in STYLE_TAPS),
    )
    found = engine.evaluate(IMAGE, CONTENT, STYLE, settings).terms
    expected = neural_style_terms(5.0 / longest, {tap: 100.0 / VGG_WIDTHS[tap] for tap in STYLE_TAPS})
    assert without_tv(found) == pytest.approx(expected, rel=1e-4)


def test_absolute_smoothness_in_the_page() -> None:
    (text,) = (row[2] for row in tables("### Smoothness") if row[0] == "neural-style-pt")
    assert float(text.split("as ")[1].split()[0]) == pytest.approx(1e-3 * 256 / 255, rel=1e-5)


def test_absolute_smoothness(engine: Engine) -> None:
    if "tv_norm" not in {field.name for field in fields(Settings)}:
        pytest.skip("Settings has no tv_norm yet")
    values: dict[str, Any] = {"tv_norm": "l1", "tv_weight": 1e-3 * 256 / 255}
    settings = replace(settings_of(NEURAL_STYLE_COMMAND), **values)
    found = engine.evaluate(IMAGE, CONTENT, STYLE, settings).terms["tv"]
    # Each difference counts up to a grey level less: on noise, whose differences are a third of the range, about 1 %.
    assert found == pytest.approx(neural_style.absolute_smoothness(IMAGE, 1e-3), rel=2e-2)


def wasserstein(tap: str) -> float:
    """W2^2 / N."""
    return oracle.gaussian_error(OWN[tap], OF_STYLE[tap], 0.0, oracle.exact_root)


def mean_square(values: np.ndarray) -> float:
    return float(np.mean(values**2))


def test_style_transfer_pytorch_with_taps_of_power_1(engine: Engine) -> None:
    found = engine.evaluate(IMAGE, CONTENT, STYLE, settings_of(STP_COMMAND)).terms
    content = mean_square(OWN[CONTENT_TAP] - OF_CONTENT[CONTENT_TAP]) / mean_square(OF_CONTENT[CONTENT_TAP])
    assert found[f"content_{CONTENT_TAP}"] == pytest.approx(0.015 * content, rel=1e-4)
    for tap, weight in STP_WEIGHTS.items():
        assert found[f"style_{tap}"] == pytest.approx(weight * wasserstein(tap) / mean_square(OF_STYLE[tap]), rel=5e-3)


def test_style_transfer_pytorch_with_its_own_network(engine: Engine) -> None:
    powers = {tap: 1.5 + number for number, tap in enumerate(TAPS)}
    settings = replace(
        settings_of(STP_COMMAND),
        weighting="johnson",
        content_weight=0.015 / powers[CONTENT_TAP] ** 2,
        style_taps=tuple(f"{tap}={weight / powers[tap] ** 2}" for tap, weight in STP_WEIGHTS.items()),
        tv_weight=2 * 2 / (255**2 * 3 * IMAGE.shape[0] * IMAGE.shape[1]),
    )
    found = engine.evaluate(IMAGE, CONTENT, STYLE, settings).terms
    scaled = (OWN[CONTENT_TAP] / powers[CONTENT_TAP], OF_CONTENT[CONTENT_TAP] / powers[CONTENT_TAP])
    assert found[f"content_{CONTENT_TAP}"] == pytest.approx(0.015 * mean_square(scaled[0] - scaled[1]), rel=1e-4)
    for tap, weight in STP_WEIGHTS.items():
        one, other = OWN[tap] / powers[tap], OF_STYLE[tap] / powers[tap]
        expected = weight * oracle.gaussian_error(one, other, 0.0, oracle.exact_root)
        assert found[f"style_{tap}"] == pytest.approx(expected, rel=5e-3)
    calibrated = engine.evaluate(IMAGE, CONTENT, STYLE, settings_of(STP_COMMAND)).terms
    assert found["tv"] == pytest.approx(calibrated["tv"], rel=1e-4)


def test_smoothness_of_style_transfer_pytorch(engine: Engine) -> None:
    """The same for structures of several pixels, 5/6 for noise of single ones."""
    y, x = np.mgrid[:192, :256].astype(np.float32)
    waves = 0.5 + 0.2 * np.stack([np.sin(x / 5), np.cos(y / 6), np.sin((x + y) / 7)], axis=-1)
    noise = pixels(3, 192, 256)
    for image, ratio in ((waves, 1.0), (noise, 5 / 6)):
        settings = replace(settings_of(STP_COMMAND), content_weight=0.0, style_weight=0.0)
        found = engine.evaluate(image, image, None, settings).terms["tv"]
        assert 2 * oracle.total_variation(image) / found == pytest.approx(ratio, rel=2e-2)


def test_numbers_of_style_transfer_pytorch() -> None:
    settings = settings_of(STP_COMMAND)
    assert settings.learning_rate == pytest.approx(255 * 0.02)
    printed = {row[0]: [float(cell) for cell in row[1:]] for row in tables("### Which weighting") if "relu" in row[0]}
    assert {tap: row[1] for tap, row in printed.items()} == pytest.approx({**STP_WEIGHTS, CONTENT_TAP: 0.015}, rel=1e-5)
    for power, weight, converted in printed.values():
        assert converted == pytest.approx(weight / power**2, rel=1e-3)
    assert "as 1.043e-10 for 512 x 384 px" in PAGE
    converted = 2 * 2 / (255**2 * 3 * 512 * 384)
    assert converted == pytest.approx(1.043e-10, rel=1e-4)


@pytest.mark.slow
def test_powers_of_the_oxford_network(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from impasto.export.tap_model import import_weights

    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    path = import_weights(shared / "weights" / "vgg19_oxford.safetensors", "vgg19")
    with Engine(path, provider="cpu", threads=1) as opened:
        found = EqualPower(opened.network.model, TAPS).powers
    printed = {row[0]: float(row[1]) for row in tables("### Which weighting") if "relu" in row[0]}
    assert found == pytest.approx(printed, rel=2e-3)
