"""Machines that are not this one: devices, plugins and GPUs by hand."""

import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime as ort
import pytest

from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.providers import nvidia, openvino, webgpu

XEON = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n"
WITHOUT_AMX = (
    "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor\nflags\t\t: fpu avx512f avx512_bf16 avx512_fp16\n"
)
OLD = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5\nflags\t\t: fpu avx2\n"


@dataclass
class Device:
    """What ONNX Runtime lists for one pair of provider and hardware."""

    ep_name: str
    kind: object = ort.OrtHardwareDeviceType.CPU
    ep_metadata: dict[str, str] = field(default_factory=lambda: {"OPTIMIZATION_CAPABILITIES": "BF16 FP32 INT8"})

    @property
    def device(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(type=self.kind)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Probes are remembered for the process; here each test has a machine of its own, without WebGPU's plugin."""
    monkeypatch.setattr(webgpu, "installed", lambda: False)
    caches = (
        openvino._register,
        webgpu._register,
        webgpu.adapters,
        nvidia.gpus,
        nvidia.load_failure,
        nvidia.no_cudnn,
        cpu_info.flags,
        cpu_info.name,
    )
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def cpuinfo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def pretend(text: str) -> None:
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(cpu_info, "CPUINFO", path)
        cpu_info.flags.cache_clear()
        cpu_info.name.cache_clear()

    return pretend


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, str]]]:
    """Pretend that the plugin wheel is installed and lists these devices once it is registered."""

    def pretend(*devices: Device, failure: str | None = None) -> list[tuple[str, str]]:
        registered: list[tuple[str, str]] = []

        def register(name: str, path: str) -> None:
            if failure is not None:
                raise RuntimeError(failure)
            registered.append((name, path))

        module = types.ModuleType("onnxruntime_ep_openvino")
        module.get_library_path = lambda: "/somewhere/plugin.so"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", module)
        monkeypatch.setattr(ort, "register_execution_provider_library", register)
        monkeypatch.setattr(ort, "get_ep_devices", lambda: list(devices) if registered else [])
        openvino._register.cache_clear()
        return registered

    return pretend


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that the driver finds these GPUs and that ONNX Runtime's libraries load."""

    def pretend(*compute: tuple[int, int], failure: str | None = None) -> None:
        found = tuple(nvidia.Gpu(index, "NVIDIA H200", capability) for index, capability in enumerate(compute))
        for name, answer in {"gpus": found, "load_failure": failure, "no_cudnn": None}.items():
            monkeypatch.setattr(nvidia, name, _answering(answer))

    return pretend


def _answering(answer: object) -> Callable[..., object]:
    def call(*arguments: object) -> object:
        return answer

    call.cache_clear = lambda: None  # type: ignore[attr-defined]
    return call
