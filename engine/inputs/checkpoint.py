"""The file format of a run's state.

A `.safetensors` file: the optimiser's arrays as "optimiser.NAME", the content image as "content" (float32 H x W x 3,
RGB, 0..1) and its "content.alpha", the style image as "style", or a saved style's matrices as "style.NAME". Content and
style have their final sizes; the image, "optimiser.x", has that of the run's scale. The
metadata entry "impasto" is a JSON object with everything else, and "checksum" is the CRC-32 of the whole. A run
continues from this file and the network alone.
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from impasto.engine.images import Picture
from impasto.engine.inputs import array_file
from impasto.engine.inputs.array_file import CHECKPOINT, CHECKSUM, ENTRY, SUFFIX, DamagedFileError, damage_explained
from impasto.engine.inputs.array_file import checksum as _checksum
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.scales import ScaleDone, scales_of
from impasto.engine.inputs.style_form import read_origin
from impasto.engine.settings import Settings
from impasto.models.atomic import atomic_file, check_place
from impasto.models.errors import ImpastoError
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable

FORMAT = 1
_OPTIMISER, _CONTENT, _ALPHA, _STYLE = "optimiser.", "content", "content.alpha", "style"
_PLAIN = {
    "from_noise": bool, "loop": str, "iteration": int, "evaluations": int, "optimiser_from": list, "loss": float,
    "terms": dict, "initial_terms": dict, "seconds": float, "model": str, "model_sha256": str, "precision": str,
    "scale": int,
}  # fmt: skip
"""Attributes of `RunState` that are in the JSON object, and their types there."""

_A_CHECKPOINT = "a checkpoint"
_WRITES = "`impasto transfer --checkpoint` writes one"


def check_checkpoint_path(path: str | os.PathLike[str]) -> None:
    """Check before the run that a checkpoint can be written to a path without replacing another kind of file.

    Raises:
        ImpastoError: the path does not end in .safetensors, the file cannot be made, or a file that is not a checkpoint
            exists there, such as a saved style or a network.
    """
    array_file.check_name(path, _A_CHECKPOINT)
    check_place(Path(path))
    with suppress(DamagedFileError):
        if why_unreadable(path) == NO_SUCH_FILE or array_file.read_file(path)[0].get("kind") == CHECKPOINT:
            return
    raise ImpastoError(f"cannot write {path}: it exists and is no checkpoint; give another name, or delete it")


def save_checkpoint(
    state: RunState,
    path: str | os.PathLike[str],
    extra: Mapping[str, Any] | None = None,
    *,
    durable: bool = True,
) -> None:
    """Write a run's state. The file is always complete, the old one or the new one, even after a power cut.

    Args:
        state: the state of the run.
        path: path of the file, .safetensors.
        extra: plain values to store with the state.
        durable: whether to wait for the disk. Without it, a power cut can lose or damage the file; a killed process
            cannot.

    Raises:
        ImpastoError: the path does not end in .safetensors, or the file cannot be written.
    """
    from safetensors.numpy import save

    array_file.check_name(path, _A_CHECKPOINT)
    arrays = {name: np.asarray(array, order="C") for name, array in _arrays_of(state).items()}
    record = _record_of(state, extra or {})
    record[CHECKSUM] = _checksum(record, arrays)
    with atomic_file(Path(os.path.realpath(path)), durable=durable) as part:
        part.write_bytes(save(arrays, {ENTRY: json.dumps(record)}))


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[RunState, dict[str, Any]]:
    """Return the state in a file that `save_checkpoint` wrote, and the plain values stored with it.

    Raises:
        ImpastoError: the file does not exist, is damaged, or is not a checkpoint.
    """
    _check_path(path)
    try:
        if not why_unreadable(path) and Path(path).suffix.lower() != SUFFIX:
            raise ImpastoError(f"not a checkpoint: {path}; {_WRITES}, a {SUFFIX} file")
        record, arrays = array_file.read_file(path, CHECKPOINT)
        if record.get("kind") != CHECKPOINT:
            raise ImpastoError(f"not a checkpoint: {path}; {_WRITES}")
        if record.get("format") != FORMAT:
            raise ImpastoError(
                f"{path} is of checkpoint format {record.get('format')}, and this version reads {FORMAT}; resume it "
                "with the version that wrote it"
            )
        with damage_explained():
            return _read(record, arrays), record["extra"]
    except DamagedFileError as error:
        raise ImpastoError(f"damaged checkpoint: {path} ({error}); begin the run again") from error


def _check_path(path: object) -> None:
    if not isinstance(path, str | os.PathLike):
        raise ImpastoError(f"bad path {path!r}: give the path of a checkpoint, a {SUFFIX} file")


def _arrays_of(state: RunState) -> dict[str, np.ndarray]:
    scene, painting = state.scene, state.painting
    arrays = {f"{_OPTIMISER}{name}": array for name, array in state.optimiser.items()}
    arrays[_CONTENT] = scene.pixels
    if scene.alpha is not None:
        arrays[_ALPHA] = scene.alpha
    if isinstance(painting, SavedStyle):
        return arrays | {f"{_STYLE}.{name}": gram for name, gram in painting.arrays.items()}
    return arrays if painting.pixels is scene.pixels else arrays | {_STYLE: painting.pixels}


def _record_of(state: RunState, extra: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": CHECKPOINT, "format": FORMAT, **{name: getattr(state, name) for name in _PLAIN}}
    record |= {"terms": dict(state.terms), "initial_terms": dict(state.initial_terms)}
    record |= {"content": state.scene.name, "style": state.painting.name}
    if isinstance(state.painting, SavedStyle):
        record["origin"] = state.painting.origin.as_record()
    record["scales_done"] = [list(dataclasses.astuple(scale)) for scale in state.scales_done]
    return {**record, "settings": state.settings.as_dict(), "extra": dict(extra)}


def _read(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> RunState:
    """Return the state that a file holds, or raise a ValueError or LookupError that says what is wrong with it."""
    if record.pop(CHECKSUM) != _checksum(record, arrays):
        raise ValueError("its checksum is another")
    record = {"scale": 0, "scales_done": [], **record}  # a file of an earlier version has one scale
    for name, kind in {
        **_PLAIN,
        "settings": dict,
        "extra": dict,
        "content": str,
        "style": str,
        "scales_done": list,
    }.items():
        if not isinstance(record[name], kind):
            raise ValueError(f"{name} is {record[name]!r}, no {kind.__name__}")
    iterations, evaluations = record["optimiser_from"]
    if not (0 <= iterations <= record["iteration"] and 0 <= evaluations <= record["evaluations"]):
        raise ValueError("its iterations and evaluations contradict each other")
    numbers = (record["loss"], record["seconds"], *record["terms"].values(), *record["initial_terms"].values())
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a number is not finite")
    settings = Settings.from_dict(record["settings"])
    optimiser = {name.removeprefix(_OPTIMISER): array for name, array in arrays.items() if name.startswith(_OPTIMISER)}
    scene = _picture(arrays, _CONTENT, record["content"])
    painting = _painting(record, arrays, scene)
    scales = scales_of(settings, scene.height, scene.width, resumed=record["scale"])
    scale = next(scale for scale in scales if scale.step == record["scale"])
    _check_form("x", optimiser["x"], (3 * scale.height * scale.width,))
    done = tuple(_scale_done(*values) for values in record["scales_done"])
    plain = {**{name: record[name] for name in _PLAIN}, "optimiser_from": tuple(record["optimiser_from"])}
    return RunState(settings=settings, scene=scene, painting=painting, optimiser=optimiser, scales_done=done, **plain)


def _scale_done(height: int, width: int, iterations: int, evaluations: int, seconds: float) -> ScaleDone:
    values = (height, width, iterations, evaluations, seconds)
    if not all(type(value) is int and value >= 0 for value in values[:-1]) or not math.isfinite(seconds):
        raise ValueError(f"a scale that it has left is {values}")
    return ScaleDone(*values)


def _check_form(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Refuse an array that is not float32 and finite, or of another shape; None is any length."""
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if array.dtype != np.float32 or not fits:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be float32 {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite")


def _picture(arrays: Mapping[str, np.ndarray], array: str, name: str) -> Picture:
    pixels, alpha = arrays[array], arrays.get(f"{array}.alpha")
    _check_form(array, pixels, (None, None, 3))
    if alpha is not None:
        _check_form(f"{array}.alpha", alpha, pixels.shape[:2])
    return Picture(pixels, alpha, name)


def _painting(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], scene: Picture) -> Painting:
    if "origin" not in record:
        return _picture(arrays, _STYLE, record["style"]) if _STYLE in arrays else Picture(scene.pixels, None, "")
    origin = read_origin(record["origin"])
    prefix = f"{_STYLE}."
    grams = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    saved = SavedStyle.from_arrays(grams, origin, record["style"])
    if not saved.is_complete:
        raise ValueError("it lacks matrices of the style's taps")
    return saved
