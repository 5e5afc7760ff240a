"""What transfers have in common that run beside each other."""

from dataclasses import dataclass

from impasto.engine.compile.graph_spec import Form
from impasto.engine.optimisers.lbfgs import LbfgsSettings


@dataclass(frozen=True)
class Kind:
    """Of one kind are transfers whose images are evaluated at once.

    Attributes:
        form: of the graph, with a batch of 1.
        lbfgs: how the optimiser works, where they share its loop on the device, but for the loss's noise, which the
            provider knows; None where each has its own on the host.
    """

    form: Form
    lbfgs: LbfgsSettings | None = None
