"""The gradient of max pooling with overlapping windows, against the pooling alone and two other ways to write it.

    python -m impasto.bench.studies.max_pool -o FILE

``scattered`` was impasto's rule before: all windows are gathered, and a transposed convolution with one-hot kernels
adds them up. ``torch`` is PyTorch's own backward pass of the same pooling. Each gradient includes its forward pass.
"""

import json
import statistics
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx_ir as ir

from impasto.bench.record import write
from impasto.bench.studies.study import as_script, begin, command_line, in_turn
from impasto.engine.runtime.ort import onnxruntime as ort
from impasto.engine.runtime.session import quiet_options
from impasto.export.gradient import gradient
from impasto.export.serialised import whole
from impasto.export.vjp_rules import Emission, pooling
from impasto.export.vjp_rules.inspection import given, static_shape
from impasto.export.vjp_rules.windows import Windows

POOLS: dict[str, tuple[tuple[int, ...], int, int]] = {
    "stem, 3x3 by 2": ((1, 64, 112, 112), 3, 2),
    "inception, 3x3 by 1": ((1, 192, 28, 28), 3, 1),
    "pyramid, 5x5 by 1": ((1, 128, 20, 20), 5, 1),
    "pyramid, 13x13 by 1": ((1, 128, 20, 20), 13, 1),
}
"""Names -> shape, kernel and stride; the padding is half the kernel."""


def main() -> None:
    """Measure and write down."""
    parser = command_line(__doc__, threads=1)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    record["pools"] = {name: measured(*POOLS[name], arguments.threads, arguments.rounds) for name in POOLS}
    write(arguments.output, record)
    for name, pool in record["pools"].items():
        print(name, json.dumps(pool["times_of_forward"]))


def measured(shape: tuple[int, ...], kernel: int, stride: int, threads: int, rounds: int) -> dict[str, Any]:
    """Return the seconds of forward pass and gradients in turn, and the ratio of their medians."""
    import torch

    torch.set_num_threads(threads or torch.get_num_threads())
    forward = _model(shape, kernel, stride)
    with mock.patch.object(pooling, "sent_to_first", scattered):
        before = gradient(forward, "loss", "x")
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    leaf = torch.tensor(x, requires_grad=True)

    def by_torch() -> object:
        y = torch.nn.functional.max_pool2d(leaf, kernel, stride, kernel // 2)
        return torch.autograd.grad((y * y).sum(), leaf)

    opened = {
        "forward": (_session(forward, threads), "loss"),
        "impasto": (_session(gradient(forward, "loss", "x"), threads), "d_x"),
        "scattered": (_session(before, threads), "d_x"),
    }
    runs: dict[str, Any] = {
        name: (lambda session=session, output=output: session.run([output], {"x": x})[0])
        for name, (session, output) in opened.items()
    }
    expected = by_torch()[0].numpy()  # type: ignore[index]
    for name in ("impasto", "scattered"):
        np.testing.assert_allclose(runs[name](), expected, rtol=1e-5, atol=1e-5)
    samples = in_turn(runs | {"torch": by_torch}, rounds, warm_up=2)
    medians = {name: statistics.median(seconds) for name, seconds in samples.items()}
    ratios = {name: round(median / medians["forward"], 2) for name, median in medians.items() if name != "forward"}
    return {"shape": shape, "kernel": kernel, "stride": stride, "samples_s": samples, "times_of_forward": ratios}


def _model(shape: Sequence[int], kernel: int, stride: int) -> ir.Model:
    sizes = ",".join(map(str, shape))
    pads = [kernel // 2] * 4
    return ir.from_proto(
        onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["": 21]> g (float[{sizes}] x) => (float loss) {{ '
            f"y = MaxPool <kernel_shape=[{kernel},{kernel}], strides=[{stride},{stride}], pads={pads}> (x) "
            "loss = ReduceSumSquare <keepdims=0> (y) }"
        )
    )


def _session(model: ir.Model, threads: int) -> ort.InferenceSession:
    options = quiet_options()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(whole(model), options, providers=["CPUExecutionProvider"])


def scattered(emit: Emission, node: ir.Node, d: ir.Value, geometry: Windows) -> ir.Value:
    """Emit the gradient as impasto did before: windows gathered, and a transposed convolution of one-hot kernels."""
    x, counts = given(node.inputs[0]), static_shape(node, node.outputs[0])[2:]
    reach = geometry.reach_after(static_shape(node, x)[2:], counts)
    pads = [0, 0, *geometry.before, 0, 0, *(max(end, 0) for end in reach)]
    unfolded = emit.op("Pad", x, pads, emit.array(-np.inf, x))
    for axis, count in enumerate(counts):
        taps = np.arange(geometry.kernel[axis])[:, None]
        indices = taps + np.arange(count) * geometry.strides[axis]
        unfolded = emit.op("Gather", unfolded, indices.ravel(), axis=axis + 2)
    height, width = counts
    (rows, columns), taps_count = geometry.kernel, geometry.kernel[0] * geometry.kernel[1]
    split = emit.op("Reshape", unfolded, [-1, rows, height, columns, width])
    windows = emit.op("Reshape", emit.op("Transpose", split, perm=[0, 1, 3, 2, 4]), [-1, taps_count, height, width])
    first = emit.op("ArgMax", windows, axis=1, keepdims=1)
    is_first = emit.op("Equal", first, np.arange(taps_count).reshape(1, -1, 1, 1))
    spread = emit.op("Where", is_first, emit.op("Reshape", d, [-1, 1, height, width]), 0.0)
    one_hot = emit.array(np.eye(taps_count).reshape(taps_count, 1, rows, columns), x)
    summed = emit.op("ConvTranspose", spread, one_hot, **geometry.scatter_attributes(reach))
    return emit.op("Reshape", summed, emit.shape_of(x))


if __name__ == "__main__":
    as_script(main)
