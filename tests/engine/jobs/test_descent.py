"""A run whose values stop being finite goes on in a safer precision, from its last good image."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from impasto.engine import Engine, Event, ImpastoError, Iteration, PrecisionChanged, Settings
from impasto.engine.compile.optimiser_settings import GREY_LEVEL, lbfgs_settings
from impasto.engine.images import read_image
from impasto.engine.jobs import run as run_module
from impasto.engine.jobs.reconstruction import content_reconstruction, style_reconstruction
from impasto.engine.optimisers.lbfgs import LbfgsSettings, lbfgs
from impasto.engine.optimisers.solution import Optimiser, Score, State, Vector
from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

SETTINGS = Settings(
    size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5, iterations=12
)


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that the CPU provider has bf16, and that it overflows for good after so many evaluations."""

    def pretend(good_evaluations: int) -> None:
        plain, choose, seen = Evaluator._score, providers.choose, [0]
        narrow = dataclasses.replace(choose("cpu"), precision="bf16")
        in_fp32: list[bool] = []

        def safer(provider: providers.Provider) -> providers.Provider | None:
            in_fp32.append(True)
            return choose("cpu") if provider.precision == "bf16" else None

        def score(self: Evaluator, outputs: dict[str, np.ndarray], sample: int) -> Score:
            found = plain(self, outputs, sample)
            seen[0] += 1
            return found if in_fp32 or seen[0] <= good_evaluations else dataclasses.replace(found, loss=float("nan"))

        monkeypatch.setattr(providers, "choose", lambda *names, **more: narrow)
        monkeypatch.setattr(providers, "safer", safer)
        monkeypatch.setattr(Evaluator, "_score", score)

    return pretend


@pytest.mark.parametrize("good", [0, 1, 5])
@pytest.mark.parametrize(("optimizer", "average"), [("lbfgs", 0), ("adam", 0), ("adam", 0.9)])
def test_the_run_goes_on_in_a_safer_precision(
    files: Files, fragile: Callable[[int], None], good: int, optimizer: str, average: float
) -> None:
    fragile(good)
    events: list[Event] = []
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer, average=average)
    with Engine(files.model, threads=1) as engine:
        result = engine.transfer(files.content, files.style, settings, on_event=events.append)
        assert engine.provider.precision == "fp32"
    changes = [event for event in events if isinstance(event, PrecisionChanged)]
    assert [(change.before, change.after) for change in changes] == [("bf16", "fp32")]
    assert changes[0].iteration <= good
    steps = [event for event in events if isinstance(event, Iteration)]
    assert [step.iteration for step in steps] == list(range(1, 13))
    assert all(np.isfinite(step.loss) for step in steps)
    assert sum(result.terms.values()) == pytest.approx(result.loss, rel=1e-5)
    evaluations = [step.evaluations for step in steps]
    assert evaluations == sorted(set(evaluations))
    assert result.outcome == "iterations_done"
    assert result.provenance["precision"] == "fp32"


def test_the_image_so_far_is_kept(files: Files, fragile: Callable[[int], None]) -> None:
    with Engine(files.model, provider="cpu", threads=1) as engine:
        start = engine.evaluate(files.content, files.content, files.style, SETTINGS).loss
    fragile(6)
    losses: list[float] = []
    with Engine(files.model, threads=1) as engine:
        engine.transfer(
            files.content,
            files.style,
            SETTINGS,
            on_event=lambda event: losses.append(event.loss) if isinstance(event, Iteration) else None,
        )
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < start


def test_limits_hold_across_precisions(files: Files, fragile: Callable[[int], None]) -> None:
    fragile(3)
    settings = dataclasses.replace(SETTINGS, iterations=1000, evaluations=40)
    with Engine(files.model, threads=1) as engine:
        result = engine.transfer(files.content, files.style, settings)
    assert result.evaluations == 40
    assert result.outcome == "evaluations_done"


def test_where_nothing_is_safer_the_run_ends(
    files: Files, fragile: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile(0)
    monkeypatch.setattr(providers, "safer", lambda provider: None)
    with (
        Engine(files.model, threads=1) as engine,
        pytest.raises(ImpastoError, match="not finite at the starting point"),
    ):
        engine.transfer(files.content, files.style, SETTINGS)


def test_the_command_line_says_so(
    capsys: pytest.CaptureFixture[str], files: Files, fragile: Callable[[int], None]
) -> None:
    fragile(1)
    output = files.folder / "o.png"
    few = ("--model", files.model, "--size", 0, "--iterations", 2, *TAPS)
    ended = run(capsys, "transfer", files.content, files.style, "-o", output, *few)
    assert (ended.status, ended.err) == (0, "values in bf16 are not finite; continuing from iteration 0 in fp32\n")


def test_safer_precisions_are_those_that_the_provider_has() -> None:
    assert providers.safer(providers.choose("cpu")) is None
    narrow = dataclasses.replace(providers.choose("cpu"), precision="fp16")
    found = providers.safer(narrow)
    assert found is not None
    assert found.precision == "fp32"


@pytest.mark.parametrize(("precision", "noise"), [("fp32", 1e-5), ("bf16", 2e-3)])
def test_the_line_search_bears_the_precisions_rounding(
    files: Files, monkeypatch: pytest.MonkeyPatch, precision: str, noise: float
) -> None:
    asked: list[LbfgsSettings] = []

    def spy(x: Vector, settings: LbfgsSettings, state: State | None = None) -> Optimiser:
        asked.append(settings)
        return lbfgs(x, settings, state)

    monkeypatch.setattr(run_module, "lbfgs", spy)
    provider = dataclasses.replace(providers.choose("cpu"), precision=precision)
    with Engine(files.model, provider=provider, threads=1) as engine:
        engine.transfer(files.content, files.style, dataclasses.replace(SETTINGS, iterations=1))
    assert [settings.loss_noise for settings in asked] == [noise]
    assert asked[0].first_step_mean_change == pytest.approx(GREY_LEVEL)


@pytest.mark.parametrize(
    ("settings", "from_noise", "prior"),
    [
        (content_reconstruction(), True, True),
        (content_reconstruction(), False, False),
        (style_reconstruction(), True, False),
        (Settings(init="noise", content_weight=0.0, style_weight=0.0, tv_weight=1.0), True, False),
        (Settings(init="noise"), True, False),
    ],
)
def test_only_a_content_reconstruction_from_noise_begins_coarse_first(
    settings: Settings, from_noise: bool, prior: bool
) -> None:
    assert bool(lbfgs_settings(settings, (3, 8, 8), 1e-5, from_noise=from_noise).prior_pairs) == prior


def test_coarse_first_is_for_the_noise_and_not_for_what_a_run_goes_on_from(
    files: Files, fragile: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def note(x: Vector, settings: LbfgsSettings, state: State | None = None) -> Optimiser:
        asked.append(settings.prior_pairs)
        return lbfgs(x, settings, state)

    monkeypatch.setattr(run_module, "lbfgs", note)
    settings = content_reconstruction(("relu2_1",), size=0, iterations=8)
    fragile(4)
    with Engine(files.model, provider="cpu", threads=1) as engine:
        engine.transfer(files.content, None, settings)
        engine.transfer(files.content, None, settings, start=read_image(files.style))
    assert asked[0] > 0
    assert asked[1:] == [0] * (len(asked) - 1)
    assert len(asked) == 3
