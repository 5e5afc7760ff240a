"""What takes minutes: the whole run against Python, other ONNX Runtimes, sanitizers and valgrind, speed and memory.

Run by hand with ``pytest tests/cpp/test_evidence.py -m load``. Each test writes what it saw to
``bench/results/embedding.json``.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from impasto.engine import Engine, Settings
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


def made(folder: Path, long_side: int, *styles: Path) -> Path:
    order = Order(Settings(size=long_side), ((long_side, long_side * 3 // 4),), styles)
    write_bundle(load_network("vgg19-slim"), folder, order)
    return folder


EVALUATIONS = 100


def whole_run(
    built: Built, folder: Path, content: tuple[Path, int, int, Path], style: Path, words: tuple[Any, ...], out: Path
) -> dict[str, Any]:
    """Run Python and the library on a bundle; return both ends of both, for the record."""
    settings = Settings(size=256, evaluations=EVALUATIONS, iterations=1000)
    expected, result = in_python("vgg19-slim", content[3], style, settings, "device")
    lines = built.lines("impasto-probe", "losses", folder, *content[:3], *words, EVALUATIONS, 1, out)
    found = losses_of(lines)
    painted = np.frombuffer(out.read_bytes(), np.uint8).reshape(192, 256, 3)
    Image.fromarray(painted).save(out.with_suffix(".png"))
    first, final = found[0], found[max(found)]
    return {
        "first": {"cpp": first, "python": expected[0], "relative": first / expected[0] - 1},
        "final": {"cpp": final, "python": expected[-1], "relative": final / expected[-1] - 1},
        "iterations": {"cpp": max(found), "python": result.iterations},
        "evaluations": EVALUATIONS,
        "picture_mean_difference": float(np.abs(painted - np.clip(result.picture.pixels, 0, 1) * 255).mean()),
    }


def test_the_whole_run_with_a_style_image_begins_as_pythons(built: Built, tmp_path: Path) -> None:
    """The Gram matrices of the bundle's graph for images of any size are rounded otherwise, which L-BFGS amplifies."""
    content, style = pictures(tmp_path, 256)
    out = REPOSITORY / "build-cpp" / "harbour-swirls.raw"
    seen = whole_run(built, made(tmp_path / "b", 256), content, style[3], style[:3], out)
    record("whole_run_style_image", **seen)
    assert abs(seen["first"]["relative"]) < 1e-6


def test_the_whole_run_with_a_saved_style_is_pythons(built: Built, tmp_path: Path) -> None:
    content, style = pictures(tmp_path, 256)
    saved = tmp_path / "look.safetensors"
    with Engine("vgg19-slim", provider="cpu,plain", threads=1) as engine:
        engine.save_style(style[3], saved, Settings(size=256))
    folder = made(tmp_path / "b", 256, saved)
    out = REPOSITORY / "build-cpp" / "harbour-look.raw"
    seen = whole_run(built, folder, content, saved, ("@look", 0, 0), out)
    record("whole_run_saved_style", **seen)
    assert abs(seen["first"]["relative"]) < 1e-6
    assert abs(seen["final"]["relative"]) < 1e-3


def test_rounding_grows_in_python_alone(tmp_path: Path) -> None:
    """By how much the loss after 50 evaluations differs where the content image differs by 1e-7."""
    content, style = pictures(tmp_path, 64)
    with Image.open(content[3]) as image:
        pixels = np.asarray(image, np.float32) / np.float32(255)
    changes: dict[str, dict[str, Any]] = {"lbfgs": {}, "adam": {"optimizer": "adam", "weighting": "calibrated"}}
    seen: dict[str, Any] = {}
    for name, change in changes.items():
        settings = Settings(size=64, evaluations=50, iterations=1000, **change)
        finals = []
        for seed in range(6):
            noise = 1e-7 * np.random.default_rng(seed).standard_normal(pixels.shape) if seed else 0.0
            source = tmp_path / f"{seed}.npy"
            np.save(source, (pixels * (1 + noise) * 255).astype(np.float32))
            loop = "host" if name == "adam" else "device"
            finals.append(in_python("vgg19-slim", source, style[3], settings, loop)[0][-1])
        seen[name] = {"final": finals, "largest_relative": max(abs(one / finals[0] - 1) for one in finals)}
    record("rounding", content_changed_by=1e-7, size_px=64, evaluations=50, **seen)
    assert seen["adam"]["largest_relative"] < 1e-3 < seen["lbfgs"]["largest_relative"]


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


def of_ours(error: ElementTree.Element) -> bool:
    """Whether an error of valgrind's is the library's: a leak with a frame of it, or anything that it did itself."""
    paths = [Path(frame.findtext("obj") or "").name for frame in error.findall("stack/frame")]
    if (error.findtext("kind") or "").startswith("Leak_"):
        return any(name.startswith(("libimpasto", "impasto-")) for name in paths)
    own = [name for name in paths if not name.startswith(("vgpreload_", "libc.so", "ld-linux", "libstdc++"))]
    return bool(own) and own[0].startswith(("libimpasto", "impasto-"))


def under_valgrind(built: Built, folder: Path, *words: object) -> tuple[int, list[str], list[str]]:
    """Run a command of the probe; return its exit status, and the kinds of all errors and of ours."""
    needed("valgrind")
    log = folder / "valgrind.xml"
    options = ["--leak-check=full", "--show-leak-kinds=definite,indirect", "--xml=yes", f"--xml-file={log}"]
    ended = subprocess.run(
        ["valgrind", *options, built.program("impasto-probe"), *map(str, words)],
        capture_output=True,
        env={**os.environ, "IMPASTO_ONNXRUNTIME": str(built.runtime)},
        check=False,
    )
    errors = ElementTree.parse(log).findall("error")  # noqa: S314 - valgrind wrote it
    kinds = [[error.findtext("kind") or "" for error in some] for some in (errors, filter(of_ours, errors))]
    return ended.returncode, kinds[0], kinds[1]


def test_valgrind_loses_nothing_of_ours(built: Built, bundle: Path, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    for words in (("errors", bundle), ("callback", bundle), ("structs", bundle), ("cancels", bundle, 6, 2)):
        status, kinds, ours = under_valgrind(built, tmp_path, *words)
        seen[words[0]] = {"status": status, "errors": dict(Counter(kinds)), "ours": ours}
    record("valgrind", commands=seen)
    assert all(one["status"] == 0 and one["ours"] == [] for one in seen.values()), seen


def test_valgrind_finds_what_is_lost(built: Built, bundle: Path, tmp_path: Path) -> None:
    status, _, ours = under_valgrind(built, tmp_path, "leak", bundle)
    assert (status, set(ours)) == (0, {"Leak_DefinitelyLost", "Leak_IndirectlyLost"})


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


def test_cancels_under_the_thread_sanitizer(built: Built, bundle: Path, tmp_path: Path) -> None:
    """Accesses of ONNX Runtime's own do not count: it was not built with the sanitizer, which misses its locks."""
    folder = REPOSITORY / "build-cpp" / "threads"
    build(folder, ("-DIMPASTO_SANITIZE=thread", "-DIMPASTO_EXAMPLES=OFF"))
    checked = Built(folder, built.runtime)
    suppressions = tmp_path / "suppressions"
    suppressions.write_text("race:libonnxruntime.so\n")
    environment: dict[str, Any] = {"TSAN_OPTIONS": f"suppressions={suppressions} exitcode=66"}
    found = checked.run("impasto-probe", "race", status=66, **environment)
    assert b"ThreadSanitizer: data race" in found.stderr
    ended = checked.run("impasto-probe", "cancels", bundle, 3000, 1000, **environment)
    said = ended.stdout.decode().strip()
    record("thread_sanitizer", cancels=1000, said=said)
    assert b"ThreadSanitizer" not in ended.stderr
    assert said.startswith("same")


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
    start = statistics.median(starts["cpp"]) / statistics.median(starts["python"])
    record(
        "speed_512_px",
        evaluation_s={"cpp": ours, "python": theirs, "ratio_of_medians": ratio},
        start_s={**starts, "ratio_of_medians": start},
        peak_kib=peaks,
        threads=2,
        conditions="interleaved; see `load` for the load average at the end",
        load=os.getloadavg(),
    )
    assert ratio <= 1.0
    assert start <= 0.5
    assert max(peaks["cpp"]) <= min(peaks["python"]) - 100 * 1024


def measured(words: list[str], runtime: Path) -> tuple[list[str], int]:
    """Run a command; return what it prints and its largest resident memory, KiB."""
    wrapped = [sys.executable, "-c", WATCH, *words]
    ended = subprocess.run(
        wrapped,
        capture_output=True,
        text=True,
        env={**os.environ, "IMPASTO_ONNXRUNTIME": str(runtime), "IMPASTO_NO_CACHE": "1"},
        check=True,
    )
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
