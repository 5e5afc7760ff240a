"""Named arrays from `.safetensors`, `.npz` and `.pth` files of any network."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from impasto.models.errors import ImpastoError, one_line
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable

# The fully connected part of a VGG file is four fifths of it, and no network here has one.
SKIPPED_PREFIX = "classifier."


@dataclass(frozen=True)
class WeightFile:
    """The content of a file: arrays by key, and the texts of its metadata."""

    arrays: Mapping[str, NDArray[np.generic]]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_arrays(path: Path) -> WeightFile:
    """Read the arrays of a file, all but those of a classifier.

    Raises:
        ImpastoError: there is no such file, its kind is unknown, it is damaged, or it holds no arrays.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ImpastoError(f"unknown kind of weights file: {path}; it is one of {', '.join(READERS)}")
    if why := why_unreadable(path):
        raise ImpastoError(f"no such file: {path}" if why == NO_SUCH_FILE else f"cannot read {path}: {why}")
    try:
        file = reader(path)
    except (ImpastoError, MemoryError):
        raise
    except Exception as error:  # the libraries raise nearly anything for bytes that they do not understand
        raise ImpastoError(
            f"damaged or truncated weights file: {path} ({one_line(error, 100)}); get the file again"
        ) from error
    if not file.arrays:
        raise ImpastoError(f"no weights in {path}: it holds no arrays")
    return file


def _read_safetensors(path: Path) -> WeightFile:
    import ml_dtypes  # noqa: F401 (teaches numpy bfloat16; onnx brings it)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys() if _is_wanted(key)}  # noqa: SIM118 (no mapping)
        return WeightFile(arrays, file.metadata() or {})


def _read_npz(path: Path) -> WeightFile:
    if not is_zipfile(path):
        raise ValueError("not a .npz archive, or not all of one")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return WeightFile({key: file[key] for key in file.files if _is_wanted(key)})


def _read_pth(path: Path) -> WeightFile:
    try:
        import torch
    except ImportError as error:
        raise ImpastoError(
            f"reading {path} needs PyTorch: pip install 'impasto[export]', or convert the file to .safetensors"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, KeyError) as error:  # the latter where pickle finds a byte that it does not know
        if "Unsupported global" in str(error):
            raise ImpastoError(
                f"unsafe weights file: {path} holds Python objects as well as tensors; "
                "save the network's state_dict() and import that"
            ) from error
        raise ValueError("not what torch.save writes") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ImpastoError(f"no weights in {path}: it holds a {type(content).__name__}, expected a state_dict")
    tensors = {
        str(key): value.float() if value.is_floating_point() else value
        for key, value in content.items()
        if isinstance(value, torch.Tensor) and value.layout is torch.strided and _is_wanted(str(key))
    }
    return WeightFile({key: tensor.detach().numpy() for key, tensor in tensors.items()})


def _is_wanted(key: str) -> bool:
    return not key.startswith(SKIPPED_PREFIX)


READERS: Mapping[str, Callable[[Path], WeightFile]] = {
    ".safetensors": _read_safetensors,
    ".pth": _read_pth,
    ".pt": _read_pth,
    ".npz": _read_npz,
}
