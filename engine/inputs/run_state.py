"""The state of a run as data, with which another process or machine can continue it."""

from collections.abc import Mapping
from dataclasses import dataclass

from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.scales import ScaleDone
from impasto.engine.optimisers.solution import State
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

LIMITS = ("iterations", "evaluations", "timeout_s")


@dataclass(frozen=True, eq=False)
class RunState:
    """A run at its latest step. A run that continues from it ends at the pixels of a run that never stopped.

    This holds on the CPU provider of one machine, with the same versions.

    Attributes:
        settings: settings of the run; its limits count from the start of the run.
        scene: the content image, at the size of the result.
        painting: the style image at its own size for the result, or the saved style.
        from_noise: whether the run started from noise.
        optimiser: the optimiser's arrays by name; "x" is the image, flat float32, planes of R, G and B, 0..1.
        loop: "host" or "device": where the optimiser works.
        iteration: accepted steps so far.
        evaluations: runs of loss and gradient so far.
        optimiser_from: iterations and evaluations of the run before the current optimiser began.
        loss: the total at the image.
        terms: every weighted term at the image, by name.
        initial_terms: every weighted term at the start of the run.
        seconds: seconds since the run was requested.
        model: the network's name.
        model_sha256: hash of the network's file.
        precision: precision of the convolutions.
        scale: steps of the image's scale below the result, as `impasto.engine.inputs.scales.Scale` counts them.
        scales_done: the scales that the run has left, in their order.
    """

    settings: Settings
    scene: Picture
    painting: Painting
    from_noise: bool
    optimiser: State
    loop: str
    iteration: int
    evaluations: int
    optimiser_from: tuple[int, int]
    loss: float
    terms: Mapping[str, float]
    initial_terms: Mapping[str, float]
    seconds: float
    model: str
    model_sha256: str
    precision: str
    scale: int = 0
    scales_done: tuple[ScaleDone, ...] = ()

    def optimiser_for(self, loop: str, precision: str) -> State | None:
        """Return the optimiser's arrays if the new loop and precision can use them; None if only the image is used.

        The host and the device have different arrays, and losses in different precisions cannot be compared.
        """
        usable = (self.loop, self.precision) == (loop, precision) and len(self.optimiser) > 1
        return self.optimiser if usable else None


def check_only_limits_differ(before: Settings, after: Settings) -> None:
    """Check that a run can continue with new settings.

    Raises:
        ImpastoError: a setting that is not a limit differs.
    """
    for name, one in vars(before).items():
        if name not in LIMITS and one != (other := getattr(after, name)):
            raise ImpastoError(
                f"a run continues with its own settings: its {name} is {one}, not {other}; only "
                f"{', '.join(LIMITS)} may change"
            )
