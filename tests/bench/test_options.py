"""The shared options reach what is run: objective, optimiser, and the memory that both take."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from impasto.bench import cold_start
from impasto.bench.subject import Subject
from impasto.engine import Engine
from impasto.engine.compile import memory
from impasto.engine.runtime.session import Session
from impasto.engine.settings import Settings
from tests.bench.command import ON_CPU, bench, measured


def test_the_objective_and_the_optimiser_are_those_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    objective = ("--tv-weight", 3, "--seamless", "--weighting", "johnson")
    optimiser = ("--optimizer", "plain-lbfgs", "--history", 3, "--loop", "device")
    found, _ = measured(capsys, tmp_path, "transfer", *ON_CPU, "--evaluations", 4, *objective, *optimiser)
    asked = {name: found["asked"]["settings"][name] for name in ("tv_weight", "seamless", "weighting")}
    assert asked == {"tv_weight": 3, "seamless": True, "weighting": "johnson"}
    assert [found["asked"]["settings"][name] for name in ("optimizer", "history")] == ["plain-lbfgs", 3]
    (item,) = found["series"]
    assert item["loop_asked"] == item["loop"] == found["asked"]["loop"] == "device"
    with Engine("vgg19-slim", provider="cpu", precision="fp32", threads=1, loop="device") as engine:
        settings = replace(Settings.from_dict(found["asked"]["settings"]), evaluations=4)
        expected = engine.transfer(*Subject().pictures(64), settings)
    assert (item["loss"], item["iterations"]) == (expected.loss, expected.iterations)
    found, _ = measured(capsys, tmp_path, "evaluation", *ON_CPU, *objective)
    assert found["series"][0]["loss"] == pytest.approx(item["initial_loss"], rel=1e-6)


def test_a_start_is_told_all_that_was_asked_for() -> None:
    settings = Settings(
        size=0, seamless=True, weighting="johnson", optimizer="adam", history=4, tv_norm="l2", padding="reflect"
    )
    words = cold_start._arguments(Subject(settings=settings, loop="host"), Path("a.onnx"), "style.png")
    given = dict(itertools.pairwise(words))
    wanted = {"--weighting": "johnson", "--optimizer": "adam", "--history": "4", "--loop": "host"}
    wanted |= {"--tv-norm": "l2", "--padding": "reflect"}
    assert {name: given[name] for name in wanted} == wanted
    assert words[-1] == "--seamless"
    assert "--seamless" not in cold_start._arguments(Subject(), Path("a.onnx"), "style.png")


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("evaluation", ("--batch", 3)),
        ("evaluation", ()),
        ("transfer", ("--batch", 3, "--evaluations", 2)),
        ("throughput", ("--batch", 3, "--scenario", "offline")),
        ("compare", ("--batch", 3, "--evaluations", 0, "--against", "eager")),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_compiled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, more: tuple[object, ...]
) -> None:
    class Opened(Exception):
        pass

    def opened(*_: object) -> None:
        raise Opened

    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    monkeypatch.setattr(Session, "__init__", opened)
    ended = bench(capsys, command, *ON_CPU, *more, "--quiet")
    assert (ended.status, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: not enough memory: this run (64x64 px, ")
    if command != "throughput":  # whose first query, which is a run of one, is refused already
        assert ("batch 3" in line) == ("--batch" in more)
