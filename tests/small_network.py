"""Features models with the form of a user's own: convolutions and average pools with random weights, made by hand."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

WIDTHS: Mapping[str, int] = {"relu1_1": 6, "relu2_1": 8, "relu3_1": 5}
VGG_WIDTHS: Mapping[str, int] = {
    f"relu{block}_{index}": 4 for block, depth in enumerate((2, 2, 4, 4, 1), 1) for index in range(1, depth + 1)
}


def weights(seed: int = 0, widths: Mapping[str, int] = WIDTHS) -> dict[str, np.ndarray]:
    """Random float32 kernels and biases by tap name."""
    rng = np.random.default_rng(seed)
    result, before = {}, 3
    for tap, width in widths.items():
        result[f"{tap}.weight"] = rng.normal(0, (2 / (9 * before)) ** 0.5, (width, before, 3, 3)).astype(np.float32)
        result[f"{tap}.bias"] = rng.normal(0, 0.1, width).astype(np.float32)
        before = width
    return result


def features_model(seed: int = 0, widths: Mapping[str, int] = WIDTHS) -> ir.Model:
    """The model: image [N, 3, H, W] -> every tap, with an average pool between two blocks."""
    image = ir.val("image", ir.DataType.FLOAT, ("n", 3, "height", "width"))
    tape = Tape()
    arrays = weights(seed, widths)
    value, outputs, block = image, [], "1"
    for tap, width in widths.items():
        if tap[4] != block:
            block = tap[4]
            value = tape.op("AveragePool", [value], {"kernel_shape": [2, 2], "strides": [2, 2]})
        kernel, bias = (
            tape.initializer(ir.tensor(arrays[f"{tap}.{part}"], name=f"{tap}.{part}")) for part in ("weight", "bias")
        )
        value = tape.op("Relu", [tape.op("Conv", [value, kernel, bias], {"pads": [1, 1, 1, 1]})])
        value.name, value.dtype = tap, ir.DataType.FLOAT
        value.shape = ir.Shape(("n", width, f"h{block}", f"w{block}"))
        outputs.append(value)
    graph = ir.Graph(
        [image], outputs, nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 20}, name="small"
    )
    return ir.Model(graph, ir_version=10)
