"""The file form of a run's state.

A `.safetensors` file: the optimiser's arrays as "optimiser.NAME", the content image as "content" (float32 H x W x 3,
RGB, 0..1) and its "content.alpha", the style image as "style", or a saved style's matrices as "style.NAME". The
metadata entry "impasto" is a JSON object with the rest. A run continues from this file and the network alone.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle, StyleOrigin
from impasto.engine.settings import Settings
from impasto.models.atomic import atomic_file, check_place
from impasto.models.errors import ImpastoError

SUFFIX = ".safetensors"
_ENTRY, _KIND, _FORMAT = "impasto", "run", 1
_OPTIMISER, _CONTENT, _ALPHA, _STYLE = "optimiser.", "content", "content.alpha", "style"
_PLAIN = (
    *("from_noise", "loop", "iteration", "evaluations", "optimiser_from", "loss", "terms", "initial_terms"),
    *("seconds", "model", "model_sha256", "precision"),
)


def check_checkpoint_path(path: str | os.PathLike[str]) -> None:
    """Refuse before the run what `save_checkpoint` would refuse during it.

    Raises:
        ImpastoError: the file is not named .safetensors, or no file can be made there.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise ImpastoError(f"cannot write {path}: a checkpoint is a {SUFFIX} file; name it so")
    check_place(Path(path))


def save_checkpoint(state: RunState, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
    """Write a run's state; a reader finds the file as it was before, or whole.

    Args:
        state: of the run.
        path: .safetensors.
        extra: plain values to keep with it.

    Raises:
        ImpastoError: the file is not named .safetensors, or cannot be written.
    """
    from safetensors.numpy import save_file

    check_checkpoint_path(path)
    arrays = {f"{_OPTIMISER}{name}": array for name, array in state.optimiser.items()}
    arrays[_CONTENT] = state.scene.pixels
    if state.scene.alpha is not None:
        arrays[_ALPHA] = state.scene.alpha
    record: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    record |= {"kind": _KIND, "format": _FORMAT, "extra": dict(extra or {}), "settings": state.settings.as_dict()}
    record |= {"content": state.scene.name, "style": state.painting.name}
    if isinstance(state.painting, SavedStyle):
        arrays |= {f"{_STYLE}.{name}": gram for name, gram in state.painting.grams.items()}
        record["origin"] = dataclasses.asdict(state.painting.origin)
    elif state.painting.pixels is not state.scene.pixels:
        arrays[_STYLE] = state.painting.pixels
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with atomic_file(Path(path)) as part:
        save_file(whole, part, {_ENTRY: json.dumps(record)})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[RunState, dict[str, Any]]:
    """Return the state of a file that `save_checkpoint` wrote, and the plain values kept with it.

    Raises:
        ImpastoError: there is no such file, it is damaged, or it holds something else.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ImpastoError(f"no such file: {path}; give a checkpoint, which `impasto transfer --checkpoint` writes")
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
            if record.get("kind") != _KIND:
                raise ImpastoError(f"not a checkpoint: {path}; `impasto transfer --checkpoint` writes one")
            if record["format"] != _FORMAT:
                raise ImpastoError(
                    f"{path} is of checkpoint format {record['format']}, and this version reads {_FORMAT}; resume it "
                    "with the version that wrote it"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        return _state(record, arrays), record["extra"]
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ImpastoError(f"damaged checkpoint: {path} ({reason}); start the run again") from error


def _state(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> RunState:
    scene = Picture(arrays[_CONTENT], arrays.get(_ALPHA), record["content"])
    optimiser = {name.removeprefix(_OPTIMISER): array for name, array in arrays.items() if name.startswith(_OPTIMISER)}
    if optimiser["x"].shape != (scene.pixels.size,) or optimiser["x"].dtype != np.float32:
        raise ValueError(f"the image has {optimiser['x'].size} values, and the content image {scene.pixels.size}")
    plain = {name: record[name] for name in _PLAIN}
    plain["optimiser_from"] = tuple(plain["optimiser_from"])
    settings = Settings.from_dict(record["settings"])
    painting = _painting(record, arrays, scene)
    return RunState(settings=settings, scene=scene, painting=painting, optimiser=optimiser, **plain)


def _painting(record: dict[str, Any], arrays: dict[str, np.ndarray], scene: Picture) -> Painting:
    if "origin" not in record:
        return Picture(arrays.get(_STYLE, scene.pixels), None, record["style"])
    origin = StyleOrigin(**{**record["origin"], "taps": tuple(record["origin"]["taps"])})
    prefix = f"{_STYLE}."
    grams = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return SavedStyle(grams, origin, record["style"])
