"""Whether arrays and records can be those of a saved style."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from impasto.engine.settings import MOST_SCALES, PADDINGS, POOLINGS
from impasto.export.terms import GRAM, STYLE_LOSSES
from impasto.models.version import VERSION

_ROUNDING = 1e-2
"""Of the largest entry: what the convolutions' precision, bf16 at worst, may change in a Gram matrix."""

_LONGEST_TEXT, _MOST_TAPS, _LONGEST_SIDE_PX = 1000, 100, 2**31


@dataclass(frozen=True)
class StyleOrigin:
    """The origin of Gram matrices: everything they depend on.

    Attributes:
        model: the network's name.
        model_sha256: hash of the network's file.
        taps: the taps with a matrix.
        pool: "avg" or "max".
        seamless: whether every padding wrapped, as for an image that tiles.
        precision: precision of the convolutions.
        height: height of the resized image, px.
        width: width of the resized image, px.
        image: the image's name.
        image_sha256: hash of the image's file; None if it was not a file.
        version: version of this package.
        style_loss: the style loss that compares the statistics; files without this entry have Gram matrices.
        coarser: height and width of the image at the coarser scales that have matrices, too: one step after another,
            as `impasto.engine.inputs.scales` counts them. Files of one size are without this entry.
        padding: of the first convolution, "zero" for a seamless result; files without this entry have zeros.
    """

    model: str
    model_sha256: str
    taps: tuple[str, ...]
    pool: str
    seamless: bool
    precision: str
    height: int
    width: int
    image: str
    image_sha256: str | None
    version: str = VERSION
    style_loss: str = GRAM
    coarser: tuple[tuple[int, int], ...] = ()
    padding: str = PADDINGS[0]

    def as_record(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        record = dataclasses.asdict(self)
        if not self.coarser:
            del record["coarser"]
        return record


def read_origin(record: Mapping[str, Any]) -> StyleOrigin:
    """Return the origin in a record of a file.

    Raises:
        ValueError: a field is missing or unknown, or has a value that no saved style has.
    """
    record = {"style_loss": GRAM, "coarser": [], "padding": PADDINGS[0], **record}
    fields = {item.name for item in dataclasses.fields(StyleOrigin)}
    for name in sorted(fields ^ set(record)):
        raise ValueError(f"{name} is {'missing' if name in fields else 'unknown'}")
    taps = record["taps"]
    texts = {name: record[name] for name in fields - {"taps", "seamless", "height", "width", "coarser"}}
    if texts["image_sha256"] is None:
        del texts["image_sha256"]
    fits = {name: isinstance(value, str) and len(value) <= _LONGEST_TEXT for name, value in texts.items()}
    fits["taps"] = isinstance(taps, list) and 0 < len(taps) <= _MOST_TAPS and all(isinstance(tap, str) for tap in taps)
    fits["pool"] = fits["pool"] and record["pool"] in POOLINGS
    fits["style_loss"] = fits["style_loss"] and record["style_loss"] in STYLE_LOSSES
    fits["padding"] = fits["padding"] and record["padding"] in PADDINGS
    fits["seamless"] = isinstance(record["seamless"], bool)
    for name in ("height", "width"):
        fits[name] = _is_side(record[name])
    coarser = record["coarser"]
    fits["coarser"] = isinstance(coarser, list) and len(coarser) < MOST_SCALES and all(map(_is_size, coarser))
    for name in sorted(fits):
        if not fits[name]:
            raise ValueError(f"{name} is {record[name]!r}")
    return StyleOrigin(**{**record, "taps": tuple(taps), "coarser": tuple(map(tuple, coarser))})


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LONGEST_SIDE_PX


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_side, value))


def check_statistic(name: str, array: np.ndarray) -> None:
    """Refuse an array that cannot be the statistic of features that its name says, such as ``mean_relu1_1``.

    Raises:
        ValueError: that is so.
    """
    kind = name.partition("_")[0]
    if kind == "mean":
        _check_form(name, array, "C, 1", square=False)
    elif kind == "root":
        _check_form(name, array, "C, C", square=True)
    else:
        check_gram(name, array)


def check_gram(name: str, gram: np.ndarray) -> None:
    """Refuse an array that cannot be the Gram matrix of features, but for rounding.

    A diagonal entry of 0 is allowed: that of a channel which the image does not excite.

    Raises:
        ValueError: not float32 [1, C, C], not finite, not symmetric, or not positive semidefinite.
    """
    _check_form(name, gram, "C, C", square=True)
    matrix = gram[0].astype(np.float64)
    largest = np.abs(matrix).max()
    if np.abs(matrix - matrix.T).max() > _ROUNDING * largest:
        raise ValueError(f"{name} is not symmetric")
    if matrix.diagonal().min() < 0:
        raise ValueError(f"{name} has a diagonal entry below 0")
    raised = (_ROUNDING * largest + np.finfo(np.float64).tiny) * np.eye(len(matrix))
    try:
        np.linalg.cholesky((matrix + matrix.T) / 2 + raised)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} is not positive semidefinite") from None


def _check_form(name: str, array: np.ndarray, form: str, *, square: bool) -> None:
    fits = array.ndim == 3 and array.shape[0] == 1 and array.shape[2] == (array.shape[1] if square else 1)
    if array.dtype != np.float32 or not fits:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be float32 [1, {form}]")
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} is empty" if array.size == 0 else f"{name} is not finite")
