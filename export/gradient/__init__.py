"""The gradient of any ONNX model, as a graph transformation.

`walk` is reverse mode without an operator's name, and `impasto.export.vjp_rules` has the rules. The other modules make
a model ready for the walk (`preparation`, `expansion` and what these use), check a result (`check`), or read and write
files (`model_file`).
"""

from impasto.export.gradient.walk import GradientError, gradient

__all__ = ["GradientError", "gradient"]
