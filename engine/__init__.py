"""The engine turns graphs into pictures.

    from impasto.engine import Engine, Settings

    with Engine(model="vgg19") as engine:
        result = engine.transfer("content.jpg", "style.jpg", Settings(size=512))
    result.save("out.png")

Public names are imported at their first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.engine.events import Event, Iteration, PrecisionChanged, Started
    from impasto.engine.images import Picture
    from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
    from impasto.engine.inputs.run_state import RunState
    from impasto.engine.inputs.saved_style import SavedStyle
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.handle import Handle
    from impasto.engine.jobs.job import Finished, Job, JobState
    from impasto.engine.jobs.reconstruction import content_reconstruction, style_reconstruction
    from impasto.engine.jobs.refinement import RefinementError, transfer_refined
    from impasto.engine.result import Evaluation, Result
    from impasto.engine.settings import Settings, Tap
    from impasto.models.errors import ImpastoError

_HOMES = {
    "Engine": "jobs.engine",
    "Evaluation": "result",
    "Event": "events",
    "Finished": "jobs.job",
    "Handle": "jobs.handle",
    "Iteration": "events",
    "Job": "jobs.job",
    "JobState": "jobs.job",
    "Picture": "images",
    "PrecisionChanged": "events",
    "RefinementError": "jobs.refinement",
    "Result": "result",
    "RunState": "inputs.run_state",
    "SavedStyle": "inputs.saved_style",
    "Settings": "settings",
    "Started": "events",
    "Tap": "settings",
    "content_reconstruction": "jobs.reconstruction",
    "load_checkpoint": "inputs.checkpoint",
    "save_checkpoint": "inputs.checkpoint",
    "style_reconstruction": "jobs.reconstruction",
    "transfer_refined": "jobs.refinement",
}

__all__ = [
    "Engine",
    "Evaluation",
    "Event",
    "Finished",
    "Handle",
    "ImpastoError",
    "Iteration",
    "Job",
    "JobState",
    "Picture",
    "PrecisionChanged",
    "RefinementError",
    "Result",
    "RunState",
    "SavedStyle",
    "Settings",
    "Started",
    "Tap",
    "content_reconstruction",
    "load_checkpoint",
    "save_checkpoint",
    "style_reconstruction",
    "transfer_refined",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that importing one module of the package does not import all."""
    import importlib

    if name == "ImpastoError":
        return importlib.import_module("impasto.models.errors").ImpastoError
    if name in _HOMES:
        return getattr(importlib.import_module(f"impasto.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'impasto.engine' has no attribute {name!r}")
