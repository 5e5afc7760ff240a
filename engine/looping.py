"""Where the optimiser's loop runs: on the host, in NumPy, or in the memory of the device that evaluates."""

from impasto.engine.evaluator import Evaluator
from impasto.engine.objective import OnDevice
from impasto.engine.providers import Provider
from impasto.models.errors import ImpastoError

AUTO, HOST, DEVICE = "auto", "host", "device"
LOOPS = (AUTO, HOST, DEVICE)
GPU_REPORT_EVERY = 10


def check_loop(loop: str) -> None:
    """Raise ImpastoError if there is no such place."""
    if loop not in LOOPS:
        raise ImpastoError(f"unknown loop {loop!r}: allowed are {', '.join(LOOPS)}")


def on_device(
    loop: str, provider: Provider, evaluator: Evaluator, threads: int, report_every: int | None
) -> OnDevice | None:
    """Return what a loop on the device needs; None where the host is to run it.

    "auto" is the host where the device is the processor, whose memory both share: NumPy's Fourier transforms are
    faster there than matrix products (bench/results/loop-cpu.json).

    Args:
        loop: of `LOOPS`.
        provider: of the evaluator's session.
        evaluator: of one image, loaded.
        threads: of the CPU; 0 is one per core.
        report_every: evaluations between two looks of the host; None is what suits the provider.

    Raises:
        ImpastoError: the device is asked for by name, and has memory of its own that cannot be shared.
    """
    session = evaluator.session
    if loop == HOST or (loop == AUTO and (provider.device == "cpu" or not session.shares_memory)):
        return None
    if not session.shares_memory:
        raise ImpastoError(f"the loop cannot run on provider {provider.name}, which copies its inputs; use --loop host")
    return OnDevice(
        session=session,
        provider=provider,
        threads=threads,
        terms=tuple(term.name for term in evaluator.terms),
        coefficients=evaluator.coefficients,
        scaled=evaluator.scaled,
        every=report_every or (1 if provider.device == "cpu" else GPU_REPORT_EVERY),
        demanded=loop == DEVICE,
    )
