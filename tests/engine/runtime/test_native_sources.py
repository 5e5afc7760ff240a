"""The sources of the operators: under sanitizers, without ONNX Runtime, and against ONNX Runtime's own header."""

import hashlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.file_server import FileServer

FOLDER = REPOSITORY / "cpp" / "ops"
COMPILER = shutil.which("g++") or shutil.which("c++")
HEADERS = "http://deb.debian.org/debian/pool/main/o/onnxruntime/libonnxruntime-dev_1.21.0+dfsg-1_amd64.deb"
HEADERS_SHA256 = "14f7d959d5deacbcf1504830d4189f91fc67382b399ed9ae9d3aa9c4050ced08"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++ or c++)")]


def built(program: Path, sources: list[Path], *flags: str) -> Path:
    words = [str(COMPILER), "-std=c++17", "-O1", "-ffp-contract=fast", *flags, *map(str, sources)]
    done = subprocess.run([*words, "-o", str(program), "-pthread"], capture_output=True, text=True)
    if "cannot find -lasan" in done.stderr or "libasan" in done.stderr:
        pytest.skip("the compiler has no AddressSanitizer")
    assert done.returncode == 0, done.stderr
    return program


def sources(program: str) -> list[Path]:
    """A program of the tests, and all of the library that needs no ONNX Runtime."""
    return [FOLDER / "tests" / program, *(file for file in FOLDER.glob("*.cpp") if file.name != "operators.cpp")]


def test_kernels_under_sanitizers_agree_with_double_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = built(tmp_path / "kernels", sources("kernels.cpp"), *flags)
    names = subprocess.run([program, "sets"], check=True, capture_output=True, text=True).stdout.split()
    assert names[-1] == "portable"
    for name in names:
        monkeypatch.setenv("IMPASTO_OPS_ISA", name)
        done = subprocess.run([program, "15", "3"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.match(f"{name} and .*: 15 shapes, largest error", done.stdout)


def test_the_fuzz_target_computes_what_it_does_not_refuse(tmp_path: Path) -> None:
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DIMPASTO_RANDOM_INPUTS")
    program = built(tmp_path / "fuzz", sources("fuzz.cpp"), *flags)
    done = subprocess.run([program, "20000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    inputs, computed = map(int, re.findall(r"\d+", done.stdout))
    assert inputs == 20000
    assert inputs / 4 < computed < inputs


def fetched(url: str, file: Path) -> Path:
    """Download a file; without a network the test is skipped, and an error of the server fails it."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 (the addresses are above)
            file.write_bytes(response.read())
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        pytest.skip(f"no network: {url} cannot be fetched: {error}")
    return file


def test_a_file_that_the_server_lacks_is_an_error_and_no_skip(tmp_path: Path) -> None:
    with FileServer(b"") as server:
        server.statuses = [404]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(server.url, tmp_path / "none.deb")


def test_the_declared_slots_are_those_of_the_runtimes_header(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb to unpack the header with")
    package = fetched(HEADERS, tmp_path / "headers.deb")
    assert hashlib.sha256(package.read_bytes()).hexdigest() == HEADERS_SHA256
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "headers"], check=True)
    include = next((tmp_path / "headers").rglob("onnxruntime_c_api.h")).parent
    check = FOLDER / "tests" / "check_header.cpp"
    words = [str(COMPILER), "-std=c++17", "-fsyntax-only", f"-I{include}", str(check)]
    assert subprocess.run(words, capture_output=True, text=True).stderr == ""
    wrong = tmp_path / "tests" / "check_header.cpp"  # the check can fail
    wrong.parent.mkdir()
    wrong.write_text(check.read_text())
    (tmp_path / "ort.h").write_text((FOLDER / "ort.h").read_text().replace("ReadOpAttr, 272", "ReadOpAttr, 273"))
    assert "ReadOpAttr" in subprocess.run([*words[:-1], str(wrong)], capture_output=True, text=True).stderr
