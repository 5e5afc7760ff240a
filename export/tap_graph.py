"""A features model reduced for one run: the taps in use, one pooling, one static size.

A features model has one image input (float32 [N, 3, H, W], RGB, 0..1) and one output per tap. The project's own
are written by `impasto.export.features`; any other model of that form is taken as it is.
"""

import json
from collections.abc import Iterable
from typing import NotRequired, TypedDict

import onnx_ir as ir
from onnx_ir.passes import Sequential, common

from impasto.export.library_errors import without_remarks
from impasto.export.padding import ZERO, pad_first_convolution
from impasto.export.seamless import wrap_padding
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError

POOLINGS = {"avg": "AveragePool", "max": "MaxPool"}
CHANNELS = "channels"  # in the metadata: {tap: channels of the network that the tap stands for}

_TIDYING = Sequential(common.RemoveUnusedNodesPass(), common.ShapeInferencePass(check_type=True, strict_mode=True))
"""Removes nodes that nothing reads, and gives every value a shape; in place."""


def tidy(model: ir.Model) -> None:
    """Remove nodes that nothing reads, and infer types and shapes; in place. What cannot be inferred stays unknown."""
    with without_remarks():
        _TIDYING(model)


def available_taps(model: ir.Model) -> tuple[str, ...]:
    """Return the names of the model's taps, shallow to deep."""
    return tuple(output.name or "" for output in model.graph.outputs)


def nominal_channels(model: ir.Model, tap: str) -> int | None:
    """Return how many channels a tap stands for, from the model's metadata; None where it has no entry.

    A network that imitates a wider one has taps of fewer channels with the same distances between Gram matrices;
    the N_l of the paper's equation 4 is then the wider one's.
    """
    said = json.loads(model.metadata_props.get(CHANNELS, "{}"))
    return int(said[tap]) if tap in said else None


class Cut(TypedDict):
    """The keywords of `tap_graph`."""

    height: int
    width: int
    batch: NotRequired[int]
    pool: NotRequired[str]
    seamless: NotRequired[bool]
    padding: NotRequired[str]


def tap_graph(
    model: ir.Model,
    taps: Iterable[str],
    *,
    batch: int = 1,
    height: int,
    width: int,
    pool: str = "model",
    seamless: bool = False,
    padding: str = ZERO,
) -> ir.Model:
    """Return a copy of a features model that ends at the deepest of the given taps, with static shapes.

    Args:
        model: the features model; it is not changed, and its weights are shared.
        taps: names as in `available_taps`, without repetition; they become the outputs in this order.
        batch: samples in one evaluation.
        height: of the image, px, 32 or more.
        width: of the image, px, 32 or more.
        pool: "avg" (the paper's) or "max" replaces every pooling; "model" keeps what the file has.
        seamless: the image counts as repeated without end (see `impasto.export.seamless`).
        padding: "zero" (the paper's), "replicate" or "reflect": what the first convolution sees beyond the image (see
            `impasto.export.padding`); a seamless network has no such place.

    Raises:
        ImpastoError: the image is too small, its sides do not suit a seamless network, the network cannot be padded
            so, or the file is not a features model.
    """
    if min(height, width) < SMALLEST_SIDE_PX:
        raise ImpastoError(
            f"image too small: {width}x{height} px, the network needs at least "
            f"{SMALLEST_SIDE_PX} px on each side; give a larger image or --size"
        )
    copy = model.clone()
    image = _image_input(copy)
    outputs = {output.name: output for output in copy.graph.outputs}
    copy.graph.outputs[:] = [outputs[tap] for tap in taps]
    image.name = "image"
    image.shape = ir.Shape((batch, 3, height, width))
    if pool != "model":
        set_pooling(copy, pool)
    for node in copy.graph:  # shapes of the file's own size, symbolic or not, no longer hold
        for value in node.outputs:
            value.shape = None
    tidy(copy)
    if seamless:
        wrap_padding(copy)
        tidy(copy)
    elif padding != ZERO:
        pad_first_convolution(copy, padding)
        tidy(copy)
    return copy


def _image_input(model: ir.Model) -> ir.Value:
    """Return the one input that is an image; initializers may be listed as inputs in old files."""
    inputs = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    if len(inputs) != 1 or inputs[0].dtype != ir.DataType.FLOAT or inputs[0].shape is None:
        described = ", ".join(f"{value.name} {value.dtype} {value.shape}" for value in inputs) or "none"
        raise ImpastoError(
            f"not a features model: its inputs are {described}; expected one float32 image [N, 3, H, W], RGB, 0..1"
        )
    shape = inputs[0].shape
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise ImpastoError(f"not a features model: its input is {shape}; expected [N, 3, H, W], RGB, 0..1")
    return inputs[0]


def set_pooling(model: ir.Model, pool: str) -> None:
    """Turn every pooling node into the wanted kind, with the same windows; in place.

    Raises:
        ImpastoError: the kind is no key of `POOLINGS`.
    """
    if pool not in POOLINGS:
        raise ImpastoError(f"unknown pooling {pool!r}: it is one of {', '.join(POOLINGS)}")
    wanted = POOLINGS[pool]
    for node in list(model.graph):
        if node.op_type in ("AveragePool", "MaxPool") and node.op_type != wanted:
            node.op_type = wanted
            node.attributes.pop("count_include_pad", None)
            node.attributes.pop("storage_order", None)
