"""A network whose first convolution continues the image beyond its borders, in the place of zeros.

Zeros around the first convolution's input are a frame of the mean colour, which no painting has. `replicate` repeats
the outermost pixels and `reflect` mirrors the image at them. All later convolutions keep their zeros, which there mean
that a feature is absent. A Pad does it in front of the convolution.

Differs from Gatys et al.: the paper pads with zeros throughout. `replicate` is the padding of
crowsonkb/style-transfer-pytorch.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.inspection import given
from impasto.models.errors import ImpastoError

ZERO = "zero"
PADDINGS: Mapping[str, str] = {ZERO: "constant", "replicate": "edge", "reflect": "reflect"}
"""Pad's mode for each padding."""

_SPATIAL = 2


def pad_first_convolution(model: ir.Model, padding: str) -> None:
    """Continue the image in front of the first convolution, in place; the new value has no shape.

    A network whose first convolution pads nothing sees nothing beyond the borders, so it stays as it is.

    Args:
        model: a network whose nodes are in the order of evaluation.
        padding: a key of `PADDINGS`; `ZERO` changes nothing.

    Raises:
        ImpastoError: the padding is unknown, or the first convolution pads by itself (auto_pad), so that its widths are
            not known here.
    """
    if padding not in PADDINGS:
        raise ImpastoError(f"unknown padding {padding!r}: it is one of {', '.join(PADDINGS)}")
    if padding == ZERO:
        return
    first = next((node for node in model.graph if node.op_type == "Conv"), None)
    if first is None:
        return
    if (automatic := first.attributes.get_string("auto_pad", "NOTSET")).startswith("SAME"):
        named = first.name or first.outputs[0].name
        raise ImpastoError(
            f"this network cannot have padding {padding}: its first convolution, {named}, pads by itself "
            f"(auto_pad {automatic}); leave the padding at {ZERO}"
        )
    widths = list(first.attributes.get_ints("pads", ()))
    if automatic == "VALID" or not any(widths):
        return
    value, name, axes = given(first.inputs[0]), f"{first.outputs[0].name}.surrounded", len(widths) // 2
    kept = [0] * _SPATIAL  # batch and channels
    pads = ir.tensor(np.array([*kept, *widths[:axes], *kept, *widths[axes:]], np.int64), name=f"{name}.pads")
    constant = ir.val(pads.name, const_value=pads)
    model.graph.register_initializer(constant)
    surround = ir.node("Pad", [value, constant], {"mode": PADDINGS[padding]}, num_outputs=1)
    surrounded = surround.outputs[0]
    surrounded.name, surrounded.type = name, value.type
    model.graph.insert_before(first, surround)
    first.replace_input_with(0, surrounded)
    first.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(widths))
