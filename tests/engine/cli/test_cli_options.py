"""The table of shared options: it has every setting, and a command gets what it takes of it."""

import dataclasses
import re
from typing import Annotated, Any

import pytest
import typer

from impasto.engine import ImpastoError, Settings
from impasto.engine.cli.declare import LOOK, MAIN, OPTIMISER, PANELS, option, takes
from impasto.engine.cli.options import Options
from tests.engine.command_line import run

CANVAS = "canvas"  # `impasto reconstruct style` alone has it, as --size WxH


def test_every_setting_is_an_option_with_its_default() -> None:
    names = {item.name for item in dataclasses.fields(Settings)} - {CANVAS}
    assert names <= {item.name for item in dataclasses.fields(Options)}
    assert Options().settings() == Settings()


def test_options_become_settings_unless_they_are_changed() -> None:
    options = Options(size=64, style_taps=["relu1_1=2"], tv_weight=3.0, bounded=False)
    settings = options.settings(tv_weight=4.0)
    assert settings == Settings(size=64, style_taps=("relu1_1=2",), tv_weight=4.0, bounded=False)


def test_options_become_an_engine() -> None:
    options = Options(model="vgg19-slim", provider="cpu", threads=1, ignore_memory=True)
    with options.engine(loop="host") as engine:
        assert (engine.network.name, engine.provider.name) == ("vgg19-slim", "cpu")
    with pytest.raises(ImpastoError, match="unknown provider 'gpu'"):
        Options(provider="gpu").engine()


@dataclasses.dataclass(frozen=True)
class Table:
    """A small one."""

    size: int = option(1, "A size.")
    depth: int = option(2, "A depth.", LOOK)
    quick: bool = option(False, "Quick.", OPTIMISER, "--quick")


def invoked(changed: dict[str, Any], names: tuple[str, ...], *words: str) -> tuple[Table, str]:
    seen: list[tuple[Table, str]] = []

    def command(options: Table, name: Annotated[str, typer.Option(help="A name.")] = "-") -> None:
        seen.append((options, name))

    app = typer.Typer()
    app.command()(takes(*names, **changed)(command))
    app(list(words), standalone_mode=False)
    return seen[0]


def test_a_command_gets_one_object_with_the_options_that_it_takes() -> None:
    assert invoked({}, ("size", "quick"), "--size", "5", "--quick", "--name", "a") == (Table(5, 2, True), "a")
    assert invoked({}, (MAIN, LOOK), "--depth", "6") == (Table(1, 6), "-")
    with pytest.raises(Exception, match="No such option: --depth"):
        invoked({}, (MAIN,), "--depth", "6")
    with pytest.raises(KeyError, match="width"):
        invoked({}, ("width",))


def test_a_command_may_change_an_option() -> None:
    changed = {"size": 3, "depth": option(4, "Another depth.", LOOK)}
    assert invoked(changed, (MAIN,)) == (Table(3, 4), "-")
    assert invoked(changed, (MAIN, LOOK), "--size", "8", "--depth", "9") == (Table(8, 9), "-")


@pytest.mark.parametrize("width", [80, 120])
def test_help_stands_under_headings_the_first_options_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = run(capsys, "transfer", "--help").out
    assert re.findall(r"^╭─ (.+?) ─", text, re.MULTILINE) == ["Arguments", *PANELS]
    first = text.split("─ Look ")[0]
    names = ["output", "model", "size", "preset", "strength", "smoothness", "stroke-size", "style-size", "scales"]
    names = [f"--{name}" for name in (*names, "content-weight", "iterations", "help")]
    assert re.findall(r"^│ [* ]  +(--[a-z-]+)", first, re.MULTILINE) == names
    assert "…" not in text
    assert max(map(len, text.splitlines())) == width
