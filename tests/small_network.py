"""A features model with the form of a user's own: three convolutions, two pools, random weights, made by hand."""

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

WIDTHS = {"relu1_1": 6, "relu2_1": 8, "relu3_1": 5}


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 kernels and biases by tap name."""
    rng = np.random.default_rng(seed)
    result, before = {}, 3
    for tap, width in WIDTHS.items():
        result[f"{tap}.weight"] = rng.normal(0, (2 / (9 * before)) ** 0.5, (width, before, 3, 3)).astype(np.float32)
        result[f"{tap}.bias"] = rng.normal(0, 0.1, width).astype(np.float32)
        before = width
    return result


def features_model(seed: int = 0) -> ir.Model:
    """The model: image [N, 3, H, W] -> relu1_1, relu2_1, relu3_1, average pooling between them."""
    image = ir.val("image", ir.DataType.FLOAT, ("n", 3, "height", "width"))
    tape = Tape()
    value, outputs = image, []
    for index, tap in enumerate(WIDTHS):
        if index:
            value = tape.op("AveragePool", [value], {"kernel_shape": [2, 2], "strides": [2, 2]})
        kernel, bias = (
            tape.initializer(ir.tensor(weights(seed)[f"{tap}.{part}"], name=f"{tap}.{part}")) for part in ("weight", "bias")
        )
        value = tape.op("Relu", [tape.op("Conv", [value, kernel, bias], {"pads": [1, 1, 1, 1]})])
        value.name, value.dtype = tap, ir.DataType.FLOAT
        value.shape = ir.Shape(("n", WIDTHS[tap], f"h{index}", f"w{index}"))
        outputs.append(value)
    graph = ir.Graph(
        [image], outputs, nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 20}, name="small"
    )
    return ir.Model(graph, ir_version=10)
