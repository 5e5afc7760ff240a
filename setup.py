"""Builds the operators of cpp/ops as a part of the package, where there is a C++ compiler; everything else is data.

The library is no Python module, and it needs no version of Python: a wheel that has it is for a platform and any Python
3, and one whose library could not be built is for every platform. IMPASTO_NATIVE=0 leaves the library out;
IMPASTO_NATIVE=1 ends the build where it cannot be made. CXX is the compiler's command; CXXFLAGS, LDFLAGS and, on macOS,
ARCHFLAGS are added to it.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

FOLDER = Path("cpp/ops")
LIBRARY = "impasto.engine.runtime.libimpasto_ops"
FLAGS = ["-std=c++17", "-O3", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno", "-g0"]
WANTED = os.environ.get("IMPASTO_NATIVE", "")


class BuildLibrary(build_ext):
    """Names the file as a library, and puts the compiler that was found in the place of Python's own."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the name without Python's version."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def run(self) -> None:
        """Build; a library that is optional and cannot be built is no part of the distribution."""
        super().run()
        self.distribution.ext_modules = [
            ext for ext in self.extensions if Path(self.get_ext_fullpath(ext.name)).exists()
        ]

    def build_extension(self, ext: Extension) -> None:
        """Compile and link with the C++ compiler; setuptools would take the C compiler for some of it."""
        command = cxx()
        assert command is not None, "no C++ compiler"  # noqa: S101 (there is no extension without one)
        command += words("ARCHFLAGS") if sys.platform == "darwin" else []
        for name in ("compiler_so", "compiler_so_cxx"):
            self.compiler.set_executable(name, [*command, "-fPIC"])
        for name in ("compiler_cxx", "linker_so", "linker_so_cxx"):
            self.compiler.set_executable(name, [*command, "-shared"])
        try:
            super().build_extension(ext)
        except Exception:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # of an earlier build
            raise


class AnyPythonWheel(bdist_wheel):
    """Tags a wheel with the library for its platform and any Python 3."""

    def run(self) -> None:
        """Build first: only then it is known whether the wheel is for a platform."""
        self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag."""
        python, abi, platform = super().get_tag()
        return (python, abi, platform) if self.root_is_pure else ("py3", "none", platform)


def words(variable: str) -> list[str]:
    """Return the words of an environment variable, as a shell takes them."""
    return shlex.split(os.environ.get(variable, ""))


def cxx() -> list[str] | None:
    """Return the command of the C++ compiler: CXX, or the first of the usual names."""
    commands = [words("CXX")] if words("CXX") else [["c++"], ["g++"], ["clang++"]]
    return next((command for command in commands if shutil.which(command[0])), None)


def extensions() -> list[Extension]:
    """Return the library, or nothing where it cannot or must not be built."""
    possible = sys.platform in ("linux", "darwin") and cxx() is not None
    if WANTED == "0" or not (possible or WANTED == "1"):
        return []
    sources = sorted(map(str, FOLDER.glob("*.cpp")))
    headers = sorted(map(str, FOLDER.glob("*.h")))
    optional = WANTED != "1"
    return [
        Extension(
            LIBRARY,
            sources,
            depends=headers,
            extra_compile_args=[*FLAGS, *words("CXXFLAGS")],
            extra_link_args=["-pthread", *words("LDFLAGS")],
            optional=optional,
        )
    ]


commands: dict[str, Any] = {"build_ext": BuildLibrary, "bdist_wheel": AnyPythonWheel}
setup(ext_modules=extensions(), cmdclass=commands)
