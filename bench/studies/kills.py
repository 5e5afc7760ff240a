"""Whether a run that is killed can be continued to the same picture.

    python -m impasto.bench.studies.kills --json bench/results/kills.json [--count 50]

Each trial starts `impasto transfer --checkpoint FILE --checkpoint-every 0`, so that the state is saved at every
iteration, and kills it (SIGKILL) at a random moment after FILE exists. FILE must load. `impasto resume FILE` then
continues the run. In some trials that process is killed as well, at any moment after its start, and the next one, too.
The last process ends, and its PNG file must be that of the same run without checkpoints that was never stopped, byte
for byte. A kill during a write leaves a file under a temporary name, so such kills can be counted.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.studies.checkout import ROOT
from impasto.bench.studies.study import as_script, require_positive
from impasto.engine.inputs.checkpoint import load_checkpoint
from impasto.models.errors import ImpastoError

NETWORK = "vgg19-slim"
COMMAND = "from impasto.engine.cli import main; main()"
POLL_S, LONGEST_S = 0.001, 300.0
CONTENT, STYLE = ROOT / "examples" / "harbour.jpg", ROOT / "examples" / "swirls.jpg"
CASES = {
    "lbfgs": (),
    "adam": ("--optimizer", "adam"),
    "noise": ("--init", "noise", "--seed", 1),
    "plain-lbfgs": ("--optimizer", "plain-lbfgs", "--unbounded"),
    "adam from noise": ("--optimizer", "adam", "--init", "noise", "--seed", 2),
    "evaluations": ("--evaluations", 25, "--tv-weight", 1e-3),
}


@dataclass(frozen=True)
class Reference:
    """A run that was never stopped.

    Attributes:
        options: of the command.
        file: its result.
        span_s: seconds from the first checkpoint to the end, in a run with checkpoints.
    """

    options: tuple[object, ...]
    file: bytes
    span_s: float


@dataclass(frozen=True)
class Kill:
    """One SIGKILL.

    Attributes:
        after_s: seconds after the run's first checkpoint or, of a process that continues it, after its start.
        iteration: of the checkpoint that was left.
        during_a_write: whether a file was half written.
    """

    after_s: float
    iteration: int
    during_a_write: bool


@dataclass
class Trial:
    """A run that was killed, and continued to its end.

    Attributes:
        case: by name.
        kills: in their order.
        equal: whether the result is that of the run that was never stopped.
    """

    case: str
    kills: list[Kill] = field(default_factory=list)
    equal: bool = False


class Killing:
    """Runs of `impasto` in one folder."""

    def __init__(self, folder: Path, *, iterations: int, threads: int, size: int) -> None:
        """Remember what all runs have in common."""
        self._checkpoint, self._output = folder / "run.safetensors", folder / "out.png"
        common = (
            "--model",
            NETWORK,
            "--provider",
            "cpu",
            "--precision",
            "fp32",
            "--loop",
            "host",
            "--threads",
            threads,
        )
        self._common = (*common, "--size", size, "--iterations", iterations)

    def reference(self, options: tuple[object, ...]) -> Reference:
        """Run without checkpoints and with them.

        Raises:
            ImpastoError: a run fails, or the results differ.
        """
        self._clear()
        start = self._transfer(options)
        _end(self._start(*start))
        file = self._output.read_bytes()
        self._clear()
        process = self._start(*start, *self._saving)
        self._wait_for_checkpoint(process)
        begun_s = time.perf_counter()
        _end(process)
        span_s = time.perf_counter() - begun_s
        if self._output.read_bytes() != file:
            raise ImpastoError("a run with checkpoints differs from one without: look for what changed the numbers")
        return Reference(options, file, span_s)

    def trial(self, case: str, reference: Reference, kills: int, rng: random.Random) -> Trial:
        """Start a run, kill it so many times, and continue it each time; a run that ends earlier is killed no more.

        Raises:
            ImpastoError: a command fails, or a checkpoint does not load.
        """
        self._clear()
        trial = Trial(case)
        process = self._start(*self._transfer(reference.options), *self._saving)
        self._wait_for_checkpoint(process)
        while len(trial.kills) < kills:
            kill = self._kill(process, rng.uniform(0, reference.span_s))
            if kill is None:
                break
            trial.kills.append(kill)
            process = self._start("resume", self._checkpoint)
        _end(process)
        trial.equal = self._output.read_bytes() == reference.file
        return trial

    @property
    def _saving(self) -> tuple[object, ...]:
        return ("--checkpoint", self._checkpoint, "--checkpoint-every", 0)

    def _transfer(self, options: tuple[object, ...]) -> tuple[object, ...]:
        return ("transfer", CONTENT, STYLE, "-o", self._output, *self._common, *options)

    def _start(self, *words: object) -> subprocess.Popen[str]:
        line = [sys.executable, "-c", COMMAND, *map(str, words), "--quiet"]
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603

    def _kill(self, process: subprocess.Popen[str], after_s: float) -> Kill | None:
        """Kill a run some time from now; return None where it has ended before."""
        time.sleep(after_s)
        process.kill()
        process.communicate()
        if process.returncode == 0:
            return None
        half = [path for path in self._checkpoint.parent.iterdir() if path.suffix == ".tmp"]
        state, _ = load_checkpoint(self._checkpoint)
        for path in half:  # those of a later kill are to be told apart
            path.unlink()
        return Kill(round(after_s, 4), state.iteration, bool(half))

    def _wait_for_checkpoint(self, process: subprocess.Popen[str]) -> None:
        """Wait until a run has written its first checkpoint, or has ended."""
        while not self._checkpoint.exists() and process.poll() is None:
            time.sleep(POLL_S)

    def _clear(self) -> None:
        for path in (self._checkpoint, self._output):
            path.unlink(missing_ok=True)


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for the end of a run.

    Raises:
        ImpastoError: it fails.
    """
    _, said = process.communicate(timeout=LONGEST_S)
    if process.returncode:
        raise ImpastoError(f"a run ended with status {process.returncode}: {said}")


def trials(count: int, *, iterations: int = 30, threads: int = 1, size: int = 128, seed: int = 0) -> list[Trial]:
    """Kill and continue so many runs; of three, one is killed twice, and one three times.

    Raises:
        ImpastoError: a command fails, or a checkpoint does not load.
    """
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    found: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        killing = Killing(Path(folder), iterations=iterations, threads=threads, size=size)
        references: dict[str, Reference] = {}
        while len(found) < count:
            case = list(CASES)[len(found) % len(CASES)]
            if case not in references:
                references[case] = killing.reference(CASES[case])
            trial = killing.trial(case, references[case], 1 + len(found) // len(CASES) % 3, rng)
            if trial.kills:  # else it ended before the first one
                found.append(trial)
                print(f"{len(found)} of {count}: {trial}", flush=True)
    return found


def summary(found: list[Trial]) -> dict[str, Any]:
    """Return the counts over all trials."""
    kills = [kill for trial in found for kill in trial.kills]
    return {
        "trials": len(found),
        "equal": sum(trial.equal for trial in found),
        "kills": len(kills),
        "kills_during_a_write": sum(kill.during_a_write for kill in kills),
    }


def main() -> None:
    """Run the trials and write the record.

    Raises:
        ImpastoError: a resumed run ended at another picture; the record says which.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the record")
    parser.add_argument("--count", type=int, default=50, help="trials")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--size", type=int, default=128, help="long side, px")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    arguments = parser.parse_args()
    require_positive(arguments, "count", "iterations")
    check_place(arguments.json)
    record = {"what": (__doc__ or "").strip(), "conditions": conditions(arguments.threads)}
    asked = {name: value for name, value in vars(arguments).items() if name != "json"}
    found = trials(**asked)
    counts = summary(found)
    write(arguments.json, {**record, "asked": asked, "summary": counts, "trials": [asdict(trial) for trial in found]})
    print(counts)
    if counts["equal"] < counts["trials"]:
        raise ImpastoError(f"{counts['trials'] - counts['equal']} of {counts['trials']} resumed runs ended elsewhere")


if __name__ == "__main__":
    as_script(main)
