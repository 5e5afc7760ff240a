"""How the library compiles, what it exports and needs, and how other projects use it once it is installed."""

import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from impasto.models.checksum import sha256_of
from tests.conftest import REPOSITORY
from tests.cpp.conftest import Built, needed
from tests.file_server import FileServer

INCLUDE = REPOSITORY / "cpp" / "impasto" / "include"
ABI = REPOSITORY / "cpp" / "impasto" / "abi" / "libimpasto.abi"
DUMP = (
    "abidw --exported-interfaces-only --no-show-locs --no-comp-dir-path --no-corpus-path --drop-private-types "
    "--headers-dir cpp/impasto/include/impasto --out-file cpp/impasto/abi/libimpasto.abi "
    "build-cpp/impasto/libimpasto.so"
)
HEADER_URL = "http://deb.debian.org/debian/pool/main/o/onnxruntime/libonnxruntime-dev_1.21.0+dfsg-1_amd64.deb"
HEADER_SHA256 = "14f7d959d5deacbcf1504830d4189f91fc67382b399ed9ae9d3aa9c4050ced08"
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only")


@pytest.mark.parametrize("compiler", ["gcc", "g++", "clang", "clang++"])
def test_the_headers_compile_everywhere(tmp_path: Path, compiler: str) -> None:
    needed(compiler)
    is_c = not compiler.endswith("++")
    files = {"impasto.h": ("c99", "c11", "c17") if is_c else ("c++17", "c++20"), "impasto.hpp": ()}
    files["impasto.hpp"] = () if is_c else ("c++17", "c++20")
    for name, standards in files.items():
        source = tmp_path / ("use.c" if is_c else "use.cpp")
        source.write_text(f'#include "impasto/{name}"\n#include "impasto/{name}"\nint main(void) {{ return 0; }}\n')
        for standard in standards:
            command = [compiler, f"-std={standard}", *STRICT, f"-I{INCLUDE}", str(source)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, f"{standard}: {ended.stderr}"


def test_only_the_interface_is_exported(built: Built) -> None:
    needed("nm", "ldd")
    listed = subprocess.run(["nm", "-D", "--defined-only", built.library], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in listed.stdout.splitlines()]
    header = (INCLUDE / "impasto" / "impasto.h").read_text()
    declared = {
        line.split("(")[0].split()[-1].lstrip("*")
        for line in header.splitlines()
        if "IMPASTO_API" in line and "(" in line
    }
    declared -= {"__attribute__"}
    assert sorted(names) == sorted(name for name in declared if name.startswith("impasto_"))
    assert len(names) <= 20
    libraries = subprocess.run(["ldd", built.library], capture_output=True, text=True, check=True).stdout
    assert "onnxruntime" not in libraries
    assert (
        "impasto.so.1"
        in subprocess.run(["readelf", "-d", built.library], capture_output=True, text=True, check=True).stdout
    )


def test_the_binary_interface_is_the_committed_one(built: Built) -> None:
    """Functions may be added; the structs and functions of the dump may not change."""
    needed("abidiff")
    command = ["abidiff", "--headers-dir2", INCLUDE / "impasto", "--no-added-syms", ABI, built.library]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\nIf the change is wanted: {DUMP}"


def fetched(url: str, file: Path) -> Path:
    """Fetch a file; skip where there is no network. A server that no longer has the file is a failure."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - of this file
            file.write_bytes(answer.read())
    except urllib.error.HTTPError:
        raise
    except OSError as error:
        pytest.skip(f"cannot fetch {url}: {error}")
    return file


def test_a_header_that_is_gone_is_not_skipped(tmp_path: Path) -> None:
    with FileServer(b"") as server:
        server.statuses = [404]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(server.url, tmp_path / "header.deb")


def test_the_slots_are_those_of_the_real_header(tmp_path: Path) -> None:
    """With the header of Debian's package, whose file is pinned; it is compiled and not kept."""
    needed("c++", "dpkg-deb")
    package = fetched(HEADER_URL, tmp_path / "header.deb")
    assert sha256_of(package) == HEADER_SHA256
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "header"], check=True)
    folder = tmp_path / "header" / "usr" / "include" / "onnxruntime"
    source = REPOSITORY / "cpp" / "impasto" / "tests" / "ort_header.cpp"
    command = ["c++", "-std=c++17", "-fsyntax-only", f"-I{folder}", str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    wrong = source.read_text().replace('"../src/ort_slots.hpp"', '"slots.hpp"')
    slots = (source.parent.parent / "src" / "ort_slots.hpp").read_text()
    (tmp_path / "slots.hpp").write_text(slots.replace("X(Run, 9,", "X(Run, 8,"))
    (tmp_path / "wrong.cpp").write_text(wrong)
    ended = subprocess.run([*command[:-1], str(tmp_path / "wrong.cpp")], capture_output=True, text=True, check=False)
    assert "Run is in another slot" in ended.stderr


CONSUMER = """
#include <stdio.h>
#include <impasto/impasto.h>
int main(void) { printf("%s %u\\n", impasto_version(), (unsigned)impasto_abi_version()); return 0; }
"""
LISTS = """
cmake_minimum_required(VERSION 3.22)
project(consumer C CXX)
{found}
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE impasto::impasto)
"""


def consumer(folder: Path, found: str, *options: str) -> str:
    """Build a project that uses the library, and return what it prints."""
    folder.mkdir()
    (folder / "main.c").write_text(CONSUMER)
    (folder / "CMakeLists.txt").write_text(LISTS.format(found=found))
    source, binary = str(folder), str(folder / "b")
    for command in (["cmake", "-S", source, "-B", binary, *options], ["cmake", "--build", binary]):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return subprocess.run([folder / "b" / "consumer"], capture_output=True, text=True, check=True).stdout


def test_other_projects_find_it(built: Built, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    subprocess.run(["cmake", "--install", built.folder, "--prefix", prefix], capture_output=True, check=True)
    assert (
        consumer(tmp_path / "package", "find_package(impasto 0.2 REQUIRED)", f"-DCMAKE_PREFIX_PATH={prefix}")
        == "0.2.0 1\n"
    )
    needed("pkg-config")
    (pc,) = prefix.rglob("impasto.pc")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "impasto"], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    (tmp_path / "main.c").write_text(CONSUMER)
    subprocess.run(["cc", tmp_path / "main.c", "-o", tmp_path / "main", *flags], check=True)
    (library,) = prefix.rglob("libimpasto.so")
    ran = subprocess.run(
        [tmp_path / "main"], capture_output=True, text=True, check=True, env={"LD_LIBRARY_PATH": str(library.parent)}
    )
    assert ran.stdout == "0.2.0 1\n"


def test_a_project_can_contain_it(built: Built, tmp_path: Path) -> None:
    assert built.library.is_file()
    folder = REPOSITORY / "cpp" / "impasto"
    found = f"add_subdirectory({folder} impasto)"
    assert consumer(tmp_path / "inside", found, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_UNITY_BUILD=ON") == "0.2.0 1\n"
