"""The table of gradient rules, one module per family of operators."""

from impasto.export.vjp_rules import (
    arithmetic,
    convolution,
    elementwise,
    linear,
    pooling,
    reduction,
    shape,
)
from impasto.export.vjp_rules.emission import Emission, describe
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.table import RULES, Rule, rule, supported_operators

__all__ = ["RULES", "Emission", "GradientError", "Rule", "describe", "rule", "supported_operators"]

_FAMILIES = (arithmetic, convolution, elementwise, linear, pooling, reduction, shape)
