"""Where the time of one evaluation goes on the CPU provider, operator by operator, and what it cannot fall below.

    python -m impasto.bench.studies.operators --model vgg19 --size 512 -o FILE

ONNX Runtime's own profile of the graph that runs have: the median of each node over the rounds, summed by operator.
Beside it the floating point operations of the convolutions and products, the rate at which the same library multiplies
two large square matrices, and their quotient: the seconds of an evaluation that did nothing else, as fast as that.
"""

import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from impasto.bench.record import write
from impasto.bench.studies.graphs import check_graph, default_objective
from impasto.bench.studies.study import as_script, begin, command_line, in_turn
from impasto.engine.compile.network import load_network
from impasto.engine.runtime.ort import onnxruntime as ort
from impasto.engine.runtime.session import quiet_options
from impasto.export.lowering import lower_for_cpu
from impasto.export.serialised import whole
from impasto.export.shape_inference import infer_shapes

WARM_UP = 2
SQUARE = 2048
_KERNEL = "_kernel_time"


def main() -> None:
    """Profile and write down."""
    parser = command_line(__doc__, model="vgg19")
    parser.add_argument("--size", type=int, default=512, help="px")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    model = default_objective(arguments.model, arguments.size)
    lower_for_cpu(model)
    check_graph(model, arguments.size)
    operations = floating_point_operations(model)
    rate = product_rate(arguments.threads)
    record |= {
        "network": load_network(arguments.model).name,
        "size_px": arguments.size,
        **profiled(whole(model), arguments.threads, arguments.rounds),
        "operations": operations,
        "product_rate_per_s": rate,
        "floor_s": sum(operations.values()) / rate,
    }
    write(arguments.output, record)
    print(json.dumps({key: value for key, value in record.items() if key not in ("what", "conditions", "samples_s")}))


def floating_point_operations(model: ir.Model) -> dict[str, int]:
    """Return the multiplications and additions of convolutions and products, by operator; shapes are static."""
    infer_shapes(model)
    found: dict[str, int] = defaultdict(int)
    for node in model.graph:
        if node.op_type == "Conv":
            found["Conv"] += 2 * _size(node.outputs[0]) * _size(node.inputs[1]) // _shape(node.inputs[1])[0]
        elif node.op_type == "MatMul":
            found["MatMul"] += 2 * _size(node.outputs[0]) * _shape(node.inputs[0])[-1]
    return dict(found)


def product_rate(threads: int, rounds: int = 5) -> float:
    """Return the floating point operations a second of ONNX Runtime's product of two square matrices, at its best."""
    matrix = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [SQUARE, SQUARE])
    product = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [SQUARE, SQUARE])
    other = onnx.numpy_helper.from_array(np.random.default_rng(1).random((SQUARE, SQUARE), np.float32), "b")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [matrix], [product], [other]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    session = _session(model.SerializeToString(), threads)
    values = {"a": np.random.default_rng(0).random((SQUARE, SQUARE), np.float32)}
    return float(2 * SQUARE**3 / min(_timed(session, values, rounds)))


def profiled(content: bytes, threads: int, rounds: int) -> dict[str, Any]:
    """Return seconds of whole evaluations, and of every operator's nodes."""
    with tempfile.TemporaryDirectory(prefix="impasto-bench-") as folder:
        session = _session(content, threads, profile=Path(folder) / "profile")
        random = np.random.default_rng(0)
        values = {item.name: np.asarray(random.random(item.shape, np.float32)) for item in session.get_inputs()}
        samples = _timed(session, values, rounds)
        events = json.loads(Path(session.end_profiling()).read_bytes())
    nodes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            nodes[event["args"]["op_name"], event["name"]].append(event["dur"] * 1e-6)
    operators: dict[str, float] = defaultdict(float)
    for (operator, _), seconds in nodes.items():
        operators[operator] += statistics.median(seconds[WARM_UP:])
    return {
        "samples_s": samples,
        "median_s": statistics.median(samples),
        "operators_s": dict(sorted(operators.items(), key=lambda item: -item[1])),
    }


def _timed(session: Any, values: dict[str, np.ndarray], rounds: int) -> list[float]:
    return in_turn({"": lambda: session.run(None, values)}, rounds, warm_up=WARM_UP)[""]


def _session(content: bytes, threads: int, profile: Path | None = None) -> Any:
    options = quiet_options()
    options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    if value is None or value.shape is None:
        raise ValueError("a shape is not known")
    return tuple(int(size) for size in value.shape.numpy())


def _size(value: ir.Value | None) -> int:
    return int(np.prod(_shape(value)))


if __name__ == "__main__":
    as_script(main)
