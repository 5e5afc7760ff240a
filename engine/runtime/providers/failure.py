"""What ONNX Runtime, a driver or a library says when it fails, as one line with what to do about it."""

import functools
import re

_NO_MEMORY = re.compile(r"out of memory|failed to allocate|bad allocation|bad_alloc|CUDA failure 2\b", re.IGNORECASE)
_NO_LIBRARY = re.compile(r"cudnn|cublas|libcu|\.so\b|\.dll\b", re.IGNORECASE)
_STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_LONGEST = 240


@functools.cache
def failures() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: a class for each status, and what becomes of exceptions of C++."""
    from impasto.engine.runtime.ort import onnxruntime as ort

    kinds = (value for value in vars(ort.capi.onnxruntime_pybind11_state).values() if isinstance(value, type))
    return (*(kind for kind in kinds if issubclass(kind, Exception)), RuntimeError, MemoryError)


def failure_line(provider: str, precision: str, doing: str, error: Exception) -> str:
    """Return one line on what a provider cannot do, as "open the graph", with what ONNX Runtime says of it."""
    text = str(error).strip()
    said = _STATUS.sub("", text.splitlines()[0]) if text else type(error).__name__
    said = f"{said[:_LONGEST]}..." if len(said) > _LONGEST else said.rstrip(" .")
    return f"provider {provider} in {precision} cannot {doing}: {said}; {_advice(provider, text)}"


def _advice(provider: str, text: str) -> str:
    if _NO_MEMORY.search(text):
        return "use a smaller --size, --history or --batch, or --precision fp16 where the provider has it"
    if provider == "tensorrt":
        return "`impasto engines clear` deletes engines that may be broken; or use --provider cuda"
    if _NO_LIBRARY.search(text):
        return "see `impasto doctor`, or use another --provider"
    return "see `impasto doctor`" if provider == "cpu" else "use another --precision or --provider"
