"""ONNX Runtime on processors, float32, everywhere: with the project's own operators where they are, or without."""

from dataclasses import dataclass
from typing import Any

from impasto.engine.runtime import native_operators
from impasto.engine.runtime.providers.provider import CPU_ORT_NAME, Availability, Provider
from impasto.models.errors import ImpastoError

NAME = "cpu"


@dataclass(frozen=True)
class Cpu(Provider):
    """The provider, whose sessions know the project's own operators where graphs are made with them."""

    def _session(self, ort: Any, content: bytes | str, session_options: Any, threads: int) -> Any:
        if self.operators:
            native_operators.register(session_options)
        return super()._session(ort, content, session_options, threads)


def probe(*, build: bool = False) -> Availability:
    """Return that it works, and with which kernels."""
    found = native_operators.find()
    kernels = found.reason if found.path is not None else f"plain, because {found.reason}"
    return Availability(NAME, True, f"always there; {kernels}")


def best_precision(device_index: int = 0) -> str:
    """Return what "auto" stands for."""
    return "fp32"


def refusal(precision: str, device_index: int = 0) -> str | None:
    """Return why a precision cannot be used on this machine; None if it can."""
    return None if precision == "fp32" else "its kernels are float32"


def provider(precision: str, device_index: int = 0, *, operators: bool | None = None) -> Provider:
    """Return the provider.

    Args:
        precision: fp32.
        device_index: has no meaning here.
        operators: whether graphs are made with the project's own operators; None is where they can be used.

    Raises:
        ImpastoError: they are asked for and cannot be used here.
    """
    found = native_operators.find()
    if operators and found.path is None:
        raise ImpastoError(f"provider {NAME},native does not work here: {found.reason}; use --provider {NAME}")
    wanted = found.path is not None if operators is None else operators
    return Cpu(NAME, CPU_ORT_NAME, precision, operators=found.identity if wanted else ())
