"""Which execution provider was asked for, which one works, and why: one module for each, and the choice among them.

ONNX Runtime is imported when a provider is asked for, not when this package is.
"""

from impasto.engine.providers.beside import beside
from impasto.engine.providers.choice import NAMES, availability, choose, safer, supported
from impasto.engine.providers.provider import Availability, Provider

__all__ = ["NAMES", "Availability", "Provider", "availability", "beside", "choose", "safer", "supported"]
