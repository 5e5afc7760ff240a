"""What the NVIDIA driver and ONNX Runtime's GPU libraries say of themselves, asked without making a session.

ONNX Runtime's own list cannot be trusted: its GPU wheel names CUDA and TensorRT on machines that have neither, and
falls back to the CPU in silence.
"""

import contextlib
import ctypes
import functools
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WINDOWS = sys.platform == "win32"
_DRIVER = "nvcuda.dll" if _WINDOWS else "libcuda.so.1"
_CUDNN = "cudnn64_9.dll" if _WINDOWS else "libcudnn.so.9"
_COMPUTE_MAJOR, _COMPUTE_MINOR = 75, 76  # CUdevice_attribute
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU as the driver describes it.

    Attributes:
        index: for the option of that name.
        name: as "NVIDIA H200".
        compute: compute capability as (9, 0).
    """

    index: int
    name: str
    compute: tuple[int, int]


@functools.cache
def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that the driver finds; none if there is no driver."""
    driver, count = _driver(), ctypes.c_int(0)
    if driver is None:
        return ()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_describe(driver, index) for index in range(count.value))


def no_gpu() -> str:
    """Return why there is no GPU, in one clause."""
    return f"no NVIDIA driver ({_DRIVER} not found)" if _driver() is None else "the NVIDIA driver finds no GPU"


def free_memory(index: int) -> int | None:
    """Return the bytes of a GPU that no process has; None if the driver does not say.

    The driver only says so inside a context. The one that all of CUDA shares is taken, and kept: ONNX Runtime needs it
    soon.
    """
    driver = _driver()
    if driver is None:
        return None
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(0), ctypes.c_size_t(0)
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), index) != 0 or driver.cuCtxPushCurrent_v2(context) != 0:
        return None
    status = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    return free.value if status == 0 else None


@functools.cache
def load_failure(provider: str, ort_name: str, fix: str) -> str | None:
    """Return why ONNX Runtime's library for a provider does not load; None if it does.

    Args:
        provider: "cuda" or "tensorrt", as in the library's file name.
        ort_name: the provider's name in ONNX Runtime.
        fix: what to do, in a few words.
    """
    from impasto.engine.runtime.ort import onnxruntime as ort

    if ort_name not in ort.get_available_providers():
        return f"the installed onnxruntime has no {provider}; {fix}"
    folder = Path(ort.__path__[0]) / "capi"
    try:
        said = _preload(ort)
        if said and _WINDOWS:
            return f"{said}; {fix}"
        if not _WINDOWS:  # there the library finds the shared part by itself, and only from within ONNX Runtime
            ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
            ctypes.CDLL(str(folder / f"libonnxruntime_providers_{provider}.so"))
    except OSError as error:
        return f"its libraries do not load ({error}); {fix}"
    return None


@functools.cache
def no_cudnn(fix: str) -> str | None:
    """Return why cuDNN does not load; None if it does.

    ONNX Runtime loads it at the first convolution, and would only say so there. Ask `load_failure` first, which looks
    where pip puts it. The fix is what to do, in a few words.
    """
    try:
        ctypes.CDLL(_CUDNN)
    except OSError:
        return f"cuDNN 9 does not load ({_CUDNN}); {fix}"
    return None


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError:
        return None


def _preload(ort: Any) -> str:
    """Load CUDA's and cuDNN's libraries from where pip puts them; return what ONNX Runtime would print of it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        ort.preload_dlls(directory="")
    lines = [line for line in printed.getvalue().splitlines() if line.startswith("Failed to load")]
    return lines[0] if lines else ""


def _describe(driver: ctypes.CDLL, index: int) -> Gpu:
    name, major, minor = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDeviceGetName(name, _NAME_BYTES, index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_MAJOR, index)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _COMPUTE_MINOR, index)
    return Gpu(index, name.value.decode(errors="replace"), (major.value, minor.value))
