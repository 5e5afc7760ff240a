"""Plans and the check of memory read headers: no pixel is decoded for a run that has not begun or cannot begin."""

import dataclasses
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, ImpastoError, Job, images
from impasto.engine.compile import memory
from impasto.engine.images import reading
from impasto.engine.inputs import pictures
from impasto.engine.jobs import plan as plans
from impasto.engine.jobs.job import measure_job
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.engine.jobs.gate import LONG_S
from tests.engine.jobs.test_many import BASE, engine, job

__all__ = ["engine"]  # a fixture


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The images that were decoded or resized."""
    seen: list[object] = []

    def spy(original: Callable[..., object]) -> Callable[..., object]:
        def read(source: object, *more: object) -> object:
            seen.append(source)
            return original(source, *more)

        return read

    for name in ("read_image", "read_resized"):
        monkeypatch.setattr(images, name, spy(getattr(reading, name)))
    return seen


def test_plans_decode_nothing_and_hold_no_pixels(engine: Engine, files: Files, decoded: list[object]) -> None:
    jobs = [job(files, size=size) for size in (48, 64, 1024)]
    found = engine.plan_many(jobs)
    engine.plan(files.content, files.style, BASE)
    engine.check(files.content, files.style, BASE)
    painting, _ = engine.plan_style(files.style, BASE)
    assert decoded == []
    assert (painting.width, painting.height) == (52, 40)
    for plan, size in zip(found, (48, 64, 1024), strict=True):
        assert isinstance(plan, plans.Plan)
        assert (plan.scene.width, plan.scene.height) == (size, size * 3 // 4)
        assert not hasattr(plan.scene, "pixels")
        assert not hasattr(plan.painting, "pixels")


def test_equal_jobs_are_planned_once(engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Job] = []
    measure = measure_job

    def spy(job: Job) -> object:
        measured.append(job)
        return measure(job)

    monkeypatch.setattr(plans, "measure_job", spy)
    jobs = [job(files, seed=seed, iterations=seed) for seed in range(50)] + [job(files, size=48)] * 50
    found = engine.plan_many(jobs)
    assert len(measured) == 2
    assert [plan.settings for plan in found if isinstance(plan, plans.Plan)] == [one.settings for one in jobs]


def test_sizes_of_plans_are_those_of_the_run(engine: Engine, files: Files) -> None:
    for changes in ({"size": 0}, {"size": 50}, {"size": 50, "seamless": True}, {"style_size": 33, "seamless": True}):
        settings = dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]
        plan = engine.plan(files.content, files.style, settings)
        scene, painting = pictures.read_pictures(files.content, files.style, settings)
        assert (plan.scene.height, plan.scene.width) == (scene.height, scene.width)
        assert (plan.painting.height, plan.painting.width) == (painting.height, painting.width)


def test_what_does_not_fit_into_memory_is_refused_before_it_is_decoded(
    engine: Engine, files: Files, decoded: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1 << 30)
    settings = dataclasses.replace(BASE, size=16384)
    uses = (
        lambda: engine.transfer(files.content, files.style, settings),
        lambda: engine.submit(Job(files.content, files.style, settings)).result(LONG_S),
        lambda: engine.check(files.content, files.style, settings),
        lambda: engine.warm_up(files.content, files.style, settings),
        lambda: engine.warm_up(files.content, files.style, dataclasses.replace(settings, size=1024), batch=64),
        lambda: engine.evaluate(files.content, files.content, files.style, settings),
        lambda: engine.objective(files.content, files.style, settings),
        lambda: engine.save_style(files.style, files.folder / "s.safetensors", settings),
    )
    for use in uses:
        with pytest.raises(ImpastoError, match=r"^not enough memory: "):
            use()
    (ended,) = engine.transfer_many([Job(files.content, files.style, settings)])
    assert str(ended.error).startswith("not enough memory: ")
    assert decoded == []


def test_waiting_jobs_are_not_decoded(files: Files, decoded: list[object]) -> None:
    jobs = [job(files, size=48 + 8 * (number % 3), iterations=1) for number in range(12)]
    with Engine(files.model, provider="cpu", threads=1, concurrency=1) as engine:
        assert len(list(engine.transfer_many(jobs))) == 12
    assert len(decoded) == 2 * len(jobs)


def test_a_companion_that_does_not_decode_fails_alone(engine: Engine, files: Files) -> None:
    broken = files.folder / "broken.png"
    content = files.content.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    jobs = [job(files, iterations=2), Job(broken, files.style, BASE), job(files, iterations=2)]
    found = {item.index: item for item in engine.transfer_many(jobs, batch=3)}
    assert [found[index].error is None for index in range(3)] == [True, False, True]
    assert "broken.png" in str(found[1].error)


def test_the_start_image_is_checked_in_a_plan(engine: Engine, files: Files) -> None:
    text = files.folder / "text.png"
    text.write_text("no image")
    for init, message in (
        (str(files.folder / "missing.png"), "unknown init .*missing.png'"),
        (str(text), "text.png"),
        ("style", "cannot start from the style image: there is none"),
    ):
        style = None if init == "style" else files.style
        settings = dataclasses.replace(BASE, init=init, style_weight=0.0 if style is None else 1.0)
        for use in (engine.plan, engine.check, engine.transfer):
            with pytest.raises(ImpastoError, match=message):
                use(files.content, style, settings)
    assert engine.plan(files.content, files.style, dataclasses.replace(BASE, init=str(files.style))).fits is not False


def list_of(files: Files, count: int) -> Path:
    manifest = files.folder / "list.csv"
    lines = [f"content.png,style.png,o{number}.png,{number}" for number in range(count)]
    manifest.write_text("\n".join(["content,style,output,seed", *lines]))
    return manifest


def test_a_dry_run_of_a_list_decodes_nothing(
    files: Files, decoded: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = list_of(files, 300)
    ended = run(capsys, "batch", manifest, "-o", files.folder / "out", "--dry-run", "--model", files.model,
                "--provider", "cpu", "--set", "size=1024", *sets())  # fmt: skip
    assert (ended.status, ended.out.count("to do, 1024x768 px")) == (0, 300)
    assert decoded == []


def sets() -> list[str]:
    content, style = TAPS[1], f"{TAPS[3]} {TAPS[5]}"
    return ["--set", f"content_taps={content}", "--set", f"style_taps={style}"]


@pytest.mark.parametrize("command", ["transfer", "batch"])
def test_a_dry_run_of_a_command_checks_the_start_image(
    files: Files, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    common = ("--dry-run", "--model", files.model, "--provider", "cpu")
    if command == "transfer":
        images = (files.content, files.style, "-o", files.folder / "x.png")
        ended = run(capsys, "transfer", *images, *common, *TAPS, "--init", "missing.png")
        assert ended.status == 2
    else:
        given = (list_of(files, 1), "-o", files.folder / "out", *common, *sets())
        ended = run(capsys, "batch", *given, "--set", "init=missing.png")
    assert "missing.png" in ended.out + ended.err


def test_a_large_list_holds_little(engine: Engine, tmp_path: Path) -> None:
    """Plans of many large images take no more than their sizes."""
    image = tmp_path / "large.png"
    Image.fromarray(np.zeros((1500, 2000, 3), np.uint8)).save(image)
    settings = dataclasses.replace(BASE, size=1024)
    engine.plan(image, image, settings)
    jobs = [Job(image, image, dataclasses.replace(settings, content_weight=1 + number)) for number in range(100)]
    tracemalloc.start()
    found = engine.plan_many(jobs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 100
    assert peak < 100 * 1024 * 768 * 3 * 4 / 20  # bytes; the pixels alone would be 20 times that
