"""The table of gradient rules, one module per family of operators."""

# Importing a family registers its rules.
from impasto.export.vjp_rules import (  # noqa: F401
    activations,
    arithmetic,
    convolution,
    einsum,
    elementwise,
    indexing,
    linear,
    normalization,
    padding,
    pooling,
    reduction,
    resampling,
    shape,
)
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe
from impasto.export.vjp_rules.table import FLAT, RULES, Rule, rule, supported_operators

__all__ = ["FLAT", "RULES", "Emission", "GradientError", "Rule", "describe", "rule", "supported_operators"]
