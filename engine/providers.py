"""Which execution provider was asked for, which one works, and why.

ONNX Runtime's own list cannot be trusted: its GPU wheel names CUDA and TensorRT on machines that have neither, and
falls back to the CPU in silence. Here a provider counts as working when the driver itself answers and the
provider's library loads.
"""

import ctypes
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Provider:
    """A provider ready to make sessions with.

    Attributes:
        name: as on the command line.
        ort_name: as ONNX Runtime spells it.
        device: where its buffers live, in ONNX Runtime's words.
        precision: of the convolutions.
        options: the provider's own.
        session_config: entries of the session's options.
    """

    name: str
    ort_name: str
    device: str = "cpu"
    precision: str = "fp32"
    options: Mapping[str, Any] = field(default_factory=dict)
    session_config: Mapping[str, str] = field(default_factory=dict)

    def runtime_version(self) -> str:
        """Return ONNX Runtime's version."""
        import onnxruntime as ort

        return str(ort.__version__)

    def chain(self) -> list[Any]:
        """Return what ONNX Runtime calls ``providers``: this one, then the CPU for what it lacks."""
        own: list[Any] = [(self.ort_name, dict(self.options))]
        return own if self.ort_name == CPU.ort_name else [*own, CPU.ort_name]


@dataclass(frozen=True)
class Availability:
    """Whether a provider works here, and the reason in one clause."""

    name: str
    works: bool
    reason: str


CPU = Provider("cpu", "CPUExecutionProvider")
# TF32 is off so that fp32 means fp32; DEFAULT algorithm search is several times slower than the others.
CUDA = Provider(
    "cuda",
    "CUDAExecutionProvider",
    device="cuda",
    options={"use_tf32": "0", "cudnn_conv_algo_search": "EXHAUSTIVE", "cudnn_conv_use_max_workspace": "1"},
)
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in (CUDA, CPU)}  # best first
NAMES = ("auto", *PROVIDERS)


def availability() -> list[Availability]:
    """Return every known provider, best first, with whether it works on this machine."""
    return [Availability(name, *_probe(name)) for name in PROVIDERS]


def choose(name: str = "auto") -> Provider:
    """Return the provider asked for; "auto" is the best that works.

    Raises:
        ImpastoError: the name is unknown, or the provider does not work here.
    """
    if name not in NAMES:
        raise ImpastoError(f"unknown provider {name!r}: allowed are {', '.join(NAMES)}")
    if name == "auto":
        return next(PROVIDERS[item.name] for item in availability() if item.works)
    works, reason = _probe(name)
    if not works:
        raise ImpastoError(f"provider {name} does not work here: {reason}; use --provider auto or see `impasto doctor`")
    return PROVIDERS[name]


@functools.cache
def _probe(name: str) -> tuple[bool, str]:
    return _probe_cuda() if name == "cuda" else (True, "always there")


def _probe_cuda() -> tuple[bool, str]:
    """Ask the driver, then the wheel, then load the provider's libraries."""
    import onnxruntime as ort

    count, reason = _cuda_devices()
    if not count:
        return False, reason
    if CUDA.ort_name not in ort.get_available_providers():
        return False, "the installed onnxruntime has no CUDA; pip install 'impasto[cuda]'"
    folder = ort.__path__[0] + "/capi/"
    library = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
    try:
        ort.preload_dlls(directory="")
        if sys.platform != "win32":
            ctypes.CDLL(folder + "libonnxruntime_providers_shared.so", mode=ctypes.RTLD_GLOBAL)
            ctypes.CDLL(folder + library)
    except OSError as error:
        return False, f"its libraries do not load ({error}); pip install 'impasto[cuda]'"
    return True, f"{count} GPU{'s' if count > 1 else ''} found"


def _cuda_devices() -> tuple[int, str]:
    """Return the number of GPUs by the driver's own count, and why there are none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0, f"no NVIDIA driver ({name} not found)"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return 0, "the NVIDIA driver finds no GPU"
    return count.value, ""
