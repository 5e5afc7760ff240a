"""Which provider is taken, what is said of it, and what is refused."""

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from impasto.engine import Engine, ImpastoError
from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.precision import PRECISIONS
from impasto.engine.runtime.providers import NAMES, Provider, availability, choose, explained, nvidia, openvino
from impasto.engine.runtime.session import Graph, Session
from impasto.export.objective import build_objective
from impasto.export.serialised import whole
from tests.engine.conftest import Files
from tests.engine.runtime.providers.conftest import WITHOUT_AMX, XEON, Device
from tests.small_network import features_model


def test_the_order_is_the_best_first() -> None:
    assert NAMES == ("auto", "tensorrt", "cuda", "webgpu", "openvino", "cpu")
    assert [item.name for item in availability()] == list(NAMES[1:])


def test_auto_says_what_it_took_and_why_not_the_others(
    plugin: Callable[..., object], gpu: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    plugin()
    monkeypatch.setattr(nvidia, "no_gpu", lambda: "no driver")
    monkeypatch.setattr(cpu_info, "name", lambda: "AMD EPYC")
    chosen = choose()
    assert (chosen.name, chosen.precision) == ("cpu", "fp32")
    assert chosen.choice == "provider cpu, fp32; `impasto doctor` says why"
    assert explained() == (
        "cpu, fp32; not tensorrt or cuda: no driver; "
        "not webgpu: its plugin is not installed; pip install 'impasto[webgpu]'; "
        "not openvino: its plugin takes Intel processors only and this is AMD EPYC"
    )


def test_auto_takes_openvino_for_its_bf16(
    plugin: Callable[..., object], gpu: Callable[..., None], cpuinfo: Callable[[str], None]
) -> None:
    gpu()
    plugin(Device(openvino.ORT_NAME))
    cpuinfo(XEON)
    assert (choose().name, choose().precision) == ("openvino", "bf16")
    assert choose(precision="fp32").name == "cpu"


def test_auto_leaves_openvino_where_it_is_no_faster(
    plugin: Callable[..., object],
    gpu: Callable[..., None],
    cpuinfo: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu()
    plugin(Device(openvino.ORT_NAME))
    cpuinfo(WITHOUT_AMX)
    monkeypatch.setattr(nvidia, "no_gpu", lambda: "no driver")
    assert explained() == (
        "cpu, fp32; not tensorrt or cuda: no driver; "
        "not webgpu: its plugin is not installed; pip install 'impasto[webgpu]'; "
        "not openvino: its fp32 is no faster than cpu's and starts later"
    )
    assert (choose(precision="bf16").name, choose("openvino").precision) == ("openvino", "fp32")


def test_auto_passes_over_a_provider_without_the_precision(gpu: Callable[..., None]) -> None:
    gpu()
    with pytest.raises(
        ImpastoError, match=r"^no provider here runs fp16; not tensorrt or cuda: .*; use --precision auto$"
    ):
        choose(precision="fp16")


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "fp32"])
def test_the_cpu_provider_has_fp32_only(precision: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        choose("cpu", precision)
    assert str(caught.value) == (
        f"provider cpu has no {precision}: its kernels are float32; allowed here are auto, fp32"
    )


def test_unknown_names_are_refused_with_the_allowed_ones() -> None:
    with pytest.raises(
        ImpastoError, match=r"unknown provider 'gpu': allowed are auto, tensorrt, cuda, webgpu, openvino, cpu"
    ):
        choose("gpu")
    with pytest.raises(ImpastoError, match=r"unknown precision 'int8': allowed are auto, fp32, tf32, fp16, bf16"):
        choose("cpu", "int8")


def test_a_named_provider_needs_no_remark() -> None:
    assert choose("cpu").choice == ""


def test_every_precision_falls_back_to_one_that_is_safer() -> None:
    for precision in PRECISIONS.values():
        seen = [precision.name]
        while precision.safer is not None:
            precision = PRECISIONS[precision.safer]
            seen.append(precision.name)
        assert seen[-1] == "fp32"
        assert len(seen) == len(set(seen))


class _Placed:
    """A session as ONNX Runtime would describe it."""

    def __init__(self, providers: list[str], parts: dict[str, list[str]]) -> None:
        self._providers, self._parts = providers, parts

    def get_providers(self) -> list[str]:
        return self._providers

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [
            types.SimpleNamespace(
                ep_name=name, get_nodes=lambda ops=ops: [types.SimpleNamespace(op_type=op) for op in ops]
            )
            for name, ops in self._parts.items()
        ]


@pytest.mark.parametrize(
    ("parts", "whole", "message"),
    [
        ({"X": ["Conv", "Relu"], "CPUExecutionProvider": ["Shape"]}, False, None),
        ({"X": ["Conv"], "CPUExecutionProvider": ["Shape"]}, True, "left 1 Shape to the CPU provider and it must run"),
        (
            {"X": ["Relu"], "CPUExecutionProvider": ["Conv", "Conv", "MatMul"]},
            False,
            "left 2 Conv, 1 MatMul to the CPU",
        ),
    ],
)
def test_nodes_that_fell_back_are_found(parts: dict[str, list[str]], whole: bool, message: str | None) -> None:
    provider = Provider("x", "X", whole=whole)
    session = _Placed(["X", "CPUExecutionProvider"], parts)
    if message is None:
        provider._check_placement(session)
    else:
        with pytest.raises(ImpastoError, match=message):
            provider._check_placement(session)


def test_from_a_gpu_nothing_but_sizes_goes_elsewhere() -> None:
    gpu = Provider("x", "X", device="cuda")
    gpu._check_placement(_Placed(["X", "CPUExecutionProvider"], {"X": ["Conv"], "CPUExecutionProvider": ["Shape"]}))
    with pytest.raises(ImpastoError, match="left 2 MaxPool to the CPU"):
        gpu._check_placement(_Placed(["X", "CPUExecutionProvider"], {"CPUExecutionProvider": ["MaxPool", "MaxPool"]}))


def test_a_session_that_ignores_the_provider_is_an_error() -> None:
    with pytest.raises(ImpastoError, match=r"provider x was asked for but ONNX Runtime did not use it; it used CPU"):
        Provider("x", "X")._check_placement(_Placed(["CPUExecutionProvider"], {}))


class _OwnMemory(Provider):
    """The CPU provider behind a binding that copies an input when it is bound, as OpenVINO's does."""

    def open(self, content: bytes | str, session_options: Any, threads: int) -> Any:
        session = super().open(content, session_options, threads)
        bind = session.io_binding

        class Binding:
            def __init__(self) -> None:
                self.real = bind()
                self.bind_ortvalue_output = self.real.bind_ortvalue_output

            def bind_ortvalue_input(self, name: str, value: Any) -> None:
                self.real.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value.numpy().copy()))

        run = session.run_with_iobinding
        session.io_binding = Binding
        session.run_with_iobinding = lambda binding: run(binding.real)
        session.get_input_memory_infos = lambda: [types.SimpleNamespace(name="OpenVINO_shared_CPU")]
        return session


def test_inputs_reach_a_provider_that_copies_them_when_they_are_bound() -> None:
    model = build_objective(features_model(), style_taps=("relu1_1",), height=32, width=32).model
    outputs = []
    for kind in (Provider, _OwnMemory):
        session = Session(Graph(whole(model)), kind("cpu", "CPUExecutionProvider"), threads=1)
        for seed in (0, 1):
            rng = np.random.default_rng(seed)
            for name, array in session.inputs.items():
                session.set(name, np.asarray(rng.random(array.shape, np.float32)))
            outputs.append({name: array.copy() for name, array in session.run().items()})
    plain, copying = outputs[:2], outputs[2:]
    for expected, actual in zip(plain, copying, strict=True):
        assert np.abs(expected["d_image"]).max() > 0
        for name in expected:
            np.testing.assert_array_equal(actual[name], expected[name])


def test_the_engine_runs_in_the_precision_that_it_names(files: Files) -> None:
    with Engine(files.model, provider="cpu", precision="fp32") as engine:
        assert engine.provider.precision == "fp32"
    own = dataclasses.replace(choose("cpu"), session_config={"session.set_denormal_as_zero": "1"})
    with Engine(files.model, provider=own) as engine:
        assert engine.provider is own
    with pytest.raises(ImpastoError, match="provider cpu has no bf16"):
        Engine(files.model, provider="cpu", precision="bf16")
