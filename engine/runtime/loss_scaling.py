"""The factor that keeps float16 cotangents between underflow and overflow (Micikevicius et al., arXiv:1710.03740).

The gradient is linear in the terms' weights, so that the factor goes into those, and out of the results, without a node
in the graph. It is a power of two: no result is rounded by it.
"""

import math

WANTED_EXPONENT = 10  # of the image gradient's largest magnitude; the cotangents inside are about 255 times smaller
TOLERATED = 6  # exponents off, before the factor follows
BACK_OFF = 12  # exponents, where values were not finite
MOST_ATTEMPTS = 12  # covers 2^144, more than float32's range on one side


class LossScale:
    """A factor that follows the gradient's magnitude.

    Attributes:
        factor: to multiply the weights by, and to divide loss and gradient by.
    """

    def __init__(self) -> None:
        self.factor = 1.0

    def settle(self, largest: float) -> bool:
        """Learn from an evaluation; return whether it was no use and has to be repeated with the new factor.

        Args:
            largest: magnitude in the scaled gradient; infinite or NaN where a value is not finite.
        """
        if not math.isfinite(largest):
            self.factor *= 2.0**-BACK_OFF
            return True
        if largest == 0:
            return False  # a minimum, or an underflow that the next image ends
        off = WANTED_EXPONENT - math.frexp(largest)[1]
        if abs(off) > TOLERATED:
            self.factor *= 2.0**off
        return off > TOLERATED  # too small: what underflowed is lost
