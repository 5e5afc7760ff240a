"""CUDA: cuDNN's and cuBLAS' kernels, through ONNX Runtime's GPU wheel."""

from dataclasses import dataclass
from typing import Any

from impasto.engine.runtime.providers import nvidia
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.models.errors import ImpastoError

NAME = "cuda"
ORT_NAME = "CUDAExecutionProvider"
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
_AMPERE = (8, 0)  # the first with TF32 and bfloat16
SEARCHES = ("exhaustive", "heuristic")
FIX = "pip install 'impasto[cuda]'"
_NHWC, _LIMIT = "prefer_nhwc", "gpu_mem_limit"


@dataclass(frozen=True)
class Cuda(Provider):
    """The provider, with what it knows of its options and its memory."""

    capture_option = "enable_cuda_graph"

    def allows(self, precision: str) -> bool:
        """Return whether its options go with another precision: channels last do not with bf16."""
        return precision != "bf16" or _NHWC not in self.options

    def free_memory(self) -> int | None:
        """Return the bytes that the driver has, or the limit that was set if that is less."""
        free, limit = nvidia.free_memory(self.device_index), self.options.get(_LIMIT)
        return free if free is None or limit is None else min(free, int(limit))


def probe(*, build: bool = False) -> Availability:
    """Ask the driver, then the wheel, then load the provider's libraries and cuDNN."""
    found = nvidia.gpus()
    if not found:
        return Availability(NAME, False, nvidia.no_gpu())
    failure = nvidia.load_failure(NAME, ORT_NAME, FIX) or nvidia.no_cudnn(FIX)
    return Availability(NAME, failure is None, failure or ", ".join(gpu.name for gpu in found))


def best_precision(device_index: int = 0) -> str:
    """Return what "auto" stands for: tf32, which keeps float32's range, on a GPU that has it; else fp32."""
    return "tf32" if refusal("tf32", device_index) is None else "fp32"


def refusal(precision: str, device_index: int = 0) -> str | None:
    """Return why a precision cannot be used on a GPU of this machine; None if it can."""
    if precision not in PRECISIONS:
        return f"it has {', '.join(PRECISIONS)}"
    if precision not in ("tf32", "bf16"):
        return None
    gpu = next((gpu for gpu in nvidia.gpus() if gpu.index == device_index), None)
    return f"{gpu.name} is older than Ampere" if gpu is not None and gpu.compute < _AMPERE else None


def provider(precision: str, device_index: int = 0, **settings: Any) -> Provider:
    """Return the provider with the options that `options` returns for these arguments.

    Raises:
        ImpastoError: as `options`; there is no GPU of that index, or it has no kernels for that precision and layout.
    """
    check_device(device_index)
    if settings.get("nhwc") and precision == "bf16":
        raise ImpastoError(
            "provider cuda has no nhwc in bf16: ONNX Runtime has no such convolutions; leave nhwc out, or use fp16"
        )
    return Cuda(
        NAME,
        ORT_NAME,
        precision,
        device="cuda",
        device_index=device_index,
        options=options(precision, device_index, **settings),
        typed=True,
    )


def options(
    precision: str,
    device_index: int = 0,
    *,
    memory_limit_mib: int = 0,
    nhwc: bool = False,
    graph: bool = True,
    search: str = "exhaustive",
) -> dict[str, str]:
    """Return the provider's options.

    TF32 is on by default in ONNX Runtime; here it is on in tf32 alone. In fp16 and bf16 the convolutions have those
    types in the graph, and what stays float32, Gram matrices and losses, is to be float32. The algorithm search DEFAULT
    is about four times slower than the others (onnxruntime#22705).

    Args:
        precision: of `PRECISIONS`.
        device_index: of several GPUs.
        memory_limit_mib: of ONNX Runtime's arena; 0 is no limit.
        nhwc: channels last inside the graph. It needs constant weights, which the objective has; not for bf16, whose
            convolutions have no such kernels.
        graph: capture the evaluation as a CUDA graph at the first run and replay it afterwards, where every node is on
            the GPU; otherwise, and where capturing fails, it runs node by node. One evaluation at a time.
        search: of `SEARCHES`: how cuDNN's algorithms are found at the first run, by trying them or by rules.

    Raises:
        ImpastoError: a value is out of range.
    """
    if search not in SEARCHES:
        raise ImpastoError(f"unknown search {search!r}: allowed are {', '.join(SEARCHES)}")
    if memory_limit_mib < 0:
        raise ImpastoError(f"bad memory {memory_limit_mib}: allowed are 0 (no limit) and more MiB")
    chosen = {
        "device_id": str(device_index),
        "use_tf32": "1" if precision == "tf32" else "0",
        "cudnn_conv_algo_search": search.upper(),
        "cudnn_conv_use_max_workspace": "1",
        "do_copy_in_default_stream": "1",
    }
    if memory_limit_mib:
        chosen[_LIMIT] = str(memory_limit_mib * 2**20)
        chosen["arena_extend_strategy"] = "kSameAsRequested"
    if nhwc:
        chosen[_NHWC] = "1"
    if graph:
        chosen[Cuda.capture_option] = "1"
    return chosen


def check_device(index: int) -> None:
    """Raise ImpastoError if there is no GPU of that index."""
    found = nvidia.gpus()
    if not 0 <= index < len(found):
        raise ImpastoError(f"no GPU {index}: allowed are 0 to {len(found) - 1}, as `nvidia-smi -L` lists them")
