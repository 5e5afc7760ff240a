"""OpenVINO: registration, devices, precision; and the objective on it where there is such a processor."""

import json
import sys
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest

from impasto.engine import Engine, ImpastoError, Settings
from impasto.engine.runtime.providers import choose, openvino
from tests.engine.conftest import Files
from tests.engine.providers.conftest import OLD, WITHOUT_AMX, XEON, Device

SETTINGS = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5)


def test_the_plugin_is_registered_once_however_often_it_is_asked_for(
    plugin: Callable[..., list[tuple[str, str]]],
) -> None:
    registered = plugin(Device(openvino.ORT_NAME))
    for _ in range(3):
        assert openvino.probe().works
    assert registered == [("impasto.openvino", "/somewhere/plugin.so")]


def test_a_plugin_that_the_program_has_registered_is_taken_as_it_is(
    plugin: Callable[..., list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = plugin()
    monkeypatch.setattr(ort, "get_ep_devices", lambda: [Device(openvino.ORT_NAME)])
    assert openvino.probe().works
    assert registered == []


def test_only_the_processor_is_taken_and_not_its_gpu_or_the_automatic_device(plugin: Callable[..., object]) -> None:
    processor = Device(openvino.ORT_NAME)
    plugin(
        Device("CPUExecutionProvider"),
        Device(openvino.ORT_NAME, ort.OrtHardwareDeviceType.GPU),
        Device(f"{openvino.ORT_NAME}.AUTO"),
        processor,
    )
    assert openvino.probe().works
    assert openvino.devices() == [processor]


def test_no_device_names_the_processor(plugin: Callable[..., object], cpuinfo: Callable[[str], None]) -> None:
    plugin(Device("CPUExecutionProvider"))
    cpuinfo("model name : AMD EPYC\nflags : avx512_bf16\n")
    assert openvino.probe().reason == "its plugin takes Intel processors only and this is AMD EPYC"


def test_a_plugin_that_does_not_load_says_why_in_one_line(plugin: Callable[..., object]) -> None:
    plugin(failure="no libtbb.so.12:\n  cannot open")
    found = openvino.probe()
    assert not found.works
    assert found.reason == (
        "its plugin does not load (no libtbb.so.12: cannot open); reinstall onnxruntime-ep-openvino"
    )


def test_a_missing_plugin_names_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", None)
    openvino._register.cache_clear()
    with pytest.raises(ImpastoError, match=r"not installed; pip install onnxruntime-ep-openvino; use --provider auto"):
        choose("openvino")


@pytest.mark.parametrize(("info", "expected"), [(XEON, "bf16"), (WITHOUT_AMX, "fp32"), (OLD, "fp32"), ("", "fp32")])
def test_auto_is_bf16_where_the_processor_multiplies_it_in_tiles(
    info: str, expected: str, plugin: Callable[..., object], cpuinfo: Callable[[str], None]
) -> None:
    plugin(Device(openvino.ORT_NAME))
    cpuinfo(info)
    assert choose("openvino").precision == expected


def test_bf16_is_refused_where_openvino_does_not_know_it(
    plugin: Callable[..., object], cpuinfo: Callable[[str], None]
) -> None:
    plugin(Device(openvino.ORT_NAME, ep_metadata={"OPTIMIZATION_CAPABILITIES": "FP32 INT8"}))
    cpuinfo(OLD)
    with pytest.raises(ImpastoError) as caught:
        choose("openvino", "bf16")
    assert str(caught.value) == (
        "provider openvino has no bf16: Intel(R) Core(TM) i5 has no bfloat16; allowed here are auto, fp32"
    )


@pytest.mark.parametrize(("precision", "hint"), [("fp32", "f32"), ("bf16", "bf16")])
def test_the_precision_is_always_explicit(precision: str, hint: str) -> None:
    config = json.loads(openvino.load_config(precision)["load_config"])["CPU"]
    assert config["INFERENCE_PRECISION_HINT"] == hint
    assert "INFERENCE_NUM_THREADS" not in config


def test_typed_bf16_leaves_the_types_to_the_graph() -> None:
    config = json.loads(openvino.load_config("bf16-typed")["load_config"])["CPU"]
    assert config["EXECUTION_MODE_HINT"] == "ACCURACY"
    assert "INFERENCE_PRECISION_HINT" not in config
    assert openvino.provider("bf16-typed").typed
    assert not openvino.provider("bf16").typed


def test_threads_go_to_openvino() -> None:
    config = json.loads(openvino.load_config("fp32", threads=3)["load_config"])["CPU"]
    assert config["INFERENCE_NUM_THREADS"] == "3"


@pytest.mark.openvino
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.1), ("bf16-typed", 0.1)])
def test_the_objective_agrees_with_the_cpu_provider(files: Files, precision: str, tolerance: float) -> None:
    found = openvino.probe()
    if not found.works or openvino.refusal(precision):
        pytest.skip(f"no OpenVINO in {precision}: {openvino.refusal(precision) if found.works else found.reason}")
    images = (files.content, files.style)  # two in a row: the second must not see the first one's buffers
    scores = []
    for provider, precision_there in (("cpu", "fp32"), ("openvino", precision)):
        with Engine(files.model, provider=provider, precision=precision_there, threads=1) as engine:
            settings = Settings(**{**SETTINGS.as_dict(), "size": 48})
            scores.append([engine.evaluate(image, files.content, files.style, settings) for image in images])
    for expected, actual in zip(*scores, strict=True):
        assert actual.loss == pytest.approx(expected.loss, rel=tolerance)
        difference = np.linalg.norm(actual.gradient - expected.gradient)
        assert difference < tolerance * np.linalg.norm(expected.gradient)
        assert np.linalg.norm(expected.gradient) > 0


@pytest.mark.openvino
def test_typed_bf16_is_rounded_to_bf16_and_not_so_much_as_bf16_throughout(files: Files) -> None:
    """Near the target, where the image's own rounding is most of the error."""
    if not openvino.probe().works or openvino.refusal("bf16-typed"):
        pytest.skip(f"no OpenVINO in bf16: {openvino.refusal('bf16') or openvino.probe().reason}")
    settings = Settings(size=0, content_weight=0, style_taps=("relu1_1", "relu3_1"))
    pixels = np.random.default_rng(0).random((48, 64, 3), np.float32)
    near = np.clip(pixels + 3e-3 * np.random.default_rng(1).standard_normal(pixels.shape), 0, 1).astype(np.float32)
    found = {}
    for provider, precision in (("cpu", "fp32"), ("openvino", "bf16"), ("openvino", "bf16-typed")):
        with Engine(files.model, provider=provider, precision=precision, threads=1) as engine:
            found[precision] = engine.evaluate(near, None, pixels, settings).gradient
    true = found.pop("fp32")
    errors = {name: np.linalg.norm(item - true) / np.linalg.norm(true) for name, item in found.items()}
    assert 1e-5 < errors["bf16-typed"] < errors["bf16"] / 3
