"""TensorRT: the whole objective as one engine, built once per graph, size, precision, GPU and version.

The graph's own types decide (strongly typed): none of the provider's precision flags is set, which is how it enters
that mode. Engines and kernel timings are kept in the user's cache.
"""

import ctypes
import functools
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.engine.runtime.providers import cuda, nvidia
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.models.store import cache_dir

NAME = "tensorrt"
ORT_NAME = "TensorrtExecutionProvider"
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
_LIBRARY = "nvinfer_10.dll" if sys.platform == "win32" else "libnvinfer.so.10"
_FIX = "install TensorRT 10's libraries (libnvinfer) from NVIDIA"
ENGINE = "*.engine"
best_precision = cuda.best_precision


@dataclass(frozen=True)
class TensorRt(Provider):
    """The provider with its engines' folder, which is made when the first engine is."""

    capture_option = "trt_cuda_graph_enable"

    def _session(self, ort: Any, content: bytes | str, session_options: Any, threads: int) -> Any:
        Path(self.options["trt_engine_cache_path"]).mkdir(parents=True, exist_ok=True)
        return super()._session(ort, content, session_options, threads)


def probe(*, build: bool = False) -> Availability:
    """Ask the driver, then load the libraries, then look for engines.

    Any engine for this GPU and version will do: which graph a run needs is known only later, and ONNX Runtime alone
    knows what it calls that graph's engine. A run of another size or form then builds its own. Where engines may be
    built, an empty cache is no reason against it.
    """
    found = nvidia.gpus()
    if not found:
        return Availability(NAME, False, nvidia.no_gpu())
    version = library_version()
    if version is None:
        return Availability(NAME, False, f"{_LIBRARY} does not load; {_FIX}")
    failure = nvidia.load_failure(NAME, ORT_NAME, _FIX)
    if failure is not None:
        return Availability(NAME, False, failure)
    if not build and not any(engine_dir(found[0], version).glob(ENGINE)):
        return Availability(NAME, False, "no engine is built yet; use --build-engines")
    return Availability(NAME, True, f"{found[0].name}, TensorRT {version}; a graph without an engine waits minutes")


def refusal(precision: str, device_index: int = 0) -> str | None:
    """Return why a precision cannot be used on a GPU of this machine; None if it can.

    The provider has no switch for TF32, which TensorRT uses wherever it may; NVIDIA's variable is the only one.
    """
    if precision == "fp32" and os.environ.get(TF32_OVERRIDE) != "0":
        return f"it multiplies float32 in TF32 unless {TF32_OVERRIDE}=0 is in the environment"
    return cuda.refusal(precision, device_index)


def provider(precision: str, device_index: int = 0, **settings: Any) -> Provider:
    """Return the provider with the options that `options` returns for these arguments.

    Raises:
        ImpastoError: there is no GPU of that index.
    """
    cuda.check_device(device_index)
    folder = engine_dir(nvidia.gpus()[device_index], library_version() or "unknown")
    return TensorRt(
        NAME,
        ORT_NAME,
        precision,
        device="cuda",
        device_index=device_index,
        options=options(folder, precision, device_index, **settings),
        typed=True,
        whole=True,
    )


def options(
    folder: Path, precision: str, device_index: int = 0, *, workspace_mib: int = 0, graph: bool = True
) -> dict[str, str]:
    """Return the provider's options.

    ONNX Runtime names an engine by its graph's hash and the GPU's architecture, and the graph has static shapes and
    its own types; the folder adds GPU and version, and the prefix tells fp32 from tf32, which share a graph.

    Args:
        folder: of the engines.
        precision: of `PRECISIONS`.
        device_index: of several GPUs.
        workspace_mib: memory that a kernel may use while it runs; 0 is no limit.
        graph: capture the evaluation as a CUDA graph at the first run, as for `cuda.options`.
    """
    chosen = {
        "device_id": str(device_index),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_engine_cache_prefix": f"impasto_{precision}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_min_subgraph_size": "1",
    }
    if workspace_mib:
        chosen["trt_max_workspace_size"] = str(workspace_mib * 2**20)
    if graph:
        chosen[TensorRt.capture_option] = "1"
    return chosen


def engine_dir(gpu: nvidia.Gpu, version: str) -> Path:
    """Return the folder of one GPU model's engines for one version of TensorRT; it may not exist."""
    model = "-".join(gpu.name.lower().split())
    return engines_dir() / f"{model}-sm{gpu.compute[0]}{gpu.compute[1]}-{version}"


def engines_dir() -> Path:
    """Return the folder of all engines; it may not exist."""
    return cache_dir() / "tensorrt"


@functools.cache
def library_version() -> str | None:
    """Return TensorRT's version as "10.13.2"; None if the library does not load."""
    try:
        number = int(ctypes.CDLL(_LIBRARY).getInferLibVersion())
    except (OSError, AttributeError):
        return None
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


@dataclass(frozen=True)
class CachedEngine:
    """One engine that was built.

    Attributes:
        machine: GPU, architecture and TensorRT's version, as its folder is named.
        name: of the file: precision, the graph's hash, and the architecture.
        megabytes: its size.
    """

    machine: str
    name: str
    megabytes: float


def list_engines() -> list[CachedEngine]:
    """Return every engine in the user's cache, for whatever GPU."""
    paths = sorted(engines_dir().glob(f"*/{ENGINE}"))
    return [CachedEngine(path.parent.name, path.stem, path.stat().st_size / 1e6) for path in paths]


def clear_engines() -> tuple[int, float]:
    """Delete all engines, profiles and timings; return how many engines there were and the megabytes given back."""
    count = len(list_engines())
    megabytes = 0.0
    for folder in engines_dir().glob("*/"):
        megabytes += sum(path.stat().st_size for path in folder.glob("*")) / 1e6
        shutil.rmtree(folder)
    return count, megabytes
