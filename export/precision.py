"""Mixed precision by the types in the graph: convolutions in float16 or bfloat16, the first and all else in float32.

A convolution's inputs, kernel and bias become narrow, and with them what only passes its values on: activations, their
masks, poolings, and the sums of cotangents in between. Gram matrices, losses and all other nodes stay float32, and
so do the model's inputs and outputs, and the convolutions that `RULE` excludes. No flag of a provider is involved.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common

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
    _Narrowing(copy.graph, narrow, dtype).apply()
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
            (node.op_type in FOLLOWERS or _scales(node)) and any(_producer(value) in narrow for value in node.inputs)
        ):
            narrow.add(node)
    for node in reversed(graph):  # what prepares kernels, such as turning them around
        if node not in narrow and _is_constant(node) and all(user in narrow for user in _users(node)):
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


class _Narrowing:
    """The rewriting of one graph: a cast where a value crosses the border, made once for each value."""

    def __init__(self, graph: ir.Graph, narrow: set[ir.Node], dtype: ir.DataType) -> None:
        self._graph = graph
        self._narrow = narrow
        self._dtype = dtype
        self._narrowed: dict[ir.Value, ir.Value] = {}

    def apply(self) -> None:
        """Rewrite the graph in place."""
        nodes = list(self._graph)
        for node in nodes:
            if node in self._narrow:
                for index in range(min(FLOAT_INPUTS.get(node.op_type, len(node.inputs)), len(node.inputs))):
                    value = node.inputs[index]
                    if value is not None and value.dtype == ir.DataType.FLOAT and _producer(value) not in self._narrow:
                        node.replace_input_with(index, self._narrow_value(value, node))
        for node in nodes:
            if node in self._narrow:
                for value in node.outputs:
                    if value.dtype == ir.DataType.FLOAT:
                        value.type = ir.TensorType(self._dtype)  # values may share one type object
                        self._widen(value, node)

    def _narrow_value(self, value: ir.Value, user: ir.Node) -> ir.Value:
        """Return a float32 value in the narrow type: a constant converted, anything else cast."""
        if value not in self._narrowed:
            name = f"{value.name}.{self._dtype.name.lower()}"
            if value.is_initializer() and value.const_value is not None:
                array = value.const_value.numpy().astype(self._dtype.numpy())
                narrowed = ir.val(name, const_value=ir.tensor(array, dtype=self._dtype, name=name))
                self._graph.register_initializer(narrowed)
            else:
                cast = self._cast(value, self._dtype, name)
                narrowed, producer = cast.outputs[0], value.producer()
                if producer is None:
                    self._graph.insert_before(self._graph[0], cast)
                else:
                    self._graph.insert_after(producer, cast)
            self._narrowed[value] = narrowed
        return self._narrowed[value]

    def _widen(self, value: ir.Value, node: ir.Node) -> None:
        """Give the users of a narrow value that are not narrow a float32 one, under the value's own name."""
        uses = [(user, index) for user, index in value.uses() if user not in self._narrow]
        is_output = value.is_graph_output()
        if not uses and not is_output:
            return
        name = value.name
        value.name = f"{name}.{self._dtype.name.lower()}"
        cast = self._cast(value, ir.DataType.FLOAT, name or "")
        self._graph.insert_after(node, cast)
        wide = cast.outputs[0]
        for user, index in uses:
            user.replace_input_with(index, wide)
        if is_output:
            self._graph.outputs[:] = [wide if output is value else output for output in self._graph.outputs]

    def _cast(self, value: ir.Value, dtype: ir.DataType, name: str) -> ir.Node:
        node = ir.node("Cast", [value], {"to": dtype}, num_outputs=1)
        result = node.outputs[0]
        result.name, result.type, result.shape = name, ir.TensorType(dtype), value.shape
        return node


def _root(value: ir.Value | None) -> str:
    """Return the name of the initializer that a kernel was made from; its own where none is."""
    while value is not None and (producer := value.producer()) is not None and producer.inputs:
        value = producer.inputs[0]
    return (value.name if value is not None else None) or ""


def _producer(value: ir.Value | None) -> ir.Node | None:
    return value.producer() if value is not None else None


def _scales(node: ir.Node) -> bool:
    """Return whether a node multiplies by a constant scalar, as the gradient of an average pool does."""
    factors = [value.const_value for value in node.inputs if value is not None]
    return node.op_type == "Mul" and any(factor is not None and factor.size == 1 for factor in factors)


def _users(node: ir.Node) -> Iterable[ir.Node]:
    return (user for value in node.outputs for user, _ in value.uses())


def _is_constant(node: ir.Node) -> bool:
    """Return whether a node reads initializers and other such nodes alone, and at least one float32 value."""
    floats = [value for value in node.inputs if value is not None and value.dtype == ir.DataType.FLOAT]
    return bool(floats) and not any(output.is_graph_output() for output in node.outputs) and _reads_constants(node)


def _reads_constants(node: ir.Node) -> bool:
    pending = [node]
    while pending:
        for value in pending.pop().inputs:
            if value is None or value.is_initializer():
                continue
            producer = value.producer()
            if producer is None:
                return False
            pending.append(producer)
    return True
