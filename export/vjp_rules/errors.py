"""The one exception of the gradient transformation."""

from impasto.models.errors import ImpastoError

FIX_SIZES = "fix the sizes of the model's inputs, with --shape NAME=1x3x224x224 on the command line"


class GradientError(ImpastoError):
    """No gradient can be built: a wrong name, an operator without a rule, a use without a derivative."""
