"""Which execution provider was asked for, which one works, and why: one module for each, and the choice among them.

ONNX Runtime is imported when a provider is asked for, not when this package is.
"""

from impasto.engine.runtime.providers.beside import beside
from impasto.engine.runtime.providers.choice import NAMES, availability, choose, safer, supported
from impasto.engine.runtime.providers.provider import Availability, Provider

__all__ = ["NAMES", "Availability", "Provider", "availability", "beside", "choose", "safer", "supported"]
