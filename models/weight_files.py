"""Named arrays out of `.safetensors`, `.npz` and `.pth` files, whatever network they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from impasto.models.errors import ImpastoError
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class WeightFile:
    """What a file holds: arrays by key, and the texts that came with them."""

    arrays: Mapping[str, NDArray[np.generic]]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_arrays(path: Path) -> WeightFile:
    """Read every array of a file.

    Raises:
        ImpastoError: there is no such file, its kind is unknown, or it is damaged.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ImpastoError(f"unknown kind of weights file: {path}; expected one of {', '.join(READERS)}")
    if not path.is_file():
        raise ImpastoError(f"no such file: {path}")
    file = reader(path)
    if not file.arrays:
        raise ImpastoError(f"no weights in {path}: it holds no arrays")
    return file


def _read_safetensors(path: Path) -> WeightFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            return WeightFile(arrays, file.metadata() or {})
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _read_npz(path: Path) -> WeightFile:
    try:
        with np.load(path, allow_pickle=False) as file:
            return WeightFile({key: file[key] for key in file.files})
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        raise _damaged(path, error) from error


def _read_pth(path: Path) -> WeightFile:
    try:
        import torch
    except ImportError as error:
        raise ImpastoError(
            f"reading {path} needs PyTorch: pip install 'impasto[export]', or convert it to .safetensors"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything for bytes that it does not understand
        raise _damaged(path, error) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ImpastoError(
            f"no weights in {path}: it holds a {type(content).__name__}, expected a state_dict"
        )
    tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    return WeightFile({str(key): value.detach().float().numpy() for key, value in tensors.items()})


def _damaged(path: Path, error: Exception) -> ImpastoError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ImpastoError(f"damaged or truncated weights file: {path} ({reason}); get the file again")


READERS: dict[str, Callable[[Path], WeightFile]] = {
    ".safetensors": _read_safetensors,
    ".pth": _read_pth,
    ".pt": _read_pth,
    ".npz": _read_npz,
}
