"""CUDA: cuDNN's and cuBLAS' kernels, through ONNX Runtime's GPU wheel."""

from dataclasses import dataclass

from impasto.engine.providers import nvidia
from impasto.engine.providers.provider import Availability, Provider
from impasto.models.errors import ImpastoError

NAME = "cuda"
ORT_NAME = "CUDAExecutionProvider"
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
_AMPERE = (8, 0)  # the first with TF32 and bfloat16
_FIX = "pip install 'impasto[cuda]'"
_MIB = 2**20


@dataclass(frozen=True)
class CudaSettings:
    """What can be set beside the precision.

    Attributes:
        device_index: of several GPUs.
        memory_limit_mib: of ONNX Runtime's arena; 0 is no limit.
        nhwc: channels last inside the graph. It needs constant weights, which the objective has.
        graph: capture the evaluation as a CUDA graph at the first run and replay it afterwards. Every node must be on
            the GPU; one evaluation at a time.
    """

    device_index: int = 0
    memory_limit_mib: int = 0
    nhwc: bool = False
    graph: bool = False


def probe() -> Availability:
    """Ask the driver, then the wheel, then load the provider's libraries."""
    found = nvidia.gpus()
    if not found:
        return Availability(NAME, False, nvidia.no_gpu())
    failure = nvidia.load_failure(NAME, ORT_NAME, _FIX)
    return Availability(NAME, failure is None, failure or ", ".join(gpu.name for gpu in found))


def best_precision() -> str:
    """Return what "auto" stands for: tf32, which keeps float32's range, on GPUs that have it; else fp32."""
    return "tf32" if refusal("tf32") is None else "fp32"


def refusal(precision: str) -> str | None:
    """Return why a precision cannot be used on this machine; None where it can."""
    if precision not in PRECISIONS:
        return f"it has {', '.join(PRECISIONS)}"
    old = [gpu for gpu in nvidia.gpus() if gpu.compute < _AMPERE]
    return f"{old[0].name} is older than Ampere" if precision in ("tf32", "bf16") and old else None


def provider(precision: str, settings: CudaSettings | None = None) -> Provider:
    """Return the provider.

    Raises:
        ImpastoError: there is no GPU of that index.
    """
    settings = settings or CudaSettings()
    check_device(settings.device_index)
    return Provider(
        NAME,
        ORT_NAME,
        precision,
        device="cuda",
        device_index=settings.device_index,
        options=options(precision, settings),
        typed=True,
        whole=settings.graph,
    )


def options(precision: str, settings: CudaSettings) -> dict[str, str]:
    """Return the provider's options.

    TF32 is on by default in ONNX Runtime; fp32 means fp32 here. In fp16 and bf16 the convolutions have those types in
    the graph, and the products that stay float32 may use TF32, whose mantissa is as long. The algorithm search
    DEFAULT is about four times slower than the others (onnxruntime#22705).
    """
    chosen = {
        "device_id": str(settings.device_index),
        "use_tf32": "0" if precision == "fp32" else "1",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "do_copy_in_default_stream": "1",
    }
    if settings.memory_limit_mib:
        chosen["gpu_mem_limit"] = str(settings.memory_limit_mib * _MIB)
        chosen["arena_extend_strategy"] = "kSameAsRequested"
    if settings.nhwc:
        chosen["prefer_nhwc"] = "1"
    if settings.graph:
        chosen["enable_cuda_graph"] = "1"
    return chosen


def check_device(index: int) -> None:
    """Raise ImpastoError if there is no GPU of that index."""
    found = nvidia.gpus()
    if not 0 <= index < len(found):
        raise ImpastoError(f"no GPU {index}: allowed are 0 to {len(found) - 1}, as `nvidia-smi -L` lists them")
