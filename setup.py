"""Builds the operators of cpp/ops as a part of the package, where there is a C++ compiler; everything else is data.

The library is no Python module, and it needs no version of Python: a wheel that has it is for a platform and any Python
3, and one that was built without a compiler is for every platform. IMPASTO_NATIVE=0 leaves the library out;
IMPASTO_NATIVE=1 ends the build where it cannot be made.
"""

import os
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

    def build_extension(self, ext: Extension) -> None:
        """Compile and link with the C++ compiler; setuptools would take the C compiler for some of it."""
        compiler = cxx()
        assert compiler is not None, "no C++ compiler"  # noqa: S101 (there is no extension without one)
        self.compiler.set_executable("compiler_so", [compiler, "-fPIC"])
        self.compiler.set_executable("compiler_so_cxx", [compiler, "-fPIC"])
        self.compiler.set_executable("linker_so", [compiler, "-shared"])
        self.compiler.set_executable("linker_so_cxx", [compiler, "-shared"])
        super().build_extension(ext)


class AnyPythonWheel(bdist_wheel):
    """Tags a wheel with the library for its platform and any Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag."""
        python, abi, platform = super().get_tag()
        return (python, abi, platform) if self.root_is_pure else ("py3", "none", platform)


def cxx() -> str | None:
    """Return the C++ compiler: CXX, or the first of the usual names."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    return next((found for name in names if (found := shutil.which(name))), None)


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
            LIBRARY, sources, depends=headers, extra_compile_args=FLAGS, extra_link_args=["-pthread"], optional=optional
        )
    ]


commands: dict[str, Any] = {"build_ext": BuildLibrary, "bdist_wheel": AnyPythonWheel}
setup(ext_modules=extensions(), cmdclass=commands)
