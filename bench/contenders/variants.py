"""The ways of running the objective in PyTorch, as data."""

from collections.abc import Sequence
from dataclasses import dataclass

from impasto.models.errors import ImpastoError

BASELINE = "eager"


@dataclass(frozen=True)
class Variant:
    """One way.

    Attributes:
        name: on the command line; a series is called "torch NAME".
        autocast: "" or the type that `torch.autocast` takes, "bf16" or "fp16".
        compiled: by `torch.compile`.
        channels_last: the layout of weights, pictures and activations.
        cuda_graph: captured once and replayed; with `compiled` it is PyTorch's own mode "reduce-overhead".
        tf32: float32 products and convolutions may use it; on a GPU only.
        gpu: whether it needs one.
    """

    name: str
    autocast: str = ""
    compiled: bool = False
    channels_last: bool = False
    cuda_graph: bool = False
    tf32: bool = False
    gpu: bool = False


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(BASELINE),
        Variant("eager-channels-last", channels_last=True),
        Variant("compile", compiled=True),
        Variant("autocast-bf16", autocast="bf16"),
        Variant("autocast-bf16-channels-last", autocast="bf16", channels_last=True),
        Variant("eager-tf32", tf32=True, gpu=True),
        Variant("compile-tf32", compiled=True, tf32=True, gpu=True),
        Variant("cuda-graph-tf32", cuda_graph=True, tf32=True, gpu=True),
        Variant("autocast-fp16-channels-last", autocast="fp16", channels_last=True, tf32=True, gpu=True),
        Variant(
            "compile-fp16-channels-last-cuda-graph",
            autocast="fp16",
            compiled=True,
            channels_last=True,
            cuda_graph=True,
            tf32=True,
            gpu=True,
        ),
    )
}


def choose(names: Sequence[str], *, gpu: bool) -> list[Variant]:
    """Return the variants of those names, the baseline first and always; without names all that can run.

    Raises:
        ImpastoError: an unknown name, or one that needs a GPU where none is used.
    """
    allowed = [name for name, variant in VARIANTS.items() if gpu or not variant.gpu]
    for name in names:
        if name not in VARIANTS:
            raise ImpastoError(f"unknown --against {name!r}: allowed are {', '.join(allowed)}")
        if name not in allowed:
            raise ImpastoError(
                f"--against {name} needs a GPU that PyTorch finds; allowed here are {', '.join(allowed)}"
            )
    return [VARIANTS[name] for name in allowed if not names or name in names or name == BASELINE]
