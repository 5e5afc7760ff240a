"""ONNX Runtime's own kernels for processors: float32, everywhere."""

from impasto.engine.runtime.providers.provider import CPU_ORT_NAME, Availability, Provider

NAME = "cpu"


def probe(*, build: bool = False) -> Availability:
    """Return that it works."""
    return Availability(NAME, True, "always there")


def best_precision(device_index: int = 0) -> str:
    """Return what "auto" stands for."""
    return "fp32"


def refusal(precision: str, device_index: int = 0) -> str | None:
    """Return why a precision cannot be used on this machine; None if it can."""
    return None if precision == "fp32" else "its kernels are float32"


def provider(precision: str, device_index: int = 0) -> Provider:
    """Return the provider."""
    return Provider(NAME, CPU_ORT_NAME, precision)
