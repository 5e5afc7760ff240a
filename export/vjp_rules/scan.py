"""A Scan in the gradient: one step after another, along the first axis of sequences."""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission, unique_name
from impasto.export.vjp_rules.shape import reverse

Values = Sequence[ir.Value]
Step = Callable[[Emission, Values, Values], tuple[Values, Values]]
"""Called as ``step(emit, states, elements)``; it returns the new states and the results of this step."""


def scanned(emit: Emission, step: Step, states: Values, sequences: Values, *, goes_back: bool) -> tuple[Values, Values]:
    """Emit a Scan; return the last states, and the results of all steps, stacked where their elements came from.

    Args:
        emit: what appends to the graph.
        step: emits one step, whose values have two axes; it may read values around the Scan.
        states: before the first step.
        sequences: with three axes, of which the first is that of the steps; every step gets one element of each.
        goes_back: whether the last elements come first.
    """
    body = ir.Graph(
        [], [], nodes=[], opset_imports={"": emit.opset}, name=unique_name(f"{emit.scope}.body", emit.names)
    )
    inner = Emission(body, emit.names, emit.opset)
    inner.scope = f"{emit.scope}.step"
    carried = [_parameter(inner, "state", value) for value in states]
    elements = [_parameter(inner, "element", value) for value in sequences]
    body.inputs.extend([*carried, *elements])
    new, results = step(inner, carried, elements)
    for value in (*new, *results):
        node = value.producer()
        is_free = node is not None and node.graph is body and value not in body.outputs
        output = value if is_free else inner.op("Identity", value)
        output.shape = ir.Shape([None, None])  # ONNX Runtime wants to know the rank
        body.outputs.append(output)
    emit.names |= inner.names
    if goes_back:  # the attributes for directions are not known to every runtime, ONNX's own evaluator among them
        sequences = [reverse(emit, value, 0) for value in sequences]
    outputs = emit.ops(
        "Scan",
        [*states, *sequences],
        len(new) + len(results),
        body=body,
        num_scan_inputs=len(sequences),
    )
    for output, inside in zip(outputs, body.outputs, strict=True):
        output.type = inside.type
    stacked = outputs[len(new) :]
    return outputs[: len(new)], [reverse(emit, value, 0) for value in stacked] if goes_back else stacked


def _parameter(inner: Emission, name: str, outer: ir.Value) -> ir.Value:
    """Return an input of the body, of the type of what comes from outside."""
    return ir.val(unique_name(f"{inner.scope}.{name}", inner.names), type=outer.type)
