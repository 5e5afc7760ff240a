"""Whether a server that is killed loses jobs, publishes a result twice, or repeats much work.

    python -m impasto.bench.studies.serve_kills --json bench/results/serve-kills.json [--count 100]

Clients submit jobs without pause, each under an idempotency key, and sometimes send a request again. Meanwhile the
server, its worker or both are killed (SIGKILL). Each kill aims at a phase: this program waits until the server's folder
shows that an upload, a commit, the saving of a state or a publication is under way, and kills within 3 ms; or it kills
at a random moment. A killed server is started again. In the end all jobs that were answered with 202 must have ended as
done, with one event of their end and the picture of a run that was never stopped, and each new attempt at a job may
repeat at most 10 evaluations. A job during which three workers end is quarantined, as the server promises; so while a
job that two workers died with waits or runs, the server is killed and not the worker.
"""

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.serve_process import ServeProcess
from impasto.bench.studies.checkout import ROOT
from impasto.bench.studies.study import as_script, require_positive
from impasto.client import Client
from impasto.engine import Engine, Settings
from impasto.models.errors import ImpastoError
from impasto.server.store.attempts import MOST_KILLED

NETWORK = "vgg19-slim"
CONTENT, STYLE = (ROOT / "examples" / name for name in ("harbour.jpg", "swirls.jpg"))
CASES: tuple[dict[str, Any], ...] = (
    {"size": 48, "iterations": 40, "preset": ""},
    {"size": 48, "iterations": 30, "init": "noise", "seed": 1, "preset": ""},
    {"size": 64, "iterations": 60, "optimizer": "adam", "preset": ""},
)
KINDS = SERVER, WORKER, BOTH = ("server", "worker", "both")
UPLOAD, COMMIT, CHECKPOINT, PUBLISH, ANY = PHASES = ("upload", "commit", "checkpoint", "publish", "any")
MOST_REPEATED, LARGEST_DIFFERENCE = 10, 1e-6
END_S, REQUEST_S = 300.0, 20.0
PHASE_S, NEAR_S = 8.0, 0.003
TEMPORARY = ".impasto-"
"""Names of states that are not complete begin so; see `impasto.models.temporary`."""
_WATCH_S = 0.0002


class Server(ServeProcess):
    """`impasto serve` in one folder, whose processes are killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--model", NETWORK, "--rate", "100000/minute")

    def kill_one(self, kind: str) -> str:
        """Kill the server, its worker or both; return which.

        All of them stand still while the journal is read, so that no worker is given another job between the look and
        the kill. A job that two workers died with is spared a third, which would quarantine it: the server is killed.
        """
        workers = self.workers
        _signal([self.pid, *workers], signal.SIGSTOP)
        kind = victim(kind, self._most_killed()) if workers else SERVER  # none, while one is started again
        if kind == SERVER:
            self.kill()
            _signal(workers, signal.SIGCONT)  # they end by themselves, without a server
            return kind
        _signal(workers, signal.SIGKILL)
        _signal([self.pid], signal.SIGCONT)
        if kind == BOTH:
            self.kill()
        return kind

    def wait_for(self, phase: str) -> bool:
        """Wait until a phase is under way; return False if none was within some seconds.

        A file that arrives is in `incoming` under its temporary name (upload), and leaves it for its place just before
        the job's row is written (commit). A state has a temporary name until it is complete (checkpoint). A result lies
        in `work` until it is in the store (publish).
        """
        incoming, work = self.data / "files" / "incoming", self.data / "work"
        was_arriving, end_s = False, time.monotonic() + PHASE_S
        while time.monotonic() < end_s:
            arriving = bool(os.listdir(incoming))  # noqa: PTH208 - the fastest
            names = os.listdir(work) if phase in (CHECKPOINT, PUBLISH) else ()  # noqa: PTH208
            saving = any(name.startswith(TEMPORARY) for name in names)
            publishing = any(name.endswith((".npy", ".png")) for name in names)
            under_way = {UPLOAD: arriving, COMMIT: was_arriving and not arriving}
            if {**under_way, CHECKPOINT: saving, PUBLISH: publishing}[phase]:
                return True
            was_arriving = arriving
            time.sleep(_WATCH_S)
        return False

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the journal."""
        with sqlite3.connect(f"file:{self.data / 'journal.sqlite'}?mode=ro", uri=True, timeout=10) as connection:
            return connection.execute(query).fetchall()

    def _most_killed(self) -> int:
        """Return how many workers one job has died with that a worker has, or may be given now."""
        try:
            return int(
                self.rows("SELECT coalesce(max(killed), 0) FROM jobs WHERE state IN ('queued', 'running')")[0][0]
            )
        except sqlite3.OperationalError:  # the server stands still while it holds the journal
            return MOST_KILLED


def victim(kind: str, killed: int) -> str:
    """Return what is killed in place of what was chosen, where one job has died with so many workers."""
    return SERVER if killed >= MOST_KILLED - 1 else kind


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass
class Clients:
    """A thread that submits jobs to whatever server there is.

    Attributes:
        accepted: by idempotency key: the number of its case, and the id of the job.
        confused: keys that returned two jobs.
    """

    server: Server
    rng: random.Random
    pause_s: float
    accepted: dict[str, tuple[int, str]] = field(default_factory=dict)
    confused: list[str] = field(default_factory=list)
    stopped: bool = False

    def run(self) -> None:
        """Submit until told to stop."""
        number = 0
        while not self.stopped:
            number += 1
            case, key = self.rng.randrange(len(CASES)), f"key-{number}"
            if self.rng.random() < 0.1 and self.accepted:
                key = self.rng.choice(list(self.accepted))
                case = self.accepted[key][0]
            while not self.stopped and not self._submit(key, case):
                time.sleep(0.05)
            time.sleep(self.rng.uniform(0, 2 * self.pause_s))

    def _submit(self, key: str, case: int) -> bool:
        try:
            with Client(self.server.url, patience_s=0.1) as client:
                job = client.submit(CONTENT, STYLE, CASES[case], idempotency_key=key).id
        except ImpastoError:
            return False
        if self.accepted.setdefault(key, (case, job))[1] != job:
            self.confused.append(key)
        return True


def kill_often(server: Server, count: int, longest_s: float, rng: random.Random) -> Counter[tuple[str, str]]:
    """Kill so many times; return how often, by what was killed and in which phase."""
    kinds: Counter[tuple[str, str]] = Counter()
    while sum(kinds.values()) < count:
        time.sleep(rng.uniform(0, longest_s))
        phase, kind = rng.choice(PHASES), rng.choice(KINDS)
        if phase != ANY and not server.wait_for(phase):
            phase = ANY
        time.sleep(rng.uniform(0, NEAR_S))
        kind = server.kill_one(kind)
        kinds[kind, phase] += 1
        if kind != WORKER:
            server.start()
        if sum(kinds.values()) % 10 == 0:
            print(f"{sum(kinds.values())} of {count} kills", flush=True)
    return kinds


def judge(server: Server, accepted: Mapping[str, tuple[int, str]], references: list[np.ndarray]) -> dict[str, Any]:
    """Wait for the end of all jobs, at most some minutes for one, and count what went wrong."""
    latest, end_s = 0, time.monotonic() + END_S
    while server.rows("SELECT 1 FROM jobs WHERE state IN ('queued', 'running')") and time.monotonic() < end_s:
        time.sleep(0.2)
        (ended,) = server.rows("SELECT count(*) FROM jobs WHERE state NOT IN ('queued', 'running')")[0]
        if ended > latest:
            latest, end_s = ended, time.monotonic() + END_S
    states = dict(server.rows("SELECT id, state FROM jobs"))
    ends = dict(server.rows("SELECT job, count(*) FROM events WHERE kind = 'ended' GROUP BY job"))
    runs = [json.loads(row[0]) for row in server.rows("SELECT data FROM events WHERE kind = 'running'")]
    jobs = {job: case for case, job in accepted.values()}
    largest = 0.0
    with Client(server.url) as client:
        for job, case in jobs.items():
            if states.get(job) == "done":
                pixels = np.load(io.BytesIO(client.job(job).file("npy"))) / np.float32(255)
                largest = max(largest, float(np.abs(pixels - references[case]).max()))
    repeated = [run["repeated"] for run in runs]
    return {
        "accepted": len(jobs),
        "lost": sum(job not in states for job in jobs),
        "done": sum(states.get(job) == "done" for job in jobs),
        "states": dict(Counter(states.values())),
        "published_twice": sum(number > 1 for number in ends.values()),
        "attempts": len(runs),
        "attempts_from_a_state": sum(run["evaluations"] > 0 for run in runs),
        "most_repeated_evaluations": max(repeated, default=0),
        "repeated_evaluations": sorted(repeated, reverse=True)[:50],
        "largest_difference": largest,
    }


def broken(found: Mapping[str, Any]) -> list[str]:
    """Return the promises that a summary shows as broken."""
    return [
        text
        for text, is_broken in {
            f"{found['lost']} accepted jobs are lost": found["lost"] > 0,
            f"{found['done']} of {found['accepted']} accepted jobs are done": found["done"] < found["accepted"],
            f"{found['published_twice']} results were published twice": found["published_twice"] > 0,
            f"{found['keys_with_two_jobs']} keys have two jobs": found["keys_with_two_jobs"] > 0,
            f"an attempt repeated {found['most_repeated_evaluations']} evaluations": (
                found["most_repeated_evaluations"] > MOST_REPEATED
            ),
            f"a picture differs by {found['largest_difference']:.3g}": (
                not found["largest_difference"] <= LARGEST_DIFFERENCE
            ),
        }.items()
        if is_broken
    ]


def main() -> None:
    """Kill, judge and write the record.

    Raises:
        ImpastoError: a promise was broken; the record says which.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the record")
    parser.add_argument("--count", type=int, default=100, help="kills")
    parser.add_argument(
        "--longest-s", type=float, default=2.0, help="longest time between a start and the next kill's wait"
    )
    parser.add_argument("--pause-s", type=float, default=3.0, help="mean pause between two submissions")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    arguments = parser.parse_args()
    require_positive(arguments, "count")
    check_place(arguments.json)
    record = {"what": (__doc__ or "").strip(), "conditions": conditions(0)}
    asked = {name: value for name, value in vars(arguments).items() if name != "json"}
    with Engine(NETWORK) as engine:
        references = [engine.transfer(CONTENT, STYLE, Settings(**case)).picture.pixels for case in CASES]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        clients = Clients(server, random.Random(arguments.seed + 1), arguments.pause_s)  # noqa: S311 - no secrets
        thread = threading.Thread(target=clients.run, daemon=True)
        thread.start()
        try:
            kills = kill_often(server, arguments.count, arguments.longest_s, random.Random(arguments.seed))  # noqa: S311
            clients.stopped = True
            thread.join(REQUEST_S)
            if thread.is_alive():
                raise ImpastoError(f"the server has not answered a submission for {REQUEST_S:g} s; try again")
            found = judge(server, clients.accepted, references)
        finally:
            clients.stopped = True
            server.stop()
    found = {
        "kills": {kind: {phase: kills[kind, phase] for phase in PHASES} for kind in KINDS},
        **found,
        "keys_with_two_jobs": len(clients.confused),
    }
    write(arguments.json, {**record, "asked": asked, "summary": found})
    print({name: value for name, value in found.items() if name != "repeated_evaluations"})
    if said := broken(found):
        raise ImpastoError(f"{'; '.join(said)}: see {arguments.json}")


if __name__ == "__main__":
    as_script(main)
