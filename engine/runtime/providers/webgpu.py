"""WebGPU on any GPU (Vulkan, Direct3D 12, Metal), through the plugin wheel ``onnxruntime-ep-webgpu``.

The plugin is not thread-safe, so one lock of the process is held around everything that it does. It takes the adapter
itself, by its power preference alone, and one adapter serves the whole process. It is registered once and never
unregistered: that would crash the process if a session or a value of it were still there.
"""

import functools
import importlib
import importlib.util
import os
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from impasto.engine.runtime.providers import vulkan
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.engine.runtime.providers.vulkan import SOFTWARE, Adapter
from impasto.models.errors import ImpastoError, one_line

NAME = "webgpu"
ORT_NAME = "WebGpuExecutionProvider"
_REGISTRATION = "impasto.webgpu"
_PACKAGE = "onnxruntime_ep_webgpu"
FIX = "pip install 'impasto[webgpu]'"
_LISTED_WITHOUT_GPU = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
_PREFERENCE = "powerPreference"
GPU = ("discrete", "integrated")
_ORDERS = {"high-performance": GPU, "low-power": GPU[::-1]}
_LOCK = threading.RLock()


@dataclass(frozen=True)
class WebGpu(Provider):
    """The provider as a plugin, whose memory and runs belong to one thread at a time."""

    def exclusive(self) -> AbstractContextManager[object]:
        """Return the lock that a thread holds while it uses the plugin."""
        return _LOCK

    def _session(self, ort: Any, content: bytes | str, session_options: Any, threads: int) -> Any:
        failure = _register() or _other_adapter(self.options[_PREFERENCE])
        if failure is not None:
            raise ImpastoError(f"provider {NAME} does not work here: {failure}; use another --provider")
        session_options.add_provider_for_devices(devices()[:1], dict(self.options))
        return ort.InferenceSession(content, session_options, enable_fallback=0)


def probe(*, build: bool = False, software: bool = False) -> Availability:
    """Look for the plugin and for adapters, then register the plugin, once in the process.

    Args:
        build: has no meaning here.
        software: a software adapter will do; without one, SwiftShader's driver is looked for.
    """
    if not installed():
        return Availability(NAME, False, f"its plugin is not installed; {FIX}")
    try:
        if software:
            _use_software()
        found = adapters()
    except ImpastoError as error:
        return Availability(NAME, False, str(error))
    if not found:
        return Availability(NAME, False, "no adapter found; install the GPU's Vulkan driver")
    if found[0].kind == SOFTWARE and not software:
        return Availability(
            NAME, False, f"its only adapter is software ({found[0].name}); --provider {NAME},software takes it"
        )
    failure = _register()
    return Availability(NAME, failure is None, failure or ", ".join(f"{item.name} ({item.kind})" for item in found))


@functools.cache
def adapters() -> tuple[Adapter, ...]:
    """Return the adapters that work, in the order in which the plugin prefers them.

    Raises:
        ImpastoError: they cannot be listed.
    """
    found = vulkan.adapters() if sys.platform == "linux" else _listed()
    return tuple(sorted(found, key=lambda item: _rank(item, "high-performance")))


def installed() -> bool:
    """Return whether the plugin's wheel is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


def devices() -> list[Any]:
    """Return the devices that the registered plugin lists; it takes any one of them, and its adapter by itself."""
    from impasto.engine.runtime.ort import onnxruntime as ort

    return [item for item in ort.get_ep_devices() if item.ep_name == ORT_NAME]


def best_precision(device_index: int = 0) -> str:
    """Return what "auto" stands for."""
    return "fp32"


def outdone(precision: str) -> str | None:
    """Return why "auto" leaves this provider; None if its adapter is a GPU of this machine."""
    adapter = adapters()[0]
    return None if adapter.kind in GPU else f"{adapter.name} is a {adapter.kind} adapter, and auto takes GPUs only"


def refusal(precision: str, device_index: int = 0) -> str | None:
    """Return why a precision cannot be used on an adapter of this machine; None if it can."""
    return None if precision == "fp32" else "no adapter with another format was at hand to test it on"


def provider(precision: str, device_index: int = 0, *, software: bool = False) -> Provider:
    """Return the provider.

    The layout is that of the graph: with the plugin's own default, NHWC, version 0.4 computes wrong convolutions of
    more than 4 channels whose number is no multiple of 4, without an error.

    Args:
        precision: fp32.
        device_index: of the adapters, as `adapters` lists them.
        software: has a meaning for `probe` alone.

    Raises:
        ImpastoError: there is no adapter of that index, or the plugin cannot be told to take it.
    """
    return WebGpu(
        NAME,
        ORT_NAME,
        precision,
        device="webgpu",
        device_index=device_index,
        options={_PREFERENCE: _preference(device_index), "preferredLayout": "NCHW"},
        whole=True,
        has_float64=False,
    )


def _preference(index: int) -> str:
    """Return the power preference with which the plugin takes an adapter."""
    found = adapters()
    if not 0 <= index < len(found):
        listed = ", ".join(f"{number} ({item.name})" for number, item in enumerate(found))
        raise ImpastoError(f"no adapter {index} of provider {NAME}: allowed are {listed}")
    for preference in _ORDERS:
        ranks = [_rank(item, preference) for item in found]
        if ranks.index(min(ranks)) == index:
            return preference
    raise ImpastoError(
        f"provider {NAME} cannot take adapter {index} ({found[index].name}): the plugin takes the first discrete or "
        f"the first integrated one; name its driver alone in {vulkan.ICD_VARIABLE}, or use --provider {NAME}"
    )


def _rank(adapter: Adapter, preference: str) -> int:
    """Return where adapters of a kind come with a power preference; software comes last."""
    order = (*_ORDERS[preference], "virtual", "unknown", SOFTWARE)
    return order.index(adapter.kind)


def _listed() -> tuple[Adapter, ...]:
    """Return the GPUs that ONNX Runtime lists for the plugin."""
    from impasto.engine.runtime.ort import onnxruntime as ort

    failure = _register()
    if failure is not None:
        raise ImpastoError(failure)
    hardware = [item.device for item in devices() if item.device.type == ort.OrtHardwareDeviceType.GPU]
    return tuple(
        Adapter(
            item.metadata.get("Description") or item.vendor or "GPU",
            "discrete" if item.metadata.get("Discrete") == "1" else "integrated",
        )
        for item in hardware
    )


def _use_software() -> None:
    if sys.platform != "linux":
        raise ImpastoError("a software adapter is taken on Linux alone")
    vulkan.use_software()
    adapters.cache_clear()


_taken: list[str] = []


def _other_adapter(preference: str) -> str | None:
    """Take an adapter for the process; return why not if the process has another one."""
    if not _taken:
        _taken.append(preference)
    if _taken[0] == preference:
        return None
    return "this process has another adapter already, and the plugin takes one in a process"


@functools.cache
def _register() -> str | None:
    """Make the plugin known to ONNX Runtime; return why it could not be."""
    from impasto.engine.runtime.ort import onnxruntime as ort

    if devices():  # the program that embeds us has registered it
        return None
    # ONNX Runtime sees fewer GPUs than Vulkan, as in containers. The adapters have been asked for, so that it may list
    # the processor in their place.
    if sys.platform == "linux":
        os.environ[_LISTED_WITHOUT_GPU] = "1"
    ort.set_default_logger_severity(4)  # it would warn of the variable
    try:
        path = importlib.import_module(_PACKAGE).get_library_path()
        ort.register_execution_provider_library(_REGISTRATION, path)
    except Exception as error:
        return f"its plugin does not load ({one_line(error, 200)}); {FIX} again"
    return None if devices() else "its plugin lists no device; install the GPU's driver"
