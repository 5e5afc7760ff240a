"""Where the optimiser's loop runs: on the host, in NumPy, or in the memory of the device that evaluates."""

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
    """What it takes to minimise without the host (`impasto.engine.device.lbfgs`).

    Attributes:
        session: of the objective, with a place for each sample.
        provider: of the session.
        threads: of the CPU; 0 is one per core.
        terms: their names.
        coefficients: their weights, [N, T].
        scaled: whether there is float16 inside, whose cotangents need a factor.
        every: evaluations between two looks of the host.
        demanded: whether the user named the device, so that a failure there is an error.
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
    """Where the user wants the loop.

    "auto" is the host where the device is the processor, whose memory both share: NumPy's Fourier transforms are
    faster there than matrix products (bench/results/loop-cpu.json).

    Attributes:
        loop: of `LOOPS`.
        report_every: evaluations between two looks of the host at a loop on the device; None is what suits the
            provider.

    Raises:
        ImpastoError: a value is out of range.
    """

    loop: str = "auto"
    report_every: int | None = None

    def __post_init__(self) -> None:
        if self.loop not in LOOPS:
            raise ImpastoError(f"unknown loop {self.loop!r}: allowed are {', '.join(LOOPS)}")
        if self.report_every is not None and not 1 <= self.report_every <= LONGEST_REPORT:
            raise ImpastoError(f"bad report_every {self.report_every}: allowed are 1 to {LONGEST_REPORT} evaluations")

    def check(self, provider: Provider) -> None:
        """Refuse a loop on the device where the provider is known to have no memory for it, before anything runs.

        Args:
            provider: of the runs to come.

        Raises:
            ImpastoError: the device is asked for by name, and the provider copies its inputs.
        """
        if self.loop == "device" and not provider.shares_memory:
            raise _no_loop(provider)

    def may_be_on_device(self, optimizer: str, provider: Provider) -> bool:
        """Return whether a run's vectors may be in the provider's memory: those of L-BFGS."""
        return optimizer != "adam" and (self.loop == "device" or (self.loop == "auto" and not provider.on_host))

    def on_device(self, evaluator: Evaluator, provider: Provider, threads: int) -> OnDevice | None:
        """Return what a loop on the device needs; None if the host is to run it.

        Args:
            evaluator: of one image, loaded; or of several, loaded one by one while the others go on.
            provider: of its session.
            threads: of the CPU; 0 is one per core.

        Raises:
            ImpastoError: the device is asked for by name, and has memory of its own that cannot be shared.
        """
        session = evaluator.session
        host_memory = provider.on_host
        if self.loop == "host" or (self.loop == "auto" and (host_memory or not session.shares_memory)):
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
            every=self.report_every or (1 if host_memory else GPU_REPORT_EVERY),
            demanded=self.loop == "device",
        )


def _no_loop(provider: Provider) -> ImpastoError:
    return ImpastoError(f"no loop on provider {provider.name}, which copies its inputs; use --loop host")
