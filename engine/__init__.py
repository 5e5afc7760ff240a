"""The engine turns graphs into pictures.

    from impasto.engine import Engine, Settings

    with Engine(model="vgg19") as engine:
        result = engine.transfer("content.jpg", "style.jpg", Settings(size=512))
    result.save("out.png")

Public names are imported at their first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.engine.events import Event as Event
    from impasto.engine.events import Iteration as Iteration
    from impasto.engine.events import PrecisionChanged as PrecisionChanged
    from impasto.engine.events import ScaleStarted as ScaleStarted
    from impasto.engine.events import Started as Started
    from impasto.engine.images import Picture as Picture
    from impasto.engine.inputs.checkpoint import load_checkpoint as load_checkpoint
    from impasto.engine.inputs.checkpoint import save_checkpoint as save_checkpoint
    from impasto.engine.inputs.run_state import RunState as RunState
    from impasto.engine.inputs.saved_style import SavedStyle as SavedStyle
    from impasto.engine.jobs.engine import Engine as Engine
    from impasto.engine.jobs.handle import Handle as Handle
    from impasto.engine.jobs.job import Finished as Finished
    from impasto.engine.jobs.job import Job as Job
    from impasto.engine.jobs.job import JobState as JobState
    from impasto.engine.jobs.reconstruction import content_reconstruction as content_reconstruction
    from impasto.engine.jobs.reconstruction import style_reconstruction as style_reconstruction
    from impasto.engine.jobs.refinement import RefinementError as RefinementError
    from impasto.engine.jobs.refinement import transfer_refined as transfer_refined
    from impasto.engine.presets import preset as preset
    from impasto.engine.result import Evaluation as Evaluation
    from impasto.engine.result import Result as Result
    from impasto.engine.settings import Settings as Settings
    from impasto.engine.settings import Tap as Tap
    from impasto.models.errors import ImpastoError as ImpastoError

_MODULES = {
    "engine.events": ("Event", "Iteration", "PrecisionChanged", "ScaleStarted", "Started"),
    "engine.images": ("Picture",),
    "engine.inputs.checkpoint": ("load_checkpoint", "save_checkpoint"),
    "engine.inputs.run_state": ("RunState",),
    "engine.inputs.saved_style": ("SavedStyle",),
    "engine.jobs.engine": ("Engine",),
    "engine.jobs.handle": ("Handle",),
    "engine.jobs.job": ("Finished", "Job", "JobState"),
    "engine.jobs.reconstruction": ("content_reconstruction", "style_reconstruction"),
    "engine.jobs.refinement": ("RefinementError", "transfer_refined"),
    "engine.presets": ("preset",),
    "engine.result": ("Evaluation", "Result"),
    "engine.settings": ("Settings", "Tap"),
    "models.errors": ("ImpastoError",),
}

__all__ = sorted(name for names in _MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that importing one module of the package does not import all."""
    import importlib

    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"impasto.{module}"), name)
    raise AttributeError(f"module 'impasto.engine' has no attribute {name!r}")
