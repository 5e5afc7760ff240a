"""OpenVINO on Intel processors, through the plugin wheel ``onnxruntime-ep-openvino``.

The plugin lists a device only where ONNX Runtime finds an Intel one; on others it registers and lists nothing.
Its own default precision is bfloat16 on processors with AMX, in silence; here the precision is always explicit.
Compiled models are not cached: loading one of OpenVINO's blobs takes longer than compiling (0.72 s against 0.53 s for
the VGG-19 objective at 512x512, 104 MB on disk).
"""

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.models.errors import ImpastoError, one_line

NAME = "openvino"
ORT_NAME = "OpenVINOExecutionProvider"  # beside it the plugin lists OpenVINOExecutionProvider.AUTO
TYPED = "bf16-typed"
PRECISIONS = ("fp32", "bf16", TYPED)
HINTS = {"fp32": "f32", "bf16": "bf16"}
_REGISTRATION = "impasto.openvino"
_WHEEL = "onnxruntime-ep-openvino"


@dataclass(frozen=True)
class OpenVino(Provider):
    """The provider as a plugin: sessions are given devices, and threads through OpenVINO's own configuration.

    A session copies its inputs when they are bound.
    """

    shares_memory: bool = False

    def exact(self) -> Provider:
        """Return the provider whose narrow types are in the graph, where OpenVINO would make all of it bfloat16."""
        return replace(self, precision=TYPED, typed=True) if self.precision == "bf16" else self

    def _session(self, ort: Any, content: bytes | str, session_options: Any, threads: int) -> Any:
        found = probe()  # which registers the plugin, should nobody have done so
        if not found.works:
            raise ImpastoError(f"provider {NAME} does not work here: {found.reason}; use --provider auto")
        session_options.intra_op_num_threads = 1  # ONNX Runtime's own pool would only stand by
        session_options.add_provider_for_devices(devices(), load_config(self.precision, threads))
        return ort.InferenceSession(content, session_options)


def probe(*, build: bool = False) -> Availability:
    """Register the plugin, once in the process, and look for a processor that it takes."""
    reason = _register()
    if reason is not None:
        return Availability(NAME, False, reason)
    if not devices():
        return Availability(NAME, False, f"its plugin takes Intel processors only and this is {cpu_info.name()}")
    precisions = ", ".join(name for name in PRECISIONS if refusal(name) is None)
    return Availability(NAME, True, f"{cpu_info.name()}, {precisions}")


def devices() -> list[Any]:
    """Return the processor as the registered plugin lists it: one device, or none. Its GPUs and NPUs are left out."""
    from impasto.engine.runtime.ort import onnxruntime as ort

    cpu = ort.OrtHardwareDeviceType.CPU
    return [item for item in ort.get_ep_devices() if item.ep_name == ORT_NAME and item.device.type == cpu][:1]


def best_precision(device_index: int = 0) -> str:
    """Return what "auto" stands for: bf16 where the processor multiplies it in matrix tiles (AMX), else fp32.

    With vector instructions, AVX512-BF16, an evaluation takes 1.4 to 1.5 times as long as in fp32
    (bench/results/compare-avx512-bf16.json).
    """
    return "bf16" if cpu_info.BF16_TILES in cpu_info.flags() and refusal("bf16") is None else "fp32"


def outdone(precision: str) -> str | None:
    """Return why "auto" leaves this provider to the processor's own; None if it is the faster one."""
    return "its fp32 is no faster than cpu's and starts later" if precision == "fp32" else None


def refusal(precision: str, device_index: int = 0) -> str | None:
    """Return why a precision cannot be used on this machine; None if it can."""
    if precision not in PRECISIONS:
        return "float16 overflows on processors" if precision == "fp16" else "processors have no such format"
    if precision != "fp32" and "BF16" not in _capabilities():
        return f"{cpu_info.name()} has no bfloat16"
    return None


def provider(precision: str, device_index: int = 0) -> Provider:
    """Return the provider.

    In bf16 OpenVINO runs all that it can in bfloat16. In bf16-typed it follows the graph's types: Gram matrices and
    losses are float32, and so is the first convolution (`impasto.export.precision`).
    """
    return OpenVino(NAME, ORT_NAME, precision, typed=precision == TYPED)


def load_config(precision: str, threads: int = 0) -> dict[str, str]:
    """Return the plugin's options: precision always explicit, one evaluation at a time with all threads.

    ACCURACY is its word for honouring every type in the graph; a precision hint would overrule them.
    """
    if precision == TYPED:
        numbers = {"EXECUTION_MODE_HINT": "ACCURACY"}
    else:
        numbers = {"INFERENCE_PRECISION_HINT": HINTS[precision], "EXECUTION_MODE_HINT": "PERFORMANCE"}
    config = {**numbers, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    return {"load_config": json.dumps({"CPU": config})}


def _capabilities() -> list[str]:
    """Return what OpenVINO says of the processor's arithmetic, as BF16 or INT8."""
    return [word for item in devices() for word in item.ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()]


@functools.cache
def _register() -> str | None:
    """Make the plugin known to ONNX Runtime; return why it could not be."""
    from impasto.engine.runtime.ort import onnxruntime as ort

    try:
        import onnxruntime_ep_openvino as plugin
    except ImportError:
        return f"its plugin is not installed; pip install {_WHEEL}"
    if devices():  # the program that embeds us has registered it
        return None
    try:
        ort.register_execution_provider_library(_REGISTRATION, plugin.get_library_path())
    except Exception as error:
        if "already registered" in str(error):
            return None
        return f"its plugin does not load ({one_line(error, 200)}); reinstall {_WHEEL}"
    return None
