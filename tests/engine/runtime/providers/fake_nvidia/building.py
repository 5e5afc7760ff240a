"""Builds the libraries of `fake.c`, as far as ONNX Runtime's CUDA provider asks for them."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("fake.c")
DRIVER, CUDNN = "libcuda.so.1", "libcudnn.so.9"
_DEFINED = re.compile(r"^[\w ]+?[ *](\w+)\(|^HANDLE\((\w+)\)|\bHANDLE\((\w+)\)|\bBYTES\((\w+)\)", re.MULTILINE)
_ASKED_AT_RUN_TIME = re.compile(rb"\0(cudnn[A-Z]\w+)(?=\0)")


def missing() -> str | None:
    """Return why nothing can be built here; None where it can."""
    if not sys.platform.startswith("linux"):
        return "the fake NVIDIA libraries are built on Linux"
    absent = [tool for tool in ("cc", "nm", "readelf") if shutil.which(tool) is None]
    if absent:
        return f"no {' or '.join(absent)} to build the fake NVIDIA libraries with"
    if importlib.util.find_spec("nvidia") is not None:
        return "NVIDIA's own libraries are installed here, and ONNX Runtime would find them first"
    return None if provider_library() else "the installed onnxruntime has no CUDA provider"


def provider_library() -> Path | None:
    """Return ONNX Runtime's CUDA provider; None where the wheel has none."""
    import onnxruntime as ort

    path = Path(ort.__path__[0]) / "capi" / "libonnxruntime_providers_cuda.so"
    return path if path.is_file() else None


def build(folder: Path) -> None:
    """Put every library there: one file under all their names.

    Args:
        folder: is made.
    """
    provider = provider_library()
    assert provider is not None
    asked: dict[str, set[str]] = {}
    listed = subprocess.run(["nm", "-D", "--undefined-only", provider], check=True, capture_output=True, text=True)
    for name, library in re.findall(r" U (\w+)@(libcu\S+)", listed.stdout):
        asked.setdefault(library, set()).add(name)
    later = {match.decode() for match in _ASKED_AT_RUN_TIME.findall(provider.read_bytes())}
    later |= {*re.findall(r" U (cu\w+)\n", listed.stdout), *_DRIVERS_REST}
    defined = {name for groups in _DEFINED.findall(SOURCE.read_text()) for name in groups if name}
    rest = sorted(set().union(later, *asked.values()) - defined)
    folder.mkdir(parents=True)
    (folder / "rest.c").write_text("".join(f"long {name}(void) {{ return 0; }}\n" for name in rest))
    (folder / "versions.map").write_text(
        "".join(f"{library} {{ global: {'; '.join(sorted(names))}; }};\n" for library, names in asked.items())
    )
    built = folder / "fake.so"
    flags = ["-shared", "-fPIC", "-w", f"-Wl,--version-script={folder / 'versions.map'}"]
    subprocess.run(["cc", *flags, "-o", built, SOURCE, folder / "rest.c"], check=True)
    needed = subprocess.run(["readelf", "-d", provider], check=True, capture_output=True, text=True)
    for name in {DRIVER, CUDNN, *re.findall(r"\[(libcu\S+)\]", needed.stdout)}:
        (folder / name).symlink_to(built.name)


_DRIVERS_REST = ("cuInit", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2")
