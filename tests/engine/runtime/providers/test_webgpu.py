"""WebGPU: adapters, refusals and choice; and the plugin itself on a software adapter, in processes of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from impasto.engine import ImpastoError
from impasto.engine.device.placement import LoopPlacement
from impasto.engine.runtime.providers import availability, choose, explained, faster, nvidia, vulkan, webgpu
from impasto.engine.runtime.providers.vulkan import Adapter
from tests.engine.conftest import Files
from tests.engine.runtime.providers.webgpu_runs import PROVIDER, REFERENCE, VARIANTS

ROOT = Path(__file__).resolve().parents[4]
LONGEST_S = 600
DISCRETE, INTEGRATED = Adapter("AMD Radeon", "discrete"), Adapter("Intel Iris", "integrated")
SWIFTSHADER = Adapter("SwiftShader", "software")
Pretend = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, gpu: Callable[..., None]) -> Pretend:
    """Pretend that Vulkan lists these adapters, that the plugin is installed, and that there is no NVIDIA driver."""

    def pretend(*found: Adapter, installed: bool = True, failure: str | None = None) -> None:
        gpu()
        monkeypatch.setattr(nvidia, "no_gpu", lambda: "no driver")
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(webgpu, "installed", lambda: installed)
        monkeypatch.setattr(webgpu, "_register", _answer(failure))
        monkeypatch.setattr(vulkan, "adapters", lambda: found)
        webgpu.adapters.cache_clear()

    return pretend


def _answer(value: str | None) -> Callable[[], str | None]:
    def call() -> str | None:
        return value

    call.cache_clear = lambda: None  # type: ignore[attr-defined]
    return call


def test_auto_takes_a_gpu_before_processors(machine: Pretend) -> None:
    machine(INTEGRATED)
    assert (choose().name, choose().precision) == ("webgpu", "fp32")
    assert next(item for item in availability() if item.name == "webgpu").reason == "Intel Iris (integrated)"


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        (SWIFTSHADER, "its only adapter is software (SwiftShader); --provider webgpu,software takes it"),
        (Adapter("Virtio", "virtual"), "Virtio is a virtual adapter, and auto takes GPUs only"),
    ],
)
def test_auto_takes_no_other_adapter(machine: Pretend, adapter: Adapter, reason: str) -> None:
    machine(adapter)
    assert choose().name not in ("webgpu", "cuda", "tensorrt")
    assert f"; not webgpu: {reason}" in explained()


def test_adapters_are_numbered_as_the_plugin_prefers_them(machine: Pretend) -> None:
    machine(SWIFTSHADER, INTEGRATED, DISCRETE, DISCRETE)
    assert [item.kind for item in webgpu.adapters()] == ["discrete", "discrete", "integrated", "software"]
    assert choose("webgpu").options["powerPreference"] == "high-performance"
    assert choose("webgpu:2").options["powerPreference"] == "low-power"
    with pytest.raises(
        ImpastoError, match=r"cannot take adapter 1 \(AMD Radeon\): the plugin takes the first discrete"
    ):
        choose("webgpu:1")
    with pytest.raises(ImpastoError, match=r"^no adapter 4 of provider webgpu: allowed are 0 \(AMD Radeon\), 1 "):
        choose("webgpu:4")


def test_a_process_has_one_adapter(machine: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(INTEGRATED, DISCRETE)
    monkeypatch.setattr(webgpu, "_taken", ["high-performance"])
    with pytest.raises(ImpastoError, match=r"^provider webgpu does not work here: this process has another adapter"):
        choose("webgpu:1")._session(None, b"", None, 0)


def test_what_is_missing_is_said_with_what_to_do(machine: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    end = "; use --provider auto or see `impasto doctor`"
    reasons: dict[str, Callable[[], None]] = {
        "its plugin is not installed; pip install 'impasto[webgpu]'": lambda: machine(DISCRETE, installed=False),
        "no adapter found; install the GPU's Vulkan driver": lambda: machine(),
        "its only adapter is software (SwiftShader); --provider webgpu,software takes it": lambda: machine(SWIFTSHADER),
        "its plugin does not load (x)": lambda: machine(DISCRETE, failure="its plugin does not load (x)"),
    }
    for reason, pretend in reasons.items():
        pretend()
        with pytest.raises(ImpastoError) as caught:
            choose("webgpu")
        assert str(caught.value) == f"provider webgpu does not work here: {reason}{end}"


@pytest.mark.skipif(sys.platform != "linux", reason="Vulkan's loader is asked on Linux alone")
def test_without_the_loader_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webgpu, "installed", lambda: True)
    monkeypatch.setattr(vulkan, "LIBRARY", "libvulkan-of-nobody.so.1")
    with pytest.raises(
        ImpastoError, match=r"no Vulkan loader \(libvulkan-of-nobody.so.1 not found\); install Debian's"
    ):
        choose("webgpu")


def test_without_a_software_adapter_its_package_is_named(machine: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    machine()
    monkeypatch.setattr(vulkan, "SWIFTSHADER", ("/nowhere/icd.json",))
    for name in vulkan.ICD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ImpastoError, match=r"no software adapter found: allowed is .*; install Debian's package chromium"
    ):
        choose(PROVIDER)


def test_fp32_is_the_only_precision(machine: Pretend) -> None:
    machine(DISCRETE)
    with pytest.raises(ImpastoError, match=r"^provider webgpu has no fp16: .*; allowed here are auto, fp32$"):
        choose("webgpu", "fp16")


def test_the_loop_is_on_the_host(machine: Pretend) -> None:
    machine(DISCRETE)
    provider = choose("webgpu")
    assert not LoopPlacement().may_be_on_device("lbfgs", provider)
    with pytest.raises(ImpastoError, match=r"^no loop on provider webgpu, which has no float64, .*; use --loop host$"):
        LoopPlacement(loop="device").check(provider)


def test_the_doctor_knows_a_faster_provider_where_it_is_certain(machine: Pretend, gpu: Callable[..., None]) -> None:
    machine(DISCRETE, installed=False)
    assert faster() == "pip install 'impasto[webgpu]'"
    machine(INTEGRATED, installed=False)
    assert faster() is None
    machine(DISCRETE)
    assert faster() is None
    machine(installed=False)
    gpu((9, 0), failure="its libraries do not load; pip install 'impasto[cuda]'")
    assert faster() == "pip install 'impasto[cuda]'"


def _missing() -> str:
    """Return what the tests of the plugin lack here; "" if nothing."""
    if importlib.util.find_spec("onnxruntime_ep_webgpu") is None:
        return "onnxruntime-ep-webgpu is not installed"
    try:
        vulkan.adapters()
    except ImpastoError as error:
        return str(error)
    return (
        "" if any(Path(path).is_file() for path in vulkan.SWIFTSHADER) else "no SwiftShader: chromium is not installed"
    )


@pytest.fixture(scope="module")
def run() -> Callable[..., dict[str, Any]]:
    """Run a case of `webgpu_runs` in a process of its own, which must end well and print nothing else."""
    missing = _missing()
    if missing:
        pytest.skip(f"no WebGPU without a GPU: {missing}")

    def call(case: str, *words: object) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.engine.runtime.providers.webgpu_runs", case, *map(str, words)]
        environment = {name: value for name, value in os.environ.items() if name not in vulkan.ICD_VARIABLES}
        ended = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    return call


def _check(found: dict[str, Any]) -> None:
    for name, errors in found.items():
        assert errors["compared"] >= 3, name
        assert errors["terms"] < 1e-5, name
        assert 0 < errors["gradient"] < 1e-4, name


@pytest.mark.webgpu
def test_every_kind_of_graph_agrees_with_the_cpu_provider(run: Callable[..., dict[str, Any]], files: Files) -> None:
    """The channels of the network are 6, 8 and 5: the plugin's own layout computes such convolutions wrongly."""
    found = run("variants", files.model)
    assert list(found) == list(VARIANTS)
    _check(found)


@pytest.mark.webgpu
@pytest.mark.slow
def test_the_networks_agree_with_the_cpu_provider(run: Callable[..., dict[str, Any]]) -> None:
    found = run("network", "vgg19-slim", 48, 64)
    assert list(found) == ["48", "64"]
    _check(found)


@pytest.mark.webgpu
@pytest.mark.slow
def test_vgg19_agrees_with_the_cpu_provider(run: Callable[..., dict[str, Any]], shared: Path) -> None:
    _check(run("network", shared / "weights" / "vgg19_oxford.safetensors", 32))


@pytest.mark.webgpu
@pytest.mark.slow
def test_the_default_preset_agrees_with_the_cpu_provider(run: Callable[..., dict[str, Any]]) -> None:
    _check(run("painterly", "vgg19-slim"))


@pytest.mark.webgpu
@pytest.mark.slow
@pytest.mark.parametrize(("model", "optimizer", "side_px"), [("small", "lbfgs", 48), ("vgg19-slim", "adam", 32)])
def test_a_run_ends_at_the_loss_of_the_cpu_provider(
    run: Callable[..., dict[str, Any]], files: Files, model: str, optimizer: str, side_px: int
) -> None:
    """L-BFGS is compared on a small network: with vgg19-slim it parts the CPU provider's own two kernels as well."""
    found = run("losses", files.model if model == "small" else model, optimizer, 15, side_px)
    ours, true = found[PROVIDER], found[REFERENCE]
    assert ours["loss"] == pytest.approx(true["loss"], rel=1e-3)
    assert (ours["iterations"], ours["loop"]) == (15, "host")


@pytest.mark.webgpu
def test_a_batch_of_two_agrees_with_the_cpu_provider(run: Callable[..., dict[str, Any]], files: Files) -> None:
    found = run("batch", files.model)
    assert len(found[PROVIDER]) == 2
    assert found[PROVIDER] == pytest.approx(found[REFERENCE], rel=1e-3)


@pytest.mark.webgpu
def test_a_process_ends_well_with_engines_open_threads_and_a_run(
    run: Callable[..., dict[str, Any]], files: Files
) -> None:
    first, second = run("leaving", files.model)["losses"]
    assert first == second
