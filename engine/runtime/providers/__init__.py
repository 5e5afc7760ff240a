"""Which execution provider was asked for, which one works, and why: one module for each, and the choice among them.

ONNX Runtime is imported when a provider is asked for, not when this package is.
"""

from impasto.engine.runtime.providers.choice import (
    NAMES,
    availability,
    choose,
    explained,
    faster,
    parse,
    safer,
    step_provider,
    supported,
)
from impasto.engine.runtime.providers.provider import Availability, Provider

__all__ = [
    "NAMES",
    "Availability",
    "Provider",
    "availability",
    "choose",
    "explained",
    "faster",
    "parse",
    "safer",
    "step_provider",
    "supported",
]
