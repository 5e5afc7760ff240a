"""Whether a server answers in time and within its limits while it renders, is flooded, starved or neglected.

    python -m impasto.bench.studies.serve_load --json bench/results/serve-load.json [--only latency --only queue ...]

- `latency`: while the worker renders, jobs are submitted at 5 a second for 60 seconds, and their status is asked for as
  often. Each request is sent at its time, whatever became of those before it, and is timed from then on. Afterwards
  `impasto batch` makes the pictures of the same list, and the pictures an hour are compared.
- `queue`: 1,000 jobs are queued. How much does the server's memory grow, and how fast is the 1,001st refused?
- `disk`: the server's data is on a small tmpfs (which needs the right to mount one) that is filled and emptied again.
- `slow`: slowhttptest holds 200 connections whose headers, and then whose images in a multipart form, arrive slowly.
  The server closes each after some seconds, so new ones are opened as fast. How long do the requests of others take?

`limits` in the record are what should hold on two idle cores; `broken` names those that did not. The record is written
after each part.
"""

import argparse
import contextlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from impasto.bench.conditions import conditions
from impasto.bench.record import check_place, write
from impasto.bench.series import summarise
from impasto.bench.serve_process import COMMAND, ServeProcess
from impasto.bench.studies.checkout import ROOT
from impasto.bench.studies.study import as_script, require_positive
from impasto.models.errors import ImpastoError
from impasto.server.config import Limits

NETWORK = "vgg19-slim"
CONTENT, STYLE = (ROOT / "examples" / name for name in ("harbour.jpg", "swirls.jpg"))
QUICK = {"size": 64, "iterations": 6, "preset": ""}
STEADY = {"size": 64, "iterations": 40, "preset": ""}  # a picture takes longer than the next one takes to arrive
LONG = {"size": 64, "iterations": 9000, "preset": ""}
LIMITS = {
    "submit_p99_s": 0.25,
    "status_p99_s": 0.1,
    "of_batch": 0.95,
    "growth_mib": 50.0,
    "refusal_s": 0.05,
    "others_p99_s": 0.5,
}
RATE_PER_S, QUEUE, CONNECTIONS = 5.0, 1000, 200
_FORM = '*/*\r\n\r\n--b\r\nContent-Disposition: form-data; name="content"; filename="x.jpg"\r\nContent-Type: image/jpeg'
"""What slowhttptest sends as `Accept`, its last header. The end of this text is the beginning of a form, so that
what follows slowly is an image."""

SLOW: dict[str, tuple[tuple[str, ...], float]] = {
    "headers": (("-H",), Limits.header_s),
    "body": (("-B", "-f", "multipart/form-data; boundary=b", "-m", _FORM), Limits.upload_s),
}
"""Kinds of slow clients: arguments of slowhttptest, and the seconds after which the server closes a connection."""

_ESTABLISHED = "01"
_OPTIONS = ("--model", NETWORK, "--rate", "1000000/minute")
_MIB = 1 << 20
_DISK_MIB = 24


def latency(folder: Path, seconds: float) -> dict[str, Any]:
    """Submit and ask while the worker renders; then make the same pictures with `impasto batch`.

    Raises:
        ImpastoError: the server had time to spare, so that its pictures an hour would be those that arrived.
    """
    count, jobs = int(RATE_PER_S * seconds), list[str]()
    no_limits = httpx.Limits(max_connections=None)
    with (
        ServeProcess(folder, *_OPTIONS) as server,
        httpx.Client(base_url=server.url, timeout=60, limits=no_limits) as http,
        ThreadPoolExecutor(2) as pool,
    ):
        first = post(http, STEADY).json()["id"]
        wait(http, [first])

        def ask() -> None:
            job = jobs[len(jobs) // 2] if jobs else first
            http.get(f"/v1/renders/{job}").raise_for_status()

        submitted = pool.submit(offer, lambda: jobs.append(post(http, STEADY).json()["id"]), count, RATE_PER_S)
        asked = pool.submit(offer, ask, count, RATE_PER_S)
        submits, statuses = submitted.result(), asked.result()
        shown = wait(http, jobs)
    span_s = moment(shown[-1]["ended_at"]) - moment(shown[0]["started_at"])
    check_was_busy(span_s, count)
    batch_s = list_seconds(folder, count)
    return {
        "submit_s": submits,
        "status_s": statuses,
        "submit_summary_s": summarise(submits),
        "status_summary_s": summarise(statuses),
        "pictures": count,
        "server_pictures_per_hour": 3600 * count / span_s,
        "batch_pictures_per_hour": 3600 * count / batch_s,
        "found": {
            "submit_p99_s": summarise(submits)["p99"],
            "status_p99_s": summarise(statuses)["p99"],
            "of_batch": batch_s / span_s,
        },
    }


def check_was_busy(span_s: float, count: int) -> None:
    """Check that jobs waited all the time.

    Raises:
        ImpastoError: the server made so many pictures about as fast as they arrived.
    """
    if span_s < 1.2 * count / RATE_PER_S:
        raise ImpastoError(
            f"the server made {count} pictures in {span_s:.0f} s, and they arrived in {count / RATE_PER_S:.0f} s: "
            "it was not always busy, so it cannot be compared with `impasto batch`; give STEADY more iterations"
        )


def offer(call: Callable[[], object], count: int, rate_per_s: float) -> list[float]:
    """Call a function so often, each time at its time, whatever became of the calls before it.

    Return the seconds from each call's time to its end.
    """
    begin_s = time.perf_counter()

    def one(due_s: float) -> float:
        call()
        return time.perf_counter() - due_s

    with ThreadPoolExecutor(count) as pool:
        futures = []
        for number in range(count):
            due_s = begin_s + number / rate_per_s
            time.sleep(max(0.0, due_s - time.perf_counter()))
            futures.append(pool.submit(one, due_s))
    return [future.result() for future in futures]


def list_seconds(folder: Path, count: int) -> float:
    """Return the seconds that `impasto batch` says it takes for so many pictures."""
    (folder / "list.csv").write_text(
        "content,style,output\n" + "".join(f"{CONTENT},{STYLE},{number}.png\n" for number in range(count))
    )
    settings = [word for name, value in STEADY.items() for word in ("--set", f"{name}={value}")]
    words = ["batch", str(folder / "list.csv"), "-o", str(folder / "out"), "--model", NETWORK, *settings, "--json"]
    ended = subprocess.run([sys.executable, "-c", COMMAND, *words], check=True, capture_output=True, text=True)  # noqa: S603
    return float(json.loads(ended.stdout.splitlines()[-1])["seconds"])


def queue(folder: Path, _: float) -> dict[str, Any]:
    """Fill the queue."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServeProcess(folder, *_OPTIONS, "--max-queue", QUEUE))
        http = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        for _ in range(20):
            post(http, LONG).raise_for_status()
        before = server.resident_bytes
        for _ in range(QUEUE - 20):
            post(http, LONG).raise_for_status()
        http.get("/v1/renders", params={"limit": 200}).raise_for_status()
        after = server.resident_bytes
        answers = list[httpx.Response]()
        refusals = [timed(lambda: answers.append(post(http, LONG))) for _ in range(20)]
    statuses, retry_after = {answer.status_code for answer in answers}, answers[0].headers.get("retry-after")
    return {
        "before_mib": before / _MIB,
        "after_mib": after / _MIB,
        "refused_with": sorted(statuses),
        "retry_after": retry_after,
        "refusals_s": refusals,
        "found": {"growth_mib": (after - before) / _MIB, "refusal_s": refusals[0]},
        "broken": [] if statuses == {429} and retry_after is not None else ["the refusals are not 429 with a time"],
    }


def disk(folder: Path, _: float) -> dict[str, Any]:
    """Fill the disk below a server, and empty it again."""
    place = folder / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603
        raise ImpastoError("disk needs the right to mount a tmpfs: run as root, or choose other parts with --only")
    broken, filler = [], place / "filler"
    try:
        with ServeProcess(place, *_OPTIONS) as server, httpx.Client(base_url=server.url, timeout=60) as http:
            wait(http, [post(http, QUICK).json()["id"]])
            with contextlib.suppress(OSError), filler.open("wb") as stream:
                while True:
                    stream.write(bytes(1 << 16))
                    stream.flush()
            before = http.get("/v1/renders").json()["renders"]
            answers = [post(http, QUICK).status_code for _ in range(5)]
            live = http.get("/health/live").status_code
            during = http.get("/v1/renders").json()["renders"]
            if set(answers) != {507}:
                broken.append(f"a full disk was answered with {answers}")
            if [job["id"] for job in during] != [job["id"] for job in before] or live != 200:
                broken.append("something was half accepted, or the server went away")
            if list((place / "data" / "files" / "incoming").iterdir()):
                broken.append("a file of a refused job was left")
            filler.unlink()
            begin_s = time.monotonic()
            while (answer := post(http, QUICK)).status_code != 202 and time.monotonic() < begin_s + 60:
                time.sleep(0.1)
            recovery_s = time.monotonic() - begin_s
            if wait(http, [answer.json()["id"]])[0]["state"] != "done":
                broken.append("the server did not recover")
    finally:
        subprocess.run(["umount", str(place)], check=False)  # noqa: S603, S607
    return {"answers": answers, "recovery_s": recovery_s, "broken": broken}


def slow(folder: Path, seconds: float) -> dict[str, Any]:
    """Hold slow connections, and measure the requests of others meanwhile."""
    found: dict[str, Any] = {}
    with ServeProcess(folder, *_OPTIONS) as server:
        for name, (words, lasts_s) in SLOW.items():
            with (
                slow_clients(server.url, words, lasts_s, seconds),
                httpx.Client(base_url=server.url, timeout=60) as http,
            ):
                until(lambda: connections(server.url) >= CONNECTIONS, 3 * lasts_s, f"{CONNECTIONS} slow connections")
                samples, held, end_s = list[float](), list[int](), time.monotonic() + seconds
                while time.monotonic() < end_s:
                    samples.append(timed(lambda: http.get("/v1/renders").raise_for_status()))
                    samples.append(timed(lambda: post(http, QUICK).raise_for_status()))
                    held.append(connections(server.url))
                    time.sleep(0.1)
            found |= {f"{name}_s": samples, f"{name}_summary_s": summarise(samples), f"{name}_held": held}
            until(lambda: connections(server.url) == 0, 3 * lasts_s, "the end of the slow connections")
    few = [f"{name}: only {least} connections" for name in SLOW if (least := min(found[f"{name}_held"])) < CONNECTIONS]
    worst = max(found[f"{name}_summary_s"]["p99"] for name in SLOW)
    return {**found, "found": {"others_p99_s": worst}, "broken": few}


@contextlib.contextmanager
def slow_clients(url: str, words: Sequence[str], lasts_s: float, seconds: float) -> Iterator[None]:
    """Hold slow connections: slowhttptest opens as many in a second as the server closes.

    Args:
        url: of the server.
        words: the arguments for the kind of slowness.
        lasts_s: seconds after which the server closes a connection.
        seconds: of the measurement, after all connections are there.
    """
    program = shutil.which("slowhttptest")
    if program is None:
        raise ImpastoError("slow needs slowhttptest: install it, or choose other parts with --only")
    rate, all_s = math.ceil(1.2 * CONNECTIONS / lasts_s), math.ceil(4 * lasts_s + 2 * seconds)
    command = [program, *words, "-c", str(rate * all_s), "-r", str(rate), "-i", "1", "-l", str(all_s), "-x", "8",
               "-u", f"{url}/v1/renders", "-t", "POST", "-s", "1000000", "-p", "30"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        yield
        if process.poll() is not None:
            raise ImpastoError(f"slowhttptest ended with status {process.returncode} before the measurement")
    finally:
        process.terminate()
        process.wait()


def connections(url: str) -> int:
    """Return how many connections the server has, as the system lists them."""
    port, lines = int(url.rpartition(":")[2]), Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == _ESTABLISHED for line in lines)


def until(condition: Callable[[], bool], patience_s: float, what: str) -> None:
    """Wait for a condition.

    Raises:
        ImpastoError: it does not come true in time.
    """
    end_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end_s:
            raise ImpastoError(f"waited {patience_s:g} s in vain for {what}")
        time.sleep(0.1)


PARTS: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "latency": latency,
    "queue": queue,
    "disk": disk,
    "slow": slow,
}


def post(http: httpx.Client, settings: dict[str, Any]) -> httpx.Response:
    """Submit a job."""
    files = {"content": CONTENT.read_bytes(), "style": STYLE.read_bytes()}
    return http.post("/v1/renders", data={"settings": json.dumps(settings)}, files=files)


def wait(http: httpx.Client, jobs: list[str]) -> list[dict[str, Any]]:
    """Wait for the end of jobs; return them in the order in which they ended."""
    found = []
    for job in jobs:
        while (shown := http.get(f"/v1/renders/{job}").json())["state"] in ("queued", "running"):
            time.sleep(0.2)
        found.append(shown)
    return sorted(found, key=lambda shown: str(shown["ended_at"]))


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    begin_s = time.perf_counter()
    call()
    return time.perf_counter() - begin_s


def moment(text: str) -> float:
    """Return a time of the API, s."""
    return datetime.fromisoformat(text).timestamp()


def broken(parts: dict[str, dict[str, Any]]) -> list[str]:
    """Return what did not hold."""
    said = [f"{name}: {what}" for name, part in parts.items() for what in part.get("broken", ())]
    for name, part in parts.items():
        for limit, value in part.get("found", {}).items():
            holds = value >= LIMITS[limit] if limit == "of_batch" else value <= LIMITS[limit]
            if not holds:
                said.append(f"{name}: {limit} is {value:.3g}, the limit is {LIMITS[limit]:g}")
    return said


def main() -> None:
    """Measure, write the record, and say what did not hold.

    Raises:
        ImpastoError: a limit did not hold, a part cannot be run, or the record cannot be written.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the record")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="a part, repeatable; all without")
    parser.add_argument("--seconds", type=int, default=60, help="of latency, and of each kind of slow clients")
    parser.add_argument("--remark", default="", help="what else the machine did; it is kept in the record")
    arguments = parser.parse_args()
    require_positive(arguments, "seconds")
    check_place(arguments.json)
    record = {"what": (__doc__ or "").strip(), "conditions": conditions(0), "remark": arguments.remark}
    parts = dict[str, dict[str, Any]]()
    for name in arguments.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            parts[name] = PARTS[name](Path(folder), arguments.seconds)
        print(name, {key: value for key, value in parts[name].items() if not isinstance(value, list)}, flush=True)
        said = broken(parts)
        asked = {"seconds": arguments.seconds, "limits": LIMITS}
        write(arguments.json, {**record, **asked, "parts": parts, "broken": said})
    if said:
        raise ImpastoError(f"did not hold: {'; '.join(said)}; see {arguments.json}")


if __name__ == "__main__":
    as_script(main)
