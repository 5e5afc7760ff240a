"""The one exception of the gradient transformation."""

from impasto.models.errors import ImpastoError


class GradientError(ImpastoError):
    """The gradient of this model cannot be built: a wrong name, an operator without a rule, a use without a derivative."""
