"""The project beside PyTorch: small, with few evaluations, but really both."""

import statistics
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from impasto.bench.comparison import Field
from impasto.bench.contenders.entries import own_entries, possible
from impasto.bench.contenders.own import OwnBatch, OwnContender
from impasto.bench.contenders.torch_objective import TorchObjective
from impasto.bench.contenders.variants import BASELINE, VARIANTS, choose
from impasto.bench.subject import Subject
from impasto.engine import Engine, Settings
from impasto.engine.runtime import native_operators
from impasto.engine.runtime.providers import openvino
from impasto.models.errors import ImpastoError
from tests.bench.command import ON_CPU, interrupt_at, measured
from tests.small_network import features_model

OPERATORS = native_operators.find()
CPU_LACK = "provider cpu has no bf16: its kernels are float32; allowed here are auto, fp32"


def test_ratios_are_those_of_the_samples(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, ended = measured(
        capsys,
        tmp_path,
        "compare",
        *ON_CPU,
        "--against",
        "eager",
        "--against",
        "eager-channels-last",
        "--evaluations",
        6,
    )
    whole = {item["name"]: item for item in found["series"] if item["unit"] == "evaluation"}
    steps = {item["name"]: item for item in found["series"] if item["unit"] == "step"}
    names = ["torch eager", "torch eager-channels-last", "impasto cpu fp32"]
    assert list(whole) == list(steps) == names
    assert len({len(item["samples_s"]) for item in whole.values()}) == 1
    mine = whole["impasto cpu fp32"]
    for ratio, rival in zip(found["ratios"], names[:2], strict=True):
        assert (ratio["rival"], ratio["impasto"], ratio["size_px"]) == (rival, "impasto cpu fp32", 64)
        rounds = [b / a for a, b in zip(mine["samples_s"], whole[rival]["samples_s"], strict=True)]
        expected = {"median": statistics.median(rounds), "min": min(rounds), "max": max(rounds)}
        assert ratio["per_evaluation"] == pytest.approx(expected)
        a, b = steps["impasto cpu fp32"], steps[rival]
        assert ratio["to_equal_loss"] == pytest.approx(b["seconds_to_target"] / a["seconds_to_target"])
        with_set_up = (b["seconds_to_target"] + b["setup_s"]) / (a["seconds_to_target"] + a["setup_s"])
        assert ratio["to_equal_loss_with_set_up"] == pytest.approx(with_set_up)
    assert found["asked"]["settings"]["bounded"] is False
    assert {item["bounded"] for item in found["series"]} == {False}
    looks = {"loop_asked": "auto", "loop": "host", "report_every": 1}
    assert looks.items() <= steps["impasto cpu fp32"].items()
    (target,) = {item["target_loss"] for item in steps.values()}
    assert target == min(point[2] for point in steps["torch eager"]["curve"])
    heading, *rows = ended.out.splitlines()
    assert heading.split("  ")[0] == "rival"
    assert heading.rstrip().endswith("to equal loss  with set-up")
    assert all(cell.endswith("x") for cell in rows[0].split()[-5:])
    assert any(row.startswith("descent ") for row in rows)


def test_a_rival_in_bf16_need_not_reach_the_loss(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its rounding, which differs between processors, may keep it above; the record then says so."""
    found, _ = measured(capsys, tmp_path, "compare", *ON_CPU, "--against", "autocast-bf16", "--evaluations", 6)
    steps = {item["name"]: item for item in found["series"] if item["unit"] == "step"}
    mine, rival = steps["impasto cpu fp32"], steps["torch autocast-bf16"]
    ratio = next(item for item in found["ratios"] if item["rival"] == "torch autocast-bf16")
    assert ratio["per_evaluation"]["median"] > 0
    if rival["seconds_to_target"] is None:
        assert rival["evaluations_in_all"] > 6
        assert ratio["to_equal_loss"] is None
    else:
        assert ratio["to_equal_loss"] == pytest.approx(rival["seconds_to_target"] / mine["seconds_to_target"])


@pytest.mark.parametrize(
    ("provider", "bound"),
    [
        ("cpu,plain", 1e-4),  # direct convolutions, as PyTorch's: they round alike
        pytest.param("cpu,native", 5e-4, marks=pytest.mark.skipif(OPERATORS.path is None, reason=OPERATORS.reason)),
    ],
)
def test_both_compute_the_same_objective(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, provider: str, bound: float
) -> None:
    own = ("--provider", provider, "--precision", "fp32")
    for batch in ((), ("--batch", 3)):
        found, _ = measured(capsys, tmp_path, "compare", *own, "--against", "eager", "--evaluations", 0, *batch)
        rival, mine = found["series"]
        assert mine["difference_to_eager"]["loss"] < 1e-5
        assert mine["difference_to_eager"]["gradient"] < bound
        assert mine["loss"] == pytest.approx(rival["loss"], rel=1e-5)
        assert (rival["threads"], rival["batch"]) == (1, mine["batch"])
        assert rival["evaluations"] == mine["evaluations"] == (3 if batch else 1)
        assert found["ratios"][0]["to_equal_loss"] is None
    assert [item["name"] for item in found["series"]] == ["torch eager batch 3", "impasto cpu fp32 batch 3"]


def test_pytorch_s_batch_is_the_sum_of_its_pictures() -> None:
    settings = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"))
    content, style, x = (
        torch.tensor(np.random.default_rng(seed).random((3, 3, 32, 32), np.float32)) for seed in (1, 2, 3)
    )

    def loss(places: slice) -> float:
        objective = TorchObjective(
            VARIANTS[BASELINE], features_model(), content[places], style[places], settings, "cpu"
        )
        return float(objective(x[places] * 255))

    singles = [loss(slice(place, place + 1)) for place in range(3)]
    assert len({float(f"{value:.2g}") for value in singles}) == 3
    assert loss(slice(None)) == pytest.approx(sum(singles), rel=1e-5)


def test_a_precision_that_a_provider_lacks_is_left_out_with_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ways = ("--provider", "cpu", "--precision", "bf16", "--precision", "fp32")
    found, ended = measured(capsys, tmp_path, "compare", *ways, "--against", "eager", "--evaluations", 0)
    assert found["absent"] == [{"name": "impasto cpu bf16", "size_px": 64, "why": CPU_LACK}]
    assert f"64 px: impasto cpu bf16 did not run: {CPU_LACK}" in ended.out.splitlines()
    assert [ratio["impasto"] for ratio in found["ratios"]] == ["impasto cpu fp32"]


def test_ways() -> None:
    assert possible([("cpu", "fp32"), ("cpu", "fp16"), ("cpu", "auto")], build_engines=False) == (
        [("cpu", "fp32"), ("cpu", "auto")],
        [{"name": "impasto cpu fp16", "why": CPU_LACK.replace("bf16", "fp16")}],
    )
    for ways, line in (
        ([("cpu", "bf16")], CPU_LACK),
        ([("cpu", "fp32"), ("cpu", "fp8")], "unknown precision 'fp8': allowed are auto, fp32, tf32, fp16, bf16"),
        ([("cpu", "fp32"), ("metal", "fp32")], "unknown provider 'metal': allowed are "),
    ):
        with pytest.raises(ImpastoError) as caught:
            possible(ways, build_engines=False)
        assert str(caught.value).startswith(line)


@pytest.mark.openvino
def test_two_providers_in_two_precisions() -> None:
    if not openvino.probe().works or openvino.refusal("bf16"):
        pytest.skip("no OpenVINO in bf16")
    ways = [(provider, precision) for provider in ("openvino", "cpu") for precision in ("bf16", "fp32")]
    found, absent = possible(ways, build_engines=False)
    assert found == [("openvino", "bf16"), ("openvino", "fp32"), ("cpu", "fp32")]
    assert [item["name"] for item in absent] == ["impasto cpu bf16"]


def test_a_rival_that_cannot_be_had_is_named_and_stops_nobody(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler\nhere")

    monkeypatch.setattr(torch, "compile", fail)
    found, ended = measured(capsys, tmp_path, "compare", *ON_CPU, "--against", "compile", "--evaluations", 0)
    assert found["absent"] == [{"name": "torch compile", "size_px": 64, "why": "RuntimeError: no compiler here"}]
    assert "64 px: torch compile did not run: RuntimeError: no compiler here" in ended.out
    assert [ratio["rival"] for ratio in found["ratios"]] == ["torch eager"]


def test_ctrl_c_in_the_descents_keeps_the_evaluations(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, lambda text: text.endswith("descents in turn"))
    found, ended = measured(capsys, tmp_path, "compare", *ON_CPU, "--against", "eager", status=130)
    assert [item["unit"] for item in found["series"]] == ["evaluation", "evaluation"]
    assert found["ratios"][0]["to_equal_loss"] is None
    assert ended.out.splitlines()[1].split()[-1] == "-"


def test_choosing_rivals() -> None:
    assert [variant.name for variant in choose((), gpu=True)] == list(VARIANTS)
    assert not any(variant.gpu for variant in choose((), gpu=False))
    assert [variant.name for variant in choose(("compile",), gpu=False)] == [BASELINE, "compile"]
    with pytest.raises(ImpastoError) as caught:
        choose(("eager-tf32",), gpu=False)
    assert str(caught.value).startswith("--against eager-tf32 needs a GPU that PyTorch finds; allowed here are eager, ")


def test_a_network_that_pytorch_cannot_have_is_one_line() -> None:
    from impasto.bench.contenders.torch_taps import TorchTaps

    model = features_model()
    next(node for node in model.graph if node.op_type == "Relu").op_type = "Elu"
    with pytest.raises(ImpastoError, match=r"^compare cannot build Elu in PyTorch: it knows Conv, Relu, poolings"):
        TorchTaps(model, ("relu1_1",), 32, "avg")


def test_a_batch_of_our_own_is_that_of_single_evaluations() -> None:
    subject = Subject(model="vgg19-slim", provider="cpu", precision="fp32", threads=1, batch=2)
    with subject.open() as engine:
        own = OwnBatch(engine, subject, 64, begin_s=0.0)
        total = own.evaluate()
        together = [(score.loss, score.gradient.copy()) for score in own.scores]
        assert total == sum(loss for loss, _ in together)
    with Engine("vgg19-slim", provider="cpu", precision="fp32", threads=1) as engine:
        for (content, style), (loss, gradient) in zip(subject.pairs(64), together, strict=True):
            objective, x = engine.objective(content, style, subject.settings)
            expected = objective(x)
            assert loss == pytest.approx(expected.loss, rel=1e-5)
            assert np.allclose(gradient, expected.gradient, rtol=1e-3, atol=1e-4 * np.abs(expected.gradient).max())


def test_pixels_are_unbounded_and_nothing_else_of_the_subject_is_changed() -> None:
    subject = Subject(sizes=(64,), settings=Settings(size=0, content_weight=0.5, history=4))
    found = Field(subject).subject
    assert (found.settings.bounded, subject.settings.bounded) == (False, True)
    assert replace(found, settings=subject.settings) == subject
    assert replace(found.settings, bounded=True) == subject.settings


@pytest.fixture
def looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host look at a loop on the processor as seldom as at one on a GPU, unless it is told otherwise."""
    original = Engine.__init__

    def seldom(self: Engine, *given: Any, report_every: int | None = None, **more: Any) -> None:
        original(self, *given, report_every=report_every or 4, **more)

    monkeypatch.setattr(Engine, "__init__", seldom)


def told_and_scored(contender: OwnContender, subject: Subject) -> tuple[list[float], list[float]]:
    """Return the losses of a few steps, as told and as those of the images that there are then."""
    told, scored = list[float](), list[float]()
    with subject.open() as engine:
        objective, _ = engine.objective(*subject.pictures(64), subject.settings)
        for _ in range(6):
            contender.step()
            told.append(contender.loss)
            scored.append(objective(contender.image()).loss)
    return told, scored


@pytest.mark.usefixtures("looked_at_seldom")
def test_an_image_is_that_of_the_step_that_is_told_of() -> None:
    subject = Subject(model="vgg19-slim", provider="cpu", precision="fp32", threads=1, loop="device")
    subject = Field(subject).subject
    with ExitStack() as stack:
        (own,) = own_entries(subject, [("cpu", "fp32")], 64, stack)
        assert isinstance(own, OwnContender)
        told, scored = told_and_scored(own, subject)
    assert scored == pytest.approx(told, rel=1e-4)
    assert own.facts["loop"] == "device"
    assert len(set(told)) == 6


@pytest.mark.usefixtures("looked_at_seldom")
def test_it_would_be_another_step_s_where_the_host_looks_seldom() -> None:
    subject = Subject(model="vgg19-slim", provider="cpu", precision="fp32", threads=1, loop="device")
    with subject.open() as engine:
        own = OwnContender(engine, subject, 64, begin_s=0.0)
        told, scored = told_and_scored(own, subject)
    assert scored[0] < 0.9 * told[0]
