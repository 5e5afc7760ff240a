"""The one exception of the gradient transformation."""

from impasto.models.errors import ImpastoError


class GradientError(ImpastoError):
    """No gradient can be built: a wrong name, an operator without a rule, a use without a derivative."""
