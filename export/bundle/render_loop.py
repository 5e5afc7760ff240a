"""Objective and step in an ONNX Loop: several evaluations in one run, for programs without a loop of their own.

The weights are in the Loop's body. ONNX Runtime copies what a Loop carries at each turn, so two sessions that share
their memory are faster.
"""

from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.bundle.pixels import PICTURE, with_picture
from impasto.export.losses import static_shape
from impasto.export.optimiser import NEXT
from impasto.export.terms import IMAGE, WEIGHTS

EVALUATIONS = "evaluations"
"""The input with the number of evaluations: int64 []."""


def render_loop(objective: ir.Model, step: ir.Model, state: Collection[str]) -> ir.Model:
    """Return a model that evaluates and steps so many times.

    Its inputs are `EVALUATIONS` and those of both graphs, each once; what a step gives to the next evaluation, it takes
    under the name and gives under the name with `.next`. Its last output is `picture`, of the accepted image.

    Args:
        objective: loss, terms and gradient of one image. It is not changed.
        step: of the optimiser, as `impasto.export.optimiser.StepGraph` describes it. It is not changed.
        state: the names of its state.
    """
    first, second = objective.clone().graph, _without_picture(step).graph
    shape = static_shape(next(value for value in first.inputs if value.name == IMAGE))
    given, results = _by_name(first.outputs), _by_name(second.outputs)
    carried = [name for name in (IMAGE, WEIGHTS) if name in results] + list(state)
    inputs = {name: one for name, one in _by_name([*first.inputs, *second.inputs]).items() if name not in given}
    outer = {name: ir.Value(name=name, type=one.type, shape=one.shape) for name, one in inputs.items()}
    inner = {name: ir.Value(name=f"turn.{name}", type=inputs[name].type, shape=inputs[name].shape) for name in carried}
    for graph in (first, second):
        for name, value in _by_name(graph.inputs).items():
            value.replace_all_uses_with(given.get(name) or inner.get(name) or outer[name])
    nodes = [*first, *second]
    initializers = [*first.initializers.values(), *second.initializers.values()]
    for graph, prefix in ((first, "objective."), (second, "step.")):
        _rename(graph, prefix)
        graph.outputs.clear()
        graph.initializers.clear()
        graph.remove(list(graph))
    number = ir.val("turn.number", ir.DataType.INT64, ())
    more = ir.val("turn.more", ir.DataType.BOOL, ())
    go_on = ir.node("Identity", [more])
    nexts = [results[name if name in (IMAGE, WEIGHTS) else name + NEXT] for name in carried]
    body = ir.Graph(
        [number, more, *inner.values()],
        [go_on.outputs[0], *nexts],
        nodes=[go_on, *nodes],
        initializers=initializers,
        opset_imports=_latest(objective, step),
        name="turn",
    )
    evaluations = ir.val(EVALUATIONS, ir.DataType.INT64, ())
    always = ir.val("always", const_value=ir.tensor(np.array(True), name="always"))
    outputs = [ir.Value(name=name + NEXT, type=inner[name].type, shape=inner[name].shape) for name in carried]
    loop = ir.node(
        "Loop",
        [evaluations, always, *(outer[name] for name in carried)],
        {"body": body},
        outputs=outputs,
    )
    graph = ir.Graph(
        [evaluations, *outer.values()],
        outputs,
        nodes=[loop],
        initializers=[always],
        opset_imports=_latest(objective, step),
        name="render",
    )
    model = ir.Model(graph, ir_version=max(objective.ir_version, step.ir_version))
    with_picture(model, f"x{NEXT}", (shape[0], shape[1], shape[2], shape[3]))
    return model


def _without_picture(step: ir.Model) -> ir.Model:
    """Return a copy of a step that does not give `picture`, which is wanted once at the end."""
    copy = step.clone()
    outputs = [value for value in copy.graph.outputs if value.name != PICTURE]
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(outputs)
    common.RemoveUnusedNodesPass()(copy)
    return copy


def _by_name(values: Iterable[ir.Value]) -> dict[str, ir.Value]:
    return {value.name: value for value in values if value.name is not None}


def _rename(graph: ir.Graph, prefix: str) -> None:
    """Give every value that a graph defines a name that the other graph's values lack."""
    for value in [*graph.initializers.values(), *(value for node in graph.all_nodes() for value in node.outputs)]:
        value.name = f"{prefix}{value.name}"
    for node in graph.all_nodes():
        node.name = f"{prefix}{node.name or ''}"


def _latest(*models: ir.Model) -> dict[str, int]:
    """Return the later opset of each domain; from 20 to 22, operators gain types and keep their meaning."""
    found: dict[str, int] = {}
    for model in models:
        for domain, version in model.opset_imports.items():
            found[domain] = max(version, found.get(domain, 0))
    return found
