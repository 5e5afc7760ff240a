"""Who takes part in a comparison: the project in the ways asked for, PyTorch in its own, and who could not be had."""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from impasto.bench.contenders.own import OwnBatch, OwnContender
from impasto.bench.contenders.variants import Variant
from impasto.bench.sampling import Watch
from impasto.bench.subject import Subject
from impasto.engine.runtime import precision as precisions
from impasto.engine.runtime import providers
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.bench.contenders.torch_rival import TorchRival

Way = tuple[str, str]
"""A provider and a precision."""

Absent = dict[str, str]
"""Who did not take part, and why."""

EACH = 1
"""The host looks at a loop on the device after each evaluation: an image is scored with the loss, evaluations and
seconds of its own step, and a sample is one step. That costs a read of some 64 bytes an evaluation."""


def possible(ways: Iterable[Way], *, build_engines: bool) -> tuple[list[Way], list[Absent]]:
    """Return the ways that there are here, and those whose provider works but lacks the precision.

    Raises:
        ImpastoError: a name is unknown, a provider does not work here, or no way is left.
    """
    found: list[Way] = []
    absent: list[Absent] = []
    for provider, precision in ways:
        if precision in precisions.NAMES:
            providers.choose(provider, build_engines=build_engines)
        try:
            providers.choose(provider, precision, build_engines=build_engines)
        except ImpastoError as error:
            if precision not in precisions.NAMES:
                raise
            absent.append({"name": f"impasto {provider} {precision}", "why": str(error)})
        else:
            found.append((provider, precision))
    if not found:
        raise ImpastoError("; ".join(dict.fromkeys(item["why"] for item in absent)))
    return found, absent


def own_entries(subject: Subject, ways: Iterable[Way], size_px: int, stack: ExitStack) -> list[OwnBatch]:
    """Return the project in every way; two that turn out to be the same count once. The stack closes their engines."""
    found: dict[str, OwnBatch] = {}
    for provider, precision in ways:
        begin_s = time.perf_counter()
        engine = stack.enter_context(replace(subject, provider=provider, precision=precision).open(report_every=EACH))
        make = OwnContender if subject.batch == 1 else OwnBatch
        own = make(engine, subject, size_px, begin_s=begin_s)
        if isinstance(own, OwnContender):
            own.facts |= {"loop_asked": subject.loop, "report_every": EACH}
        found.setdefault(own.name, own)
    return list(found.values())


def rival_entries(
    subject: Subject,
    variants: Sequence[Variant],
    size_px: int,
    own: OwnBatch,
    watch: Watch,
    stack: ExitStack,
    device: str,
) -> tuple["TorchRival", list["TorchRival"], list[Absent]]:
    """Return the baseline, the other rivals, and who could not be had here, with the reason.

    The baseline is the first of the variants. All share network and start of ``own``. The stack closes them.

    Raises:
        ImpastoError: the network has operators that the rivals lack.
    """
    import torch

    from impasto.bench.contenders.torch_rival import TorchRival

    if subject.threads:
        torch.set_num_threads(subject.threads)
    content, style = (
        np.stack(pictures).astype(np.float32) / np.float32(255)
        for pictures in zip(*subject.pairs(size_px), strict=True)
    )

    def build(variant: Variant) -> TorchRival:
        watch.stage(f"{size_px} px, setting up torch {variant.name}", 1)
        rival = TorchRival(variant, own.features, content, style, subject.settings, device=device, start=own.start)
        stack.callback(rival.close)
        return rival

    baseline = build(variants[0])
    rivals: list[TorchRival] = []
    absent: list[Absent] = []
    for variant in variants[1:]:
        try:
            rivals.append(build(variant))
        except Exception as error:  # a compiler, driver or memory of its own that PyTorch lacks here
            reason = " ".join(str(error).split())[:300]
            absent.append({"name": f"torch {variant.name}", "why": f"{type(error).__name__}: {reason}"})
    return baseline, rivals, absent
