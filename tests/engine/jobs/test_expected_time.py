"""The time that a plan expects, from the times of earlier runs on this machine."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.engine import Engine, Settings
from impasto.engine.cache.stores import EVALUATION_TIMES
from impasto.engine.inputs.manifest import Row
from impasto.engine.jobs.batch_plan import RowPlan, conclusion
from impasto.engine.jobs.plan import Plan
from tests.engine.conftest import Files
from tests.engine.jobs.test_many import BASE, job


@pytest.fixture
def engine(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.delenv("IMPASTO_NO_CACHE")
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    with Engine(files.model, provider="cpu", threads=1) as engine:
        yield engine


def plan(engine: Engine, files: Files, **values: object) -> Plan:
    (found,) = engine.plan_many([job(files, **values)])
    assert isinstance(found, Plan)
    return found


def known(engine: Engine, files: Files, seconds: float, settings: Settings = BASE) -> None:
    """Note the time of an iteration at 64 x 48 px."""
    scene = dataclasses.replace(settings, size=64)
    compiler = engine._workshop.compiler
    spec = compiler.spec(scene, plan(engine, files, size=64).scene)
    compiler.times.remember(spec, settings.optimizer, 10, 10 * seconds)


def test_no_time_is_expected_before_the_first_run(engine: Engine, files: Files) -> None:
    found = plan(engine, files, size=64)
    assert found.expected_s is None
    assert "time     not known: no such run was timed on this machine yet" in found.describe()
    assert found.as_dict()["expected_s"] is None


def test_a_run_tells_the_time_of_the_next(engine: Engine, files: Files) -> None:
    result = engine.transfer(files.content, files.style, dataclasses.replace(BASE, size=64))
    expected = plan(engine, files, size=64).expected_s
    assert expected == pytest.approx(result.evaluations_s * BASE.iterations / result.iterations)
    assert f"about {expected:.1f} s, by the times" in plan(engine, files, size=64).describe()


def test_the_time_is_that_of_the_nearest_size_by_pixels(engine: Engine, files: Files) -> None:
    known(engine, files, 2.0)
    assert plan(engine, files, size=64, iterations=30).expected_s == pytest.approx(60)
    assert plan(engine, files, size=128, iterations=30).expected_s == pytest.approx(240)
    assert "about 4 min 0 s" in plan(engine, files, size=128, iterations=30).describe()
    assert plan(engine, files, size=64, iterations=30, evaluations=10).expected_s == pytest.approx(20)
    assert plan(engine, files, size=64, iterations=30, timeout_s=7.0).expected_s == 7


def test_a_time_belongs_to_the_kind_of_run(engine: Engine, files: Files) -> None:
    known(engine, files, 2.0)
    for other in ({"optimizer": "adam"}, {"pool": "max"}, {"style_taps": ("relu1_1",)}, {"tv_weight": 1.0}):
        assert plan(engine, files, size=64, **other).expected_s is None
    for same in ({"content_weight": 1.0}, {"seed": 5}, {"init": "noise"}):
        assert plan(engine, files, size=64, **same).expected_s is not None


def test_every_scale_has_its_own_time(engine: Engine, files: Files) -> None:
    known(engine, files, 1.0)
    found = plan(engine, files, size=256, scales=0, iterations=100)
    assert len(found.scales) == 3
    pixels = {scale.width * scale.height: scale.iterations for scale in found.scales}
    assert found.expected_s == pytest.approx(sum(size / (64 * 48) * count for size, count in pixels.items()))


def test_runs_that_say_little_are_not_kept(engine: Engine, files: Files) -> None:
    engine.transfer(files.content, files.style, dataclasses.replace(BASE, size=64, iterations=3))
    list(engine.transfer_many([job(files, size=64), job(files, size=64)], batch=2))
    assert plan(engine, files, size=64).expected_s is None


@pytest.mark.parametrize("text", ["{", '{"0": 1}', '{"64": "x"}', '{"64": NaN}', "[]"])
def test_a_broken_entry_is_no_time(engine: Engine, files: Files, text: str) -> None:
    known(engine, files, 2.0)
    (entry,) = EVALUATION_TIMES.folder.glob("*.json")
    entry.write_text(text)
    assert plan(engine, files, size=64).expected_s is None


def test_a_list_expects_the_sum_of_its_rows(engine: Engine, files: Files) -> None:
    known(engine, files, 2.0)
    row = Row(1, files.content, files.style, BASE, files.folder / "o.png")
    rows = [RowPlan(row, plan(engine, files, size=64, iterations=30))] * 2
    values, text = conclusion(rows)
    assert values["expected_s"] == pytest.approx(120)
    assert "time: about 2 min 0 s" in text
    values, text = conclusion([*rows, RowPlan(row, plan(engine, files, size=64, optimizer="adam"))])
    assert values["expected_s"] is None
    assert "time: not known" in text
