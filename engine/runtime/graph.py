"""A graph in the form that sessions are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Graph:
    """A model for ONNX Runtime, with its large weights inside, beside it, or in memory.

    Attributes:
        content: a serialised model; or the path of one, whose weights may be in files beside it.
        weights: initializers that a serialised model leaves out, by name.
        optimised: whether ONNX Runtime has optimised it already, for this machine.
    """

    content: bytes | Path
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    optimised: bool = False
