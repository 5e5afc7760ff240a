"""The only module that imports ONNX Runtime. It turns ONNX Runtime's telemetry off.

Microsoft's wheels report usage when they are imported: they ask DNS for a host of Microsoft's, and leave the folder
``Microsoft/DeveloperTools/.onnxruntime`` in the user's cache. ONNX Runtime reads ORT_DISABLE_TELEMETRY once, during the
import, so a later call of ``disable_telemetry_events()`` has no effect. A value that the user has set is kept.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
