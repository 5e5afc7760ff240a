"""Mixed precision by the types in the graph: convolutions in float16 or bfloat16, the first and all else in float32.

A convolution's inputs, kernel and bias become narrow, and with them what only passes its values on: activations, their
masks, poolings, and the sums of cotangents in between. Gram matrices, losses and all other nodes stay float32, and
so do the model's inputs and outputs, and the convolutions that `RULE` excludes. No flag of a provider is involved.
"""

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.graph_memory import constant_values
from impasto.export.lowering.rewriting import cast_for, cast_of, producer

NARROW_TYPES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
# Narrow where an input is: none of them adds up more than a few values, or changes a magnitude by much.
FOLLOWERS = frozenset(
    {"Add", "AveragePool", "Clip", "Greater", "HardSigmoid", "LeakyRelu", "MaxPool", "Relu", "Resize", "Where"}
)
OLDEST_OPSET, BFLOAT16_OPSET = 18, 22
CHANGED_BEFORE_22 = frozenset({"DFT", "GridSample", "GroupNormalization"})
FLOAT_INPUTS = {"Resize": 1, "Clip": 3}  # the leading inputs that have the type of the data; all where not listed


@dataclass(frozen=True)
class Convolution:
    """One convolution of a graph, as a rule sees it.

    Attributes:
        depth: of its kernel: 1 is the first that the image meets.
        backward: whether it carries cotangents; the forward one reads the same kernel.
        kernel: name of the initializer.
    """

    depth: int
    backward: bool
    kernel: str


Rule = Callable[[Convolution], bool]
"""Tells which convolutions become narrow."""


def everywhere(convolution: Convolution) -> bool:
    """Narrow all of them."""
    return True


def after_the_first(convolution: Convolution) -> bool:
    """Leave the forward convolution that reads the image in float32, and with it the image and the first tap.

    Of VGG-19 that is the stretch up to relu1_1: 0.2 % of the multiplications, and more of the gradient's error than any
    other stretch, because pixels that differ by less than the narrow type tells apart become one.
    """
    return convolution.backward or convolution.depth > 1


RULE: Rule = after_the_first
"""A stretch between two taps stays float32 where it alone causes a tenth or more of the gradient's squared error for a
hundredth or less of the multiplications (`impasto.bench.studies.narrowing`, bench/results/narrowing.json)."""


def narrow_convolutions(model: ir.Model, dtype: ir.DataType, rule: Rule = RULE) -> ir.Model:
    """Return a copy of a model whose convolutions have a narrow type.

    Kernels that nodes turn around for the gradient are turned around in the narrow type, so that the file still holds
    each of them once; in both types only where the rule wants one direction wide.

    Args:
        model: float32, with shapes inferred.
        dtype: `ir.DataType.FLOAT16` or `ir.DataType.BFLOAT16`.
        rule: which of them. Targets and objective must have the same rule, and so the same rounding.

    Raises:
        ValueError: the type is another.
    """
    if dtype not in NARROW_TYPES:
        raise ValueError(f"bad type {dtype}: allowed are {', '.join(map(str, NARROW_TYPES))}")
    copy = model.clone()
    if dtype == ir.DataType.BFLOAT16:
        _raise_opset(copy)
    narrow = narrow_nodes(copy.graph, rule)
    _narrow(copy.graph, narrow, dtype)
    common.RemoveUnusedNodesPass()(copy)
    return copy


def convolutions(graph: ir.Graph) -> dict[ir.Node, Convolution]:
    """Return the convolutions of a graph in its order: the first that reads a kernel is forward, others backward."""
    found: dict[ir.Node, Convolution] = {}
    depths: dict[str, int] = {}
    for node in graph:
        if node.op_type in CONVOLUTIONS:
            kernel = _root(node.inputs[1])
            backward = kernel in depths
            found[node] = Convolution(depths.setdefault(kernel, len(depths) + 1), backward, kernel)
    return found


def narrow_nodes(graph: ir.Graph, rule: Rule = RULE) -> set[ir.Node]:
    """Return the nodes that run in the narrow type."""
    chosen = {node for node, convolution in convolutions(graph).items() if rule(convolution)}
    narrow: set[ir.Node] = set()
    for node in graph:
        if node in chosen or (
            (node.op_type in FOLLOWERS or _scales(node)) and any(producer(value) in narrow for value in node.inputs)
        ):
            narrow.add(node)
    constants = constant_values(graph)
    for node in reversed(graph):  # what prepares kernels, such as turning them around
        users = (user for value in node.outputs for user, _ in value.uses())
        reads_floats = any(value is not None and value.dtype == ir.DataType.FLOAT for value in node.inputs)
        is_output = any(value.is_graph_output() for value in node.outputs)
        if reads_floats and not is_output and constants.issuperset(node.outputs) and narrow.issuperset(users):
            narrow.add(node)
    return narrow


def _raise_opset(model: ir.Model) -> None:
    """Bring the model to the opset in which convolutions and poolings may be bfloat16.

    From 18 on, versions up to 22 add types to the operators and leave the meaning of all but a few.
    """
    current = model.opset_imports[""]
    if current >= BFLOAT16_OPSET:
        return
    if current < OLDEST_OPSET or any(node.op_type in CHANGED_BEFORE_22 for node in model.graph):
        raise ValueError(f"cannot narrow a model of opset {current}: export it with opset {BFLOAT16_OPSET}")
    model.opset_imports[""] = BFLOAT16_OPSET


def _narrow(graph: ir.Graph, narrow: set[ir.Node], dtype: ir.DataType) -> None:
    """Rewrite a graph in place: a cast where a value crosses the border, made once for each value."""
    nodes = [node for node in graph if node in narrow]
    narrowed: dict[ir.Value, ir.Value] = {}
    for node in nodes:
        for index, value in enumerate(node.inputs[: FLOAT_INPUTS.get(node.op_type)]):
            if value is not None and value.dtype == ir.DataType.FLOAT and producer(value) not in narrow:
                if value not in narrowed:
                    narrowed[value] = _narrow_value(graph, value, dtype)
                node.replace_input_with(index, narrowed[value])
    for node in nodes:
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT:
                value.type = ir.TensorType(dtype)  # values may share one type object
                uses = [(user, index) for user, index in value.uses() if user not in narrow]
                if uses or value.is_graph_output():
                    cast_for(graph, uses, value, ir.DataType.FLOAT, f"{value.name}.{dtype.name.lower()}")


def _narrow_value(graph: ir.Graph, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Return a float32 value in the narrow type: a constant converted, anything else cast."""
    name, maker = f"{value.name}.{dtype.name.lower()}", value.producer()
    if value.is_initializer() and value.const_value is not None:
        array = value.const_value.numpy().astype(dtype.numpy())
        narrowed = ir.val(name, const_value=ir.tensor(array, dtype=dtype, name=name))
        graph.register_initializer(narrowed)
        return narrowed
    cast = cast_of(value, dtype, name)
    if maker is None:
        graph.insert_before(graph[0], cast)
    else:
        graph.insert_after(maker, cast)
    return cast.outputs[0]


def _root(value: ir.Value | None) -> str:
    """Return the name of the initializer that a kernel was made from; its own where none is."""
    while value is not None and (producer := value.producer()) is not None and producer.inputs:
        value = producer.inputs[0]
    return (value.name if value is not None else None) or ""


def _scales(node: ir.Node) -> bool:
    """Return whether a node multiplies by a constant scalar, as the gradient of an average pool does."""
    factors = [value.const_value for value in node.inputs if value is not None]
    return node.op_type == "Mul" and any(factor is not None and factor.size == 1 for factor in factors)
