"""What takes minutes: the whole run against Python, other ONNX Runtimes, sanitizers and valgrind, speed and memory.

Run by hand with ``pytest tests/cpp/test_evidence.py -m load``. Each test writes what it saw to
``bench/results/embedding.json``.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from impasto.engine import Settings
from impasto.engine.bundle import Order, write_bundle
from impasto.engine.compile.network import load_network
from impasto.engine.runtime.cpu_info import name as processor
from tests.conftest import REPOSITORY
from tests.cpp.conftest import Built, build, needed, raw_image
from tests.cpp.test_library import HARBOUR, SWIRLS, in_python, losses_of

pytestmark = pytest.mark.load

RESULTS = REPOSITORY / "bench" / "results" / "embedding.json"


def record(name: str, **values: Any) -> None:
    """Add what a test saw to the file of results, with the machine."""
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    machine = {"processor": processor(), "system": platform.platform(), "cores": os.cpu_count()}
    found[name] = {**values, "onnxruntime": onnxruntime.__version__, "machine": machine}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def pictures(tmp_path: Path, long_side: int) -> list[tuple[Path, int, int, Path]]:
    return [
        raw_image(path, (long_side, long_side * 3 // 4), tmp_path / name)
        for path, name in ((HARBOUR, "c"), (SWIRLS, "s"))
    ]


def made(folder: Path, long_side: int) -> Path:
    settings = Settings(size=long_side)
    write_bundle(load_network("vgg19-slim"), folder, Order(settings, ((long_side, long_side * 3 // 4),)))
    return folder


def test_the_whole_run_is_pythons(built: Built, tmp_path: Path) -> None:
    content, style = pictures(tmp_path, 256)
    folder = made(tmp_path / "b", 256)
    settings = Settings(size=256, evaluations=100, iterations=1000)
    expected, result = in_python("vgg19-slim", content[3], style[3], settings, "device")
    out = REPOSITORY / "build-cpp" / "harbour-swirls.raw"
    lines = built.lines("impasto-probe", "losses", folder, *content[:3], *style[:3], 100, 1, out)
    found = losses_of(lines)
    painted = np.frombuffer(out.read_bytes(), np.uint8).reshape(192, 256, 3)
    Image.fromarray(painted).save(out.with_suffix(".png"))
    final, first = found[max(found)], found[0]
    record(
        "whole_run",
        first={"cpp": first, "python": expected[0], "relative": first / expected[0] - 1},
        final={"cpp": final, "python": expected[-1], "relative": final / expected[-1] - 1},
        iterations={"cpp": max(found), "python": result.iterations},
        evaluations=100,
        picture_mean_difference=float(np.abs(painted - np.clip(result.picture.pixels, 0, 1) * 255).mean()),
    )
    assert first == pytest.approx(expected[0], rel=1e-6)
    assert final == pytest.approx(expected[-1], rel=1e-3)


@pytest.mark.parametrize("version", ["1.21.0", "1.32.0"])
def test_other_runtimes(built: Built, bundle: Path, tmp_path: Path, version: str) -> None:
    wanted = f"onnxruntime=={version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(tmp_path), wanted]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip(f"pip cannot download onnxruntime {version}")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if "capi/libonnxruntime.so" in name)
        library = Path(archive.extract(name, tmp_path))
    lines = built.lines("impasto-c99", bundle, 6, IMPASTO_ONNXRUNTIME=str(library))
    here = built.lines("impasto-c99", bundle, 6)
    losses, expected = ([float(line.rsplit(" ", 1)[1]) for line in found] for found in (lines, here))
    record(f"runtime_{version}", losses=losses, losses_of_this_runtime=expected)
    assert losses == pytest.approx(expected, rel=1e-3)


def test_cancel_at_512_px(built: Built, tmp_path: Path) -> None:
    folder = made(tmp_path / "b", 512)
    (line,) = built.lines("impasto-probe", "cancels", folder, 6, 12)
    record("cancel_512_px", said=line)
    assert line.startswith("same")
    assert float(line.split()[-2]) < 0.2


def test_memory_of_100_cycles(built: Built, bundle: Path) -> None:
    before, after = (int(line.split()[1]) for line in built.lines("impasto-probe", "many", bundle, 100, 2))
    record("cycles_100", rss_after_10_kib=before, rss_after_100_kib=after)
    assert after - before < 5 * 1024


def test_valgrind_loses_nothing_of_ours(built: Built, bundle: Path, tmp_path: Path) -> None:
    needed("valgrind")
    seen: dict[str, Any] = {}
    for command in (("errors", bundle), ("callback", bundle), ("cancels", bundle, 6, 2)):
        log = tmp_path / "log"
        words = ["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect", f"--log-file={log}"]
        ended = subprocess.run(
            [*words, built.program("impasto-probe"), *map(str, command)],
            capture_output=True,
            env={**os.environ, "IMPASTO_ONNXRUNTIME": str(built.runtime)},
            check=False,
        )
        text = log.read_text()
        blocks = [part for part in text.split("\n==") if "lost in loss record" in part]
        stacks = text.split("are definitely lost")[1:]
        ours = [stack for stack in stacks if "libimpasto" in stack.split("\n\n")[0].split("definitely")[0]]
        seen[command[0]] = {"status": ended.returncode, "records": len(blocks), "ours": len(ours)}
        summary = [line for line in text.splitlines() if "definitely lost:" in line or "indirectly lost:" in line]
        seen[command[0]]["summary"] = [line.split("==")[-1].strip() for line in summary]
        assert ended.returncode == 0
    record("valgrind", commands=seen)


def test_address_and_undefined_sanitizers(built: Built, bundle: Path, tmp_path: Path) -> None:
    folder = REPOSITORY / "build-cpp" / "sanitized"
    build(folder, ("-DIMPASTO_SANITIZE=address,undefined", "-DIMPASTO_EXAMPLES=OFF"))
    checked = Built(folder, built.runtime)
    # valgrind looks for leaks: here ONNX Runtime's own would count.
    environment: dict[str, Any] = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    commands = (
        ("errors", bundle),
        ("callback", bundle),
        ("cancels", bundle, 30, 10),
        ("layouts", bundle),
        ("structs", bundle),
    )
    for words in commands:
        ended = checked.run("impasto-probe", *words, **environment)
        assert b"runtime error" not in ended.stderr
        assert b"Sanitizer" not in ended.stderr
    record("sanitizers", kinds="address, undefined", commands=[words[0] for words in commands])


def test_speed_and_memory_against_python(built: Built, tmp_path: Path) -> None:
    """One evaluation with its step, interleaved; the start to the first evaluation; and the peak of the memory."""
    content, style = pictures(tmp_path, 512)
    folder = made(tmp_path / "b", 512)
    script = tmp_path / "python.py"
    script.write_text(PYTHON)
    ours: list[float] = []
    theirs: list[float] = []
    starts: dict[str, list[float]] = {"cpp": [], "python": []}
    peaks: dict[str, list[int]] = {"cpp": [], "python": []}
    for _ in range(3):
        for side in ("cpp", "python"):
            if side == "cpp":
                words: list[Any] = [
                    built.program("impasto-probe"),
                    "losses",
                    folder,
                    *content[:3],
                    *style[:3],
                    6,
                    2,
                    "/dev/null",
                ]
            else:
                words = [sys.executable, script, content[3], style[3], 6]
            lines, peak = measured([str(word) for word in words], built.runtime)
            took = [float(line.split()[1]) for line in lines if line.startswith("took")]
            (ours if side == "cpp" else theirs).extend(took)
            starts[side] += [float(line.split()[1]) for line in lines if line.startswith("first")]
            peaks[side].append(peak)
    ratio = statistics.median(ours) / statistics.median(theirs)
    record(
        "speed_512_px",
        evaluation_s={"cpp": ours, "python": theirs, "ratio_of_medians": ratio},
        start_s={**starts, "ratio_of_medians": statistics.median(starts["cpp"]) / statistics.median(starts["python"])},
        peak_kib=peaks,
        threads=2,
        conditions="interleaved; see `load` for the load average at the end",
        load=os.getloadavg(),
    )


def measured(words: list[str], runtime: Path) -> tuple[list[str], int]:
    """Run a command; return what it prints and its largest resident memory, KiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    wrapped = [sys.executable, "-c", WATCH, *words]
    ended = subprocess.run(
        wrapped,
        capture_output=True,
        text=True,
        env={**os.environ, "IMPASTO_ONNXRUNTIME": str(runtime), "IMPASTO_NO_CACHE": "1"},
        check=True,
    )
    assert before >= 0
    *lines, peak = ended.stdout.splitlines()
    return lines, int(peak)


WATCH = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(ended.stdout, end="")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

PYTHON = """
import sys, time
start = time.perf_counter()
from impasto.engine import Engine, Settings
from impasto.engine.events import Iteration, Started
times = []
def listen(event):
    if isinstance(event, (Started, Iteration)):
        times.append((time.perf_counter(), getattr(event, "evaluations", 1)))
settings = Settings(size=512, evaluations=int(sys.argv[3]), iterations=1000)
with Engine("vgg19-slim", provider="cpu,plain", threads=2, loop="device") as engine:
    engine.transfer(sys.argv[1], sys.argv[2], settings, on_event=listen)
print("first", times[0][0] - start, "s")
for (before, count), (after, later) in zip(times, times[1:]):
    print("took", (after - before) / (later - count), "s")
"""
