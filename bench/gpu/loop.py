"""The optimiser's loop in a GPU's memory, without what the host copies in an evaluation of its own.

evaluation, in place   a run of the objective on the image that is there; nothing is copied
loop of 10             ten evaluations and steps, and the log of them that the host reads
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from impasto.bench.sampling import Effort, Watch, interleaved, timed
from impasto.bench.series import Series
from impasto.bench.subject import Subject, engine_facts, engine_name
from impasto.engine.compile.optimiser_settings import PIXEL_RANGE
from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.step_form import step_form
from impasto.engine.jobs.engine import Engine, workshop_of
from impasto.engine.jobs.job import Job
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.runtime.providers import step_provider
from impasto.engine.runtime.session import Session
from impasto.models.errors import ImpastoError

EVERY = 10
MOST_HOST_BYTES = 64
ENDLESS = float(2**52)
FOLLOWS = 5e-3  # relative difference of the losses that two runs of the same steps end with, but for rounding


def measure(subject: Subject, effort: Effort, watch: Watch) -> Iterator[Series]:
    """Yield two series per size.

    Raises:
        ImpastoError: the loop does not run on the device.
    """
    for size in subject.sizes:
        with replace(subject, loop="device").open(report_every=EVERY) as engine:
            loop, session = _started(engine, subject, size)
            name = engine_name(engine)
            first_s = timed(partial(loop.run, EVERY))
            for _ in range(effort.warm_up - 1):
                loop.run(EVERY)
            runs: dict[str, Callable[[], object]] = {
                f"{name}, in place": session.run_bound,
                f"{name}, loop": partial(loop.run, EVERY),
            }
            samples = interleaved(runs, effort, watch)
            loss = float(loop.run(1)[0, 0, 0])
            facts = {**engine_facts(engine), "first_s": first_s, "captured": session.captured}
            units = ("evaluation, in place", f"loop of {EVERY}")
            for (called, found), unit, evaluations in zip(samples.items(), units, (1, EVERY), strict=True):
                yield Series(called, unit, size, found, evaluations, loss, facts=facts)


def host_bytes(subject: Subject, size_px: int) -> dict[str, object]:
    """Return what the host reads of an iteration, and whether evaluations are captured.

    Raises:
        ImpastoError: the loop does not run on the device, or the host reads more than `MOST_HOST_BYTES`.
    """
    with replace(subject, loop="device").open(report_every=EVERY) as engine:
        loop, session = _started(engine, subject, size_px)
        read = loop.run(EVERY).nbytes / EVERY
        captured = session.captured
    if read > MOST_HOST_BYTES:
        raise ImpastoError(f"the host reads {read:g} bytes an iteration; at most {MOST_HOST_BYTES} are allowed")
    return {"host_bytes_per_iteration": read, "captured": captured}


def batched_loop(subject: Subject, side_px: int) -> dict[str, Any]:
    """Run three short transfers in two places of a loop on the device, and each of them by itself.

    Short, because from noise the least rounding grows to percents within 20 iterations.

    Raises:
        ImpastoError: a transfer fails, or ends with another loss or count than by itself.
    """
    content, style = subject.pictures(side_px)
    jobs = [
        Job(content, style, replace(subject.settings, iterations=iterations, init=init))
        for iterations, init in ((4, "content"), (10, "noise"), (6, "noise"))
    ]
    with replace(subject, loop="device").open(report_every=EVERY) as engine:
        tolerance = max(10 * engine.provider.numbers.loss_noise, FOLLOWS)
        found = {item.index: item for item in engine.transfer_many(jobs, batch=2)}
        differences = []
        for index, job in enumerate(jobs):
            together, alone = found[index].result, engine.transfer(job.content, job.style, job.settings)
            if together is None:
                raise ImpastoError(f"in a batch: {found[index].error}")
            if together.iterations != alone.iterations:
                raise ImpastoError(f"{together.iterations} iterations in a batch, {alone.iterations} alone")
            differences.append(abs(together.loss / alone.loss - 1))
    if not max(differences) <= tolerance:
        raise ImpastoError(f"losses in a batch are {max(differences):.2g} off those alone; at most {tolerance:g}")
    return {"largest_loss_difference": max(differences)}


def _started(engine: Engine, subject: Subject, size_px: int) -> tuple[DeviceLoop, Session]:
    """Return a loop at its start, and the session of its evaluations."""
    objective, x = engine.objective(*subject.pictures(size_px), subject.settings)
    on_device = workshop_of(engine).compiler.on_device(objective.evaluator)
    if on_device is None:
        raise ImpastoError(f"no loop on the device of {subject.label()}")
    history, shape = subject.settings.history, objective.image_shape
    form = step_form(LbfgsSettings(history_size=history, image_shape=shape, bounds=PIXEL_RANGE), shape, on_device)
    loop = DeviceLoop(on_device.session, step_provider(on_device.provider), form, on_device.threads)
    loop.enter(0, x, ENDLESS, on_device.coefficients[0])
    return loop, on_device.session
