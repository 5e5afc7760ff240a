"""Images as bytes: uint8 [N, H, W, 3] beside float32 [N, 3, H, W] in 0..1, both RGB."""

from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from impasto.export.bundle.sides import HEIGHT, WIDTH
from impasto.export.terms import IMAGE

PICTURE = "picture"
_OPSET = 20
_WHITE = np.array(255.0, np.float32)


def pixels_model() -> ir.Model:
    """Return the model that turns `picture`, uint8 [1, H, W, 3], into `image`, float32 [1, 3, H, W], divided by 255."""
    picture = ir.val(PICTURE, ir.DataType.UINT8, (1, HEIGHT, WIDTH, 3))
    tape = Tape()
    white = tape.initializer(ir.tensor(_WHITE, name="white"))
    levels = tape.op("Cast", [picture], {"to": ir.DataType.FLOAT})
    image = tape.op("Transpose", [tape.op("Div", [levels, white])], {"perm": [0, 3, 1, 2]})
    image.name, image.dtype, image.shape = IMAGE, ir.DataType.FLOAT, ir.Shape((1, 3, HEIGHT, WIDTH))
    graph = ir.Graph(
        [picture],
        [image],
        nodes=tape.nodes,
        initializers=tape.initializers,
        opset_imports={"": _OPSET},
        name="pixels",
    )
    return ir.Model(graph, ir_version=10)


def with_picture(model: ir.Model, source: str, shape: tuple[int, int, int, int]) -> None:
    """Give a model the output `picture`, uint8 [N, H, W, 3], of an output that holds images; in place.

    Values are clipped to 0..1 and rounded to the nearest level, halves to the even one, as
    `impasto.engine.images.write_image` does.

    Args:
        model: the model.
        source: name of an output with the values of images in the order [N, 3, H, W].
        shape: N, 3, H and W.
    """
    tape = Tape(model.graph)
    image = next(output for output in model.graph.outputs if output.name == source)
    batch, channels, height, width = shape

    def constant(name: str, value: Any) -> ir.Value:
        return tape.initializer(ir.tensor(value, name=f"{PICTURE}.{name}"))

    planes = tape.op("Reshape", [image, constant("shape", np.array(shape, np.int64))])
    clipped = tape.op("Clip", [planes, constant("black", np.float32(0)), constant("one", np.float32(1))])
    levels = tape.op("Round", [tape.op("Mul", [clipped, constant("white", _WHITE)])])
    picture = tape.op("Transpose", [tape.op("Cast", [levels], {"to": ir.DataType.UINT8})], {"perm": [0, 2, 3, 1]})
    picture.name, picture.dtype = PICTURE, ir.DataType.UINT8
    picture.shape = ir.Shape((batch, height, width, channels))
    model.graph.outputs.append(picture)
