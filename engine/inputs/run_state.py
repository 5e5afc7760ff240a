"""A run as data: all that another process or machine needs to continue it."""

from collections.abc import Mapping
from dataclasses import dataclass

from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting
from impasto.engine.optimisers.solution import State
from impasto.engine.settings import Settings


@dataclass(frozen=True, eq=False)
class RunState:
    """A run at its latest step. A run that continues from it ends at the pixels of one that never stopped.

    That holds on the CPU provider, with the same versions and the same number of threads.

    Attributes:
        settings: of the run; its limits count from the start of the run.
        scene: the content image, at the size of the result.
        painting: the style image at its own size, or the saved style.
        from_noise: whether the run started from noise.
        optimiser: the optimiser's arrays by name; "x" is the image, flat float32, planes of R, G and B, 0..1.
        loop: "host" or "device": where the optimiser works.
        iteration: accepted steps so far.
        evaluations: runs of loss and gradient so far.
        optimiser_from: iterations and evaluations that were done before the optimiser at hand began.
        loss: at the image.
        terms: every weighted term by name.
        initial_terms: every weighted term at the start of the run.
        seconds: since the run was asked for.
        model: the network's name.
        model_sha256: of the network's file.
        precision: of the convolutions.
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
