"""The place where the optimiser's loop runs: on the host in NumPy, or in the memory of the device that evaluates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.session import Session
from impasto.models.errors import ImpastoError

LOOPS = ("auto", "host", "device")
GPU_REPORT_EVERY, LONGEST_REPORT = 10, 1000  # the device keeps a row of the log for each


@dataclass(frozen=True)
class OnDevice:
    """The inputs of a loop on the device (`impasto.engine.device.lbfgs`).

    Attributes:
        session: session of the objective, with a place for each sample.
        provider: provider of the session.
        threads: number of CPU threads; 0 is one per core.
        terms: names of the terms.
        coefficients: weights of the terms, [N, T].
        scaled: whether the graph computes in float16, whose cotangents need a factor.
        every: number of evaluations after which the host reads the log.
        demanded: whether the user demanded the device, so that a failure there is an error.
    """

    session: Session
    provider: Provider
    threads: int
    terms: tuple[str, ...]
    coefficients: NDArray[np.float32]
    scaled: bool
    every: int
    demanded: bool


@dataclass(frozen=True)
class LoopPlacement:
    """The user's choice of the place of the loop.

    On providers of the CPU "auto" is the host, because NumPy's Fourier transforms are faster there than matrix products
    (bench/results/loop-cpu.json).

    Attributes:
        loop: one of `LOOPS`.
        report_every: number of evaluations after which the host reads the log of a loop on the device; None is the
            provider's default.

    Raises:
        ImpastoError: a value is out of range.
    """

    loop: str = "auto"
    report_every: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.loop, str) or self.loop not in LOOPS:
            raise ImpastoError(f"unknown loop {self.loop!r}: allowed are {', '.join(LOOPS)}")
        if self.report_every is not None and not 1 <= self.report_every <= LONGEST_REPORT:
            raise ImpastoError(f"bad report_every {self.report_every}: allowed are 1 to {LONGEST_REPORT} evaluations")

    def check(self, provider: Provider) -> None:
        """Check before any run that the provider can have a loop on the device, if the user demanded it.

        Raises:
            ImpastoError: the user demanded the device, and the provider copies its inputs or lacks float64.
        """
        if self.loop == "device" and not (provider.shares_memory and provider.has_float64):
            raise _no_loop(provider)

    def may_be_on_device(self, optimizer: str, provider: Provider) -> bool:
        """Return whether a run's vectors may be in the provider's memory: those of L-BFGS."""
        return optimizer != "adam" and (self.loop == "device" or (self.loop == "auto" and _gains(provider)))

    def on_device(self, evaluator: Evaluator, provider: Provider, threads: int) -> OnDevice | None:
        """Return the inputs of a loop on the device for an evaluator, which may be loaded later; None is the host.

        Raises:
            ImpastoError: the user demanded the device, and its memory cannot be shared between sessions.
        """
        session = evaluator.session
        if self.loop == "host" or (self.loop == "auto" and not (_gains(provider) and session.shares_memory)):
            return None
        if not session.shares_memory:
            raise _no_loop(provider)
        return OnDevice(
            session=session,
            provider=provider,
            threads=threads,
            terms=tuple(term.name for term in evaluator.terms),
            coefficients=evaluator.coefficients,
            scaled=evaluator.scaled,
            every=self.report_every or (1 if provider.on_host else GPU_REPORT_EVERY),
            demanded=self.loop == "device",
        )


def _gains(provider: Provider) -> bool:
    """Return whether "auto" puts the loop on the provider's device."""
    return not provider.on_host and provider.has_float64


def _no_loop(provider: Provider) -> ImpastoError:
    why = "copies its inputs" if provider.has_float64 else "has no float64, in which a step computes its scalars"
    return ImpastoError(f"no loop on provider {provider.name}, which {why}; use --loop host")
