"""ONNX Runtime's library in the wheel that Python uses."""

from pathlib import Path

import onnxruntime
import pytest


def installed_runtime() -> Path:
    """Return the library; skip where the wheel has none, as on macOS and Windows."""
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not found:
        pytest.skip("the wheel of ONNX Runtime has no libonnxruntime.so")
    return found[0]
