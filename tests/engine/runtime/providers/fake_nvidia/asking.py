"""What a process with the fake libraries finds, printed as one line of JSON."""

import ctypes
import dataclasses
import json
import os
from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper

from impasto.engine.device.loop import DeviceLoop
from impasto.engine.device.placement import LoopPlacement
from impasto.engine.device.step_form import step_form
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider, choose, step_provider
from impasto.engine.runtime.providers.provider import nodes_elsewhere
from impasto.engine.runtime.session import Graph, Session, quiet_options
from impasto.export.objective import build_objective, build_targets
from impasto.export.optimiser import build_step
from impasto.export.serialised import whole
from impasto.models.errors import ImpastoError
from tests.small_network import features_model

SIZE, EVERY = 32, 10
STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1")
OBJECTIVES: dict[str, dict[str, Any]] = {
    "average": {},
    "maximum": {"pool": "max"},
    "seamless and smooth, two": {"seamless": True, "tv": True, "batch": 2},
    "sharp, two": {"tv": True, "tv_norm": "l2", "batch": 2},
    "sharp along axes": {"tv": True, "tv_norm": "l1"},
    "replicate": {"padding": "replicate"},
    "reflect, two": {"padding": "reflect", "batch": 2},
    "covariances": {"style_loss": "gram-mean"},
    "moments, two": {"style_loss": "moments", "batch": 2},
}


PROVIDERS = {"fp32": "cuda", "tf32": "cuda", "fp16": "cuda,nhwc", "bf16": "cuda"}


def main() -> None:
    """Print everything."""
    print(
        json.dumps(
            {
                "placement": {precision: placed(name, precision) for precision, name in PROVIDERS.items()},
                "replays": {name: replays(name) for name in ("cuda", "cuda,uncaptured")},
                "running": running(),
                "uncapturable": running(FAKE_NO_CAPTURE="1"),
                "without memory": running(FAKE_LARGEST="4096"),
                "unlowered": unlowered(),
                "kernels": kernels(),
            }
        )
    )


def placed(name: str, precision: str) -> dict[str, dict[str, int]]:
    """Return the operators that are not on the GPU, by graph."""
    provider = choose(name, precision)
    graphs = {
        f"objective, {kind}": lower(objective(**values).model, provider) for kind, values in OBJECTIVES.items()
    } | {
        f"targets, {pool}": lower(
            build_targets(features_model(), style_taps=STYLE_TAPS, height=48, width=64, pool=pool),
            provider,
        )
        for pool in ("avg", "max")
    }
    found = {kind: elsewhere(provider, model) for kind, model in graphs.items()}
    session, evaluator = opened(provider)
    with session:
        on_device = LoopPlacement("device").on_device(evaluator, provider, 1)
    assert on_device is not None
    for kind, shape in (("spectral", (3, SIZE, SIZE)), ("plain", None)):
        form = step_form(LbfgsSettings(image_shape=shape, bounds=(0, 1)), (3, SIZE, SIZE), on_device)
        for batch in (1, 3):
            several = dataclasses.replace(form, batch=batch)
            found[f"step, {kind}, {batch}"] = elsewhere(step_provider(provider), build_step(several).model)
    return found


def replays(name: str) -> dict[str, int]:
    """Return what the device did in ten iterations after the first ten."""
    provider = choose(name, "fp32")
    session, evaluator = opened(provider)
    on_device = LoopPlacement("auto", EVERY).on_device(evaluator, provider, 1)
    assert on_device is not None
    form = step_form(LbfgsSettings(image_shape=(3, SIZE, SIZE)), (3, SIZE, SIZE), on_device)
    loop = DeviceLoop(session, step_provider(provider), form, 1)
    loop.enter(0, np.zeros(3 * SIZE * SIZE, np.float32), 100.0, on_device.coefficients[0])
    loop.run(EVERY)
    before = counts()
    loop.run(EVERY)
    return {name: value - before[name] for name, value in counts().items()}


def running(**variables: str) -> dict[str, Any]:
    """Return what three runs of one session say and do; the device follows variables of the environment."""
    os.environ.update(variables)
    before = counts()
    try:
        session, _ = opened(choose("cuda", "fp16"))
        for _ in range(3):
            session.run()
    except ImpastoError as error:
        return {"said": str(error)}
    finally:
        for variable in variables:
            del os.environ[variable]
    done = {name: value - before[name] for name, value in counts().items()}
    return {"said": "", "captured": session.captured, **done}


def unlowered() -> str:
    """Return what becomes of a graph with nodes that have no kernel, which keeps it from being captured as well."""
    model = objective(pool="max").model
    model.opset_imports[""] = 22
    try:
        elsewhere(choose("cuda", "fp32"), model)
    except ImpastoError as error:
        return str(error)
    return ""


def kernels() -> dict[str, bool]:
    """Return whether the provider has each operator of the table, in the table's opset."""
    types = {"bfloat16": TensorProto.BFLOAT16, "float": TensorProto.FLOAT}
    return {f"{name}, {kind}": runs_on_the_gpu(name, dtype) for name in ONE_NODE for kind, dtype in types.items()}


ONE_NODE: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("Abs", "HardSigmoid", "Identity", "LeakyRelu", "Neg", "ReduceSum", "Relu")},
    **{name: {} for name in ("Sigmoid", "Sign")},
    **{name: {"more": [[1.0]]} for name in ("Add", "Div", "Max", "Min", "Mul", "Sub", "Sum", "Clip")},
    **{name: {"more": [[1.0]]} for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Where")},
    **{name: {"kernel_shape": [2, 2]} for name in ("AveragePool", "MaxPool")},
    **{name: {"more": [np.ones((1, 1, 3, 3))]} for name in ("Conv", "ConvTranspose")},
    "BatchNormalization": {"more": [[1.0]] * 4},
    "InstanceNormalization": {"more": [[1.0]] * 2},
    "Cast": {"to": TensorProto.FLOAT},
    "Concat": {"axis": 2},
    "Expand": {"sizes": [[2, 1, 4, 4]]},
    "Gather": {"sizes": [[1, 0]], "axis": 2},
    "MatMul": {"more": [np.ones((4, 4))]},
    "Pad": {"sizes": [[0, 0, 1, 1, 0, 0, 1, 1]]},
    "Reshape": {"sizes": [[4, 4]]},
    "Resize": {"scales": [1.0, 1.0, 2.0, 2.0]},
    "Slice": {"sizes": [[0], [2], [2]]},
    "Split": {"axis": 2, "num_outputs": 1},
    "Squeeze": {"sizes": [[0]]},
    "Tile": {"sizes": [[1, 1, 2, 2]]},
    "Transpose": {"perm": [1, 0, 3, 2]},
    "Unsqueeze": {"sizes": [[3]]},
}


def runs_on_the_gpu(op_type: str, dtype: int) -> bool:
    """Return whether a session puts a node with inputs of that type on the GPU."""
    import onnxruntime as ort

    values = dict(ONE_NODE[op_type])
    inputs, constants = ["x"], []
    if op_type == "Where":
        inputs = ["mask", "x"]
    for index, array in enumerate(values.pop("more", [])):
        constants.append(helper.make_tensor(f"c{index}", dtype, np.shape(array), np.ravel(array)))
    for index, sizes in enumerate(values.pop("sizes", [])):
        constants.append(helper.make_tensor(f"c{index}", TensorProto.INT64, [len(sizes)], sizes))
    inputs += [constant.name for constant in constants]
    if "scales" in values:
        constants.append(helper.make_tensor("scales", TensorProto.FLOAT, [4], values.pop("scales")))
        inputs += ["", "scales"]
    nodes = [helper.make_node("Cast", ["given"], ["x"], to=dtype), helper.make_node(op_type, inputs, ["y"], **values)]
    nodes.insert(0, helper.make_node("Cast", ["given"], ["mask"], to=TensorProto.BOOL))
    nodes.append(helper.make_node("Cast", ["y"], ["result"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    options = quiet_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chain = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=chain, enable_fallback=0)
    except Exception:  # a type that no provider has
        return False
    return op_type not in nodes_elsewhere(session, chain[0])


def objective(**values: Any) -> Any:
    """Return an objective with content and style, as small as it may be."""
    sizes = {"height": SIZE, "width": SIZE}
    model = features_model()
    return build_objective(model, content_taps=("relu2_1",), style_taps=STYLE_TAPS, **{**sizes, **values})


def opened(provider: Provider) -> tuple[Session, Evaluator]:
    """Return the session of an objective."""
    built = objective()
    session = Session(Graph(whole(lower(built.model, provider))), provider, 1)
    return session, Evaluator(session, built.terms, scaled=provider.precision == "fp16")


def elsewhere(provider: Provider, model: ir.Model) -> dict[str, int]:
    """Open a session and count what is not on the GPU."""
    session = provider.open(whole(model), quiet_options(), 1)
    return dict(Counter(nodes_elsewhere(session, provider.ort_name)))


def counts() -> dict[str, int]:
    """Return what the fake device has counted."""
    device = ctypes.CDLL("libcuda.so.1")
    names = ("fake_launches", "fake_kernels", "fake_bytes_to_host", "fake_races")
    return {name.removeprefix("fake_"): int(getattr(device, name)()) for name in names}


if __name__ == "__main__":
    main()
