"""libFuzzer on the parser of manifests and the check of images, with sanitizers of addresses and undefined values."""

import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.cpp.conftest import needed

IMPASTO = REPOSITORY / "cpp" / "impasto"
SOURCES = ("json.cpp", "manifest.cpp", "manifest_checks.cpp", "pixels.cpp")
SANITIZED = "-fsanitize=fuzzer,address,undefined"
IMAGE = struct.pack("=QQIIQII", 40, 1, 5, 4, 0, 3, 0)
"""An impasto_image of 5 x 4 px; the fuzzer gives it an address."""


def fuzzer(folder: Path, source: Path) -> Path:
    """Build a fuzzer from its source and the parsers; skip where clang has none."""
    needed("clang++")
    (folder / "empty.cpp").write_text('extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }')
    command = ["clang++", SANITIZED, str(folder / "empty.cpp"), "-o", str(folder / "empty")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("clang has no libFuzzer here: Debian's package is libclang-rt-dev")
    files = [str(source), *(str(IMPASTO / "src" / name) for name in SOURCES)]
    options = ["-std=c++17", "-O1", "-g", SANITIZED, "-fno-sanitize-recover=all", f"-I{IMPASTO / 'include'}"]
    command = ["clang++", *options, f"-I{IMPASTO / 'src'}", *files, "-o", str(folder / "fuzz")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder / "fuzz"


def fuzzed(program: Path, bundle: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a fuzzer that begins with the manifest of a bundle."""
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "whole").write_bytes(IMAGE + (bundle / "manifest.json").read_bytes())
    words = [
        program,
        corpus,
        "-print_final_stats=1",
        "-seed=1",
        "-max_len=65536",
        f"-artifact_prefix={folder}/",
        *options,
    ]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, env=environment)


def executions(ended: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"stat::number_of_executed_units:\s+(\d+)", ended.stderr)
    assert found, ended.stderr[-2000:]
    return int(found[1])


def test_the_parsers_withstand_some_seconds_of_fuzzing(bundle: Path, tmp_path: Path) -> None:
    program = fuzzer(tmp_path, IMPASTO / "tests" / "fuzz.cpp")
    ended = fuzzed(program, bundle, tmp_path, "-max_total_time=5")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert executions(ended) > 1000


def test_the_fuzzer_finds_an_overrun(bundle: Path, tmp_path: Path) -> None:
    """With the check of images left out."""
    source = (IMPASTO / "tests" / "fuzz.cpp").read_text()
    wrong = source.replace("impasto_core::checked(&image)", "image").replace('"../src/', f'"{IMPASTO}/src/')
    assert wrong.count("checked") == 0
    (tmp_path / "wrong.cpp").write_text(wrong)
    ended = fuzzed(fuzzer(tmp_path, tmp_path / "wrong.cpp"), bundle, tmp_path, "-max_total_time=60")
    assert ended.returncode != 0
    assert "Sanitizer" in ended.stderr


@pytest.mark.load
def test_the_parsers_withstand_a_million_inputs(bundle: Path, tmp_path: Path) -> None:
    program = fuzzer(tmp_path, IMPASTO / "tests" / "fuzz.cpp")
    ended = fuzzed(program, bundle, tmp_path, "-runs=1000000")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert executions(ended) >= 1_000_000
