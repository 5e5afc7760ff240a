"""In what numbers the convolutions run, and what that asks of the optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """A number format of the convolutions; images, losses, gradients and the optimiser are float32 in all of them.

    Attributes:
        name: as on the command line.
        loss_noise: relative error of the loss that the optimiser's line search takes for nothing.
        safer: the format to go on with where a value is not finite; None if there is none.
    """

    name: str
    loss_noise: float
    safer: str | None


# fp16 overflows at 65504, which unnormalised features can reach; bf16 and tf32 have float32's range.
PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32", 1e-5, None),
        Precision("tf32", 5e-4, "fp32"),  # float32 with a mantissa of 10 bits in products
        Precision("fp16", 2e-3, "bf16"),
        Precision("bf16", 2e-3, "fp32"),
        Precision("bf16-typed", 2e-3, "fp32"),  # by the graph's types, where bf16 is a provider's own way
    )
}
NAMES = ("auto", *PRECISIONS)
