"""The table of gradient rules, one module per family of operators."""

# Importing a family registers its rules.
from impasto.export.vjp_rules import (  # noqa: F401
    activations,
    arithmetic,
    convolution,
    einsum,
    elementwise,
    fourier,
    grid_sample,
    indexing,
    linear,
    normalization,
    padding,
    pooling,
    quantization,
    recurrent,
    reduction,
    resampling,
    scattering,
    shape,
)
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe
from impasto.export.vjp_rules.table import EXPANSIONS, FLAT, MOVES, RULES, Rule, rule, supported_operators

__all__ = [
    "EXPANSIONS",
    "FLAT",
    "MOVES",
    "RULES",
    "Emission",
    "GradientError",
    "Rule",
    "describe",
    "rule",
    "supported_operators",
]
