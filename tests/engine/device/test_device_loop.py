"""The loop on the device: the steps of the loop on the host, with the host looking on now and then."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from impasto.engine import Engine, Event, ImpastoError, Iteration, Result, Settings
from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.placement import GPU_REPORT_EVERY, LoopPlacement, OnDevice
from impasto.engine.jobs.reconstruction import content_reconstruction
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import cuda, nvidia, openvino, step_provider, tensorrt
from impasto.engine.runtime.session import Session
from tests.engine import command_line
from tests.engine.conftest import Files, offer_device

BASE = Settings(
    size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5, iterations=12
)


def run(files: Files, settings: Settings = BASE, **options: object) -> tuple[Result, list[Iteration]]:
    """A result and its iterations."""
    events: list[Iteration] = []

    def take(event: Event) -> None:
        if isinstance(event, Iteration):
            event.snapshot()
            events.append(event)

    with Engine(files.model, provider="cpu", threads=1, **options) as engine:  # type: ignore[arg-type]
        return engine.transfer(files.content, files.style, settings, on_event=take), events


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "plain-lbfgs"}, {"bounded": False}, {"init": "noise"}, {"history": 2}], ids=str
)
def test_steps_are_those_of_the_host(files: Files, changes: dict[str, object]) -> None:
    settings = dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]
    host, expected = run(files, settings, loop="host")
    device, found = run(files, settings, loop="device")
    assert [(step.iteration, step.evaluations) for step in found] == [
        (step.iteration, step.evaluations) for step in expected
    ]
    for step, other in zip(found, expected, strict=True):
        assert step.loss == pytest.approx(other.loss, rel=1e-3)
        assert step.terms == pytest.approx(other.terms, rel=5e-3)
    assert np.abs(device.picture.pixels - host.picture.pixels).max() < 0.02
    assert (device.iterations, device.evaluations, device.outcome) == (host.iterations, host.evaluations, host.outcome)
    assert 0 < device.evaluations_s <= device.seconds


def test_a_reconstruction_of_content_takes_the_steps_of_the_host(files: Files) -> None:
    settings = content_reconstruction(("relu2_1",), size=0, iterations=12)
    _, expected = run(files, settings, loop="host")
    _, found = run(files, settings, loop="device")
    assert [step.loss for step in found] == pytest.approx([step.loss for step in expected], rel=1e-3)


@pytest.mark.parametrize("every", [2, 5, 100])
def test_how_often_the_host_looks_changes_nothing(files: Files, every: int) -> None:
    _, expected = run(files, loop="device", report_every=1)
    result, found = run(files, loop="device", report_every=every)
    assert [(step.iteration, step.evaluations, step.loss) for step in found] == [
        (step.iteration, step.evaluations, step.loss) for step in expected
    ]
    assert (result.iterations, result.outcome) == (BASE.iterations, "iterations_done")


def test_with_every_step_looked_at_a_snapshot_is_that_step(files: Files) -> None:
    images: list[np.ndarray] = []
    shorter = dataclasses.replace(BASE, iterations=3)

    def take(event: Event) -> None:
        if isinstance(event, Iteration):
            images.append(event.snapshot())

    with Engine(files.model, provider="cpu", threads=1, loop="device") as engine:
        engine.transfer(files.content, files.style, BASE, on_event=take)
        third = engine.transfer(files.content, files.style, shorter)
    assert np.array_equal(images[2], third.picture.pixels)


@pytest.mark.parametrize("every", [1, 4])
def test_evaluations_are_never_exceeded(files: Files, every: int) -> None:
    settings = dataclasses.replace(BASE, iterations=100, evaluations=7)
    result, _ = run(files, settings, loop="device", report_every=every)
    assert (result.evaluations, result.outcome) == (7, "evaluations_done")


def test_it_can_be_cancelled(files: Files) -> None:
    asked: list[None] = []

    def cancel() -> bool:
        asked.append(None)
        return len(asked) > 3

    with Engine(files.model, provider="cpu", threads=1, loop="device") as engine:
        result = engine.transfer(files.content, files.style, BASE, cancel=cancel)
    assert result.outcome == "cancelled"
    assert 0 < result.iterations < BASE.iterations


def test_two_runs_in_one_engine_do_not_disturb_each_other(files: Files) -> None:
    with Engine(files.model, provider="cpu", threads=1, loop="device") as engine:
        first = engine.transfer(files.content, files.style, BASE)
        engine.transfer(files.content, files.style, dataclasses.replace(BASE, init="noise"))
        again = engine.transfer(files.content, files.style, BASE)
    assert np.array_equal(first.picture.pixels, again.picture.pixels)


def on_device(loop: LoopPlacement, session: object, provider: providers.Provider) -> OnDevice | None:
    evaluator = dataclasses.make_dataclass("Evaluator", ["session", "terms", "coefficients", "scaled"])
    return loop.on_device(evaluator(session, (), np.zeros((1, 0), np.float32), False), provider, 0)


@dataclasses.dataclass(frozen=True)
class FakeSession:
    shares_memory: bool = True


CPU = providers.Provider("cpu", "CPUExecutionProvider")
GPU = providers.Provider("cuda", "CUDAExecutionProvider", device="cuda")


def test_where_it_runs_by_itself() -> None:
    assert on_device(LoopPlacement(), FakeSession(), CPU) is None
    assert on_device(LoopPlacement("host"), FakeSession(), GPU) is None
    found = on_device(LoopPlacement(), FakeSession(), GPU)
    assert found is not None
    assert (found.every, found.demanded) == (GPU_REPORT_EVERY, False)
    named = on_device(LoopPlacement("device", report_every=3), FakeSession(), GPU)
    assert named is not None
    assert (named.every, named.demanded) == (3, True)


def test_memory_that_is_not_shared_is_an_error_where_it_was_asked_for() -> None:
    own = dataclasses.replace(CPU, name="openvino")
    assert on_device(LoopPlacement(), FakeSession(shares_memory=False), own) is None
    with pytest.raises(ImpastoError, match=r"^no loop on provider openvino, .*use --loop host$"):
        on_device(LoopPlacement("device"), FakeSession(shares_memory=False), own)


def test_a_provider_that_is_known_to_copy_is_refused_before_anything_runs(files: Files) -> None:
    copying = dataclasses.replace(CPU, name="openvino", shares_memory=False)
    assert not openvino.provider("fp32").shares_memory
    assert (CPU.shares_memory, GPU.shares_memory) == (True, True)
    with pytest.raises(ImpastoError) as caught:
        Engine(files.model, provider=copying, loop="device")
    assert str(caught.value) == "no loop on provider openvino, which copies its inputs; use --loop host"
    for loop in ("auto", "host"):
        Engine(files.model, provider=copying, loop=loop).close()


@pytest.mark.openvino
@pytest.mark.parametrize("command", ["transfer", "batch"])
def test_no_row_is_tried_where_there_is_no_such_loop(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    if not openvino.probe().works:
        pytest.skip(f"no OpenVINO: {openvino.probe().reason}")
    manifest = files.folder / "list.csv"
    manifest.write_text("content,style,size\ncontent.png,style.png,48\ncontent.png,style.png,64\n")
    given = [manifest] if command == "batch" else [files.content, files.style]
    output = tmp_path / ("out" if command == "batch" else "out.png")
    chosen = ("--model", files.model, "--provider", "openvino", "--loop", "device")
    ended = command_line.run(capsys, command, *given, "-o", output, *chosen)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: no loop on provider openvino, which copies its inputs; use --loop host\n"


@pytest.mark.parametrize(
    ("loop", "every", "words"),
    [
        ("gpu", None, "unknown loop 'gpu'"),
        ("auto", 0, "bad report_every 0: allowed are 1 to 1000 evaluations"),
        ("device", 1001, "bad report_every 1001: allowed are 1 to 1000 evaluations"),
    ],
)
def test_bad_values_are_one_line(loop: str, every: int | None, words: str) -> None:
    with pytest.raises(ImpastoError, match=words) as caught:
        LoopPlacement(loop, every)
    assert "\n" not in str(caught.value)


def broken(*_: object) -> None:
    raise ImpastoError("the step does not run here")


def test_where_it_was_not_asked_for_the_host_takes_over(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.engine.device.step_form.DeviceLoop", broken)
    with pytest.raises(ImpastoError, match="the step does not run here"):
        run(files, loop="device")
    offer_device(monkeypatch)
    result, _ = run(files, loop="device")
    assert (result.iterations, result.loop) == (BASE.iterations, "host")


@pytest.mark.parametrize("demanded", [False, True])
def test_a_loop_that_fails_on_the_way_goes_on_on_the_host(
    files: Files, monkeypatch: pytest.MonkeyPatch, demanded: bool
) -> None:
    original = DeviceLoop.run
    calls: list[int] = []

    def fail(self: DeviceLoop, count: int) -> object:
        calls.append(count)
        if len(calls) == 3:
            raise ImpastoError("the GPU's memory is full")
        return original(self, count)

    monkeypatch.setattr(DeviceLoop, "run", fail)
    if demanded:
        with pytest.raises(ImpastoError, match="the GPU's memory is full"):
            run(files, loop="device", report_every=2)
        return
    offer_device(monkeypatch)
    result, steps = run(files, loop="device", report_every=2)
    assert [step.iteration for step in steps] == list(range(1, BASE.iterations + 1))
    assert all(after.loss <= before.loss * (1 + 1e-5) for before, after in itertools.pairwise(steps))
    assert (len(calls), result.loop) == (3, "host")


def test_a_step_without_effect_is_noticed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeviceLoop, "run", lambda loop, count: np.zeros((count, 1, 5 + loop._form.terms), np.float32))
    with (
        Engine(files.model, provider="cpu", threads=1, loop="device") as engine,
        pytest.raises(ImpastoError, match="the optimiser's step has no effect on provider cpu; use --loop host"),
    ):
        engine.transfer(files.content, files.style, BASE)


def test_nothing_is_copied_between_evaluation_and_step(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host writes the image once, and never fetches an output."""
    calls: list[str] = []
    for name in ("set", "run", "run_bound"):
        original: Callable[..., object] = getattr(Session, name)

        def spy(self: Session, *values: object, name: str = name, original: Callable[..., object] = original) -> object:
            calls.append(name)
            return original(self, *values)

        monkeypatch.setattr(Session, name, spy)
    _, steps = run(files, loop="device", report_every=50)
    begin = len(calls) - calls[::-1].index("set")
    assert len(steps) == BASE.iterations
    assert calls[begin - 2 : begin] == ["set", "set"]  # weights and the first image
    assert set(calls[begin:]) == {"run_bound"}


def test_the_step_runs_in_float32_on_the_same_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (step_provider(CPU).name, step_provider(CPU).precision) == ("cpu", "fp32")
    gpus = [nvidia.Gpu(index, f"GPU {index}", (9, 0)) for index in range(2)]
    monkeypatch.setattr(nvidia, "gpus", lambda: gpus)
    evaluation = cuda.provider("fp16", 1, graph=True, memory_limit_mib=100)
    found = step_provider(evaluation)
    assert (found.name, found.precision, found.device, found.device_index) == ("cuda", "fp32", "cuda", 1)
    assert (found.options["use_tf32"], found.options["enable_cuda_graph"]) == ("0", "1")
    assert found.whole
    plain = evaluation.uncaptured()
    assert plain is not None
    assert "enable_cuda_graph" not in step_provider(plain).options
    whole = tensorrt.provider("fp16")
    assert step_provider(whole).ort_name == "CUDAExecutionProvider"
    assert "enable_cuda_graph" in step_provider(whole).options


def test_from_the_command_line(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.png"
    command = ["transfer", files.content, files.style, "-o", output, "--model", files.model, "--provider", "cpu"]
    command += ["--size", 0, "--content-tap", "relu2_1", "--style-tap", "relu1_1", "--iterations", 4, "--quiet"]
    assert command_line.run(capsys, *command, "--loop", "device", "--save-every", 2).status == 0
    assert output.is_file()
    assert len(list(tmp_path.glob("out-*.png"))) == 2
    refused = command_line.run(capsys, *command, "--loop", "gpu")
    assert refused.status == 2
    assert refused.err == "error: unknown loop 'gpu': allowed are auto, host, device\n"


@pytest.mark.parametrize(("command", "images"), [("transfer", 2), ("reconstruct content", 1), ("reconstruct style", 1)])
def test_how_often_the_host_looks_can_be_said(
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    device_steps: list[tuple[int, int]],
    command: str,
    images: int,
) -> None:
    taps = {
        "transfer": ("--content-tap", "relu2_1", "--style-tap", "relu1_1"),
        "reconstruct content": ("--tap", "relu2_1"),
    }
    words = [*command.split(), *(files.content, files.style)[:images], "-o", tmp_path / "out.png"]
    words += [
        "--model",
        files.model,
        "--provider",
        "cpu",
        "--size",
        0,
        "--loop",
        "device",
        "--evaluations",
        7,
        "--quiet",
    ]
    words += taps.get(command, ("--style-tap", "relu1_1"))
    assert command_line.run(capsys, *words, "--report-every", 3).status == 0
    assert device_steps == [(1, 3), (1, 3), (1, 1)]
    device_steps.clear()
    assert command_line.run(capsys, *words, "--report-every", 1, "--save-every", 4).status == 0
    assert device_steps == [(1, 1)] * 7
    for option, value in (("--save-every", 4), ("--animation", tmp_path / "a.gif")):
        refused = command_line.run(capsys, *words, "--report-every", 3, option, value)
        assert (refused.status, refused.out) == (2, "")
        assert refused.err == (
            f"error: bad --report-every 3: {option} needs each iteration's own image, which allows 1 alone; "
            "drop one of the two\n"
        )
    refused = command_line.run(capsys, *words, "--report-every", 0)
    assert (refused.status, refused.err) == (2, "error: bad report_every 0: allowed are 1 to 1000 evaluations\n")
