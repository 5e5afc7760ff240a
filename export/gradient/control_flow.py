"""Branches and loops that are known before the model runs, written out.

An If with a constant condition becomes the branch that is taken. A Loop or Scan whose number of iterations is known
becomes so many copies of its body, up to `MOST_NODES` nodes. (An If with another condition is differentiated as it is:
see `impasto.export.gradient.branches`.)
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from impasto.export.gradient.splicing import copy_of, give_way, graph_of, spliced
from impasto.export.vjp_rules import GradientError, describe
from impasto.export.vjp_rules.emission import taken_names, unique_name
from impasto.export.vjp_rules.folding import folded
from impasto.export.vjp_rules.inspection import given, known_size, rank

MOST_NODES = 20_000


def inline_branches(model: ir.Model) -> bool:
    """Put, in place, the branch that is taken in the place of every If that is decided; say whether there were any."""
    found = False
    for part in (model.graph, *model.graph.subgraphs()):
        for node in list(part):
            if node.op_type == "If" and not node.domain:
                condition = folded(given(node.inputs[0]))
                if condition is not None:
                    branch = node.attributes["then_branch" if condition.item() else "else_branch"].as_graph()
                    give_way(part, node, spliced(part, node, branch, []))
                    found = True
    return found


def unroll(model: ir.Model, nodes: Collection[ir.Node]) -> bool:
    """Write out, in place, those of the nodes that are loops; say whether there were any.

    Raises:
        GradientError: the number of iterations is not known, or too large.
    """
    loops = [node for node in nodes if node.op_type in ("Loop", "Scan") and not node.domain]
    for node in loops:
        unrolling = _Unrolling(model, node)
        unrolling.loop() if node.op_type == "Loop" else unrolling.scan()
    return bool(loops)


class _Unrolling:
    """One Loop or Scan of a model, while it is written out."""

    def __init__(self, model: ir.Model, node: ir.Node) -> None:
        self._graph, self._node = graph_of(node), node
        self._names = taken_names(model.graph)
        self._body = node.attributes["body"].as_graph()

    def loop(self) -> None:
        """Write out a Loop: its inputs are the most iterations, the first condition, and the carried values."""
        limit, keeps_on = (None if value is None else folded(value) for value in self._node.inputs[:2])
        if self._node.inputs[0] is not None and limit is None:
            raise self._unknown("its number of iterations")
        if self._node.inputs[1] is not None and keeps_on is None:
            raise self._unknown("its first condition")
        carried = [given(value) for value in self._node.inputs[2:]]
        stacks: list[list[ir.Value]] = [[] for _ in self._node.outputs[len(carried) :]]
        goes_on, count = keeps_on is None or bool(keeps_on.item()), 0
        while goes_on and (limit is None or count < limit.item()):
            self._check_size(count + 1)
            index = self._constant(np.array(count, np.int64), "iteration")
            condition, *results = self._iteration([index, self._constant(np.array(True), "condition"), *carried])
            carried, slices = results[: len(carried)], results[len(carried) :]
            for stack, value in zip(stacks, slices, strict=True):
                stack.append(value)
            decided = folded(condition)
            if decided is None:
                raise self._unknown("whether it continues")
            goes_on, count = bool(decided.item()), count + 1
        give_way(self._graph, self._node, [*carried, *(self._stacked(stack, 0) for stack in stacks)])

    def scan(self) -> None:
        """Write out a Scan: its inputs are the state, and sequences of which every iteration reads one element."""
        number = self._node.attributes["num_scan_inputs"].as_int()
        state = [given(value) for value in self._node.inputs[: len(self._node.inputs) - number]]
        sequences = [given(value) for value in self._node.inputs[len(state) :]]
        axes = self._numbers("scan_input_axes", number)
        backwards = self._numbers("scan_input_directions", number)
        count = known_size(sequences[0], axes[0] % rank(self._node, sequences[0]))
        if count is None:
            raise self._unknown("the length of its sequences")
        self._check_size(count)
        slices = [self._elements(value, axis, count) for value, axis in zip(sequences, axes, strict=True)]
        stacks: list[list[ir.Value]] = [[] for _ in self._node.outputs[len(state) :]]
        for index in range(count):
            now = [each[-1 - index if back else index] for each, back in zip(slices, backwards, strict=True)]
            results = self._iteration([*state, *now])
            state = results[: len(state)]
            for stack, value in zip(stacks, results[len(state) :], strict=True):
                stack.append(value)
        outputs = zip(
            stacks,
            self._numbers("scan_output_axes", len(stacks)),
            self._numbers("scan_output_directions", len(stacks)),
            strict=True,
        )
        stacked = [self._stacked(stack[::-1] if back else stack, axis) for stack, axis, back in outputs]
        give_way(self._graph, self._node, [*state, *stacked])

    def _iteration(self, arguments: list[ir.Value]) -> list[ir.Value]:
        """Insert one copy of the body, and return its results."""
        return spliced(self._graph, self._node, copy_of(self._body, self._names), arguments)

    def _elements(self, value: ir.Value, axis: int, count: int) -> list[ir.Value]:
        """Return the elements of a sequence along an axis."""
        sizes = self._constant(np.ones(count, np.int64), "sizes")
        split = ir.node("Split", [value, sizes], {"axis": axis}, num_outputs=count)
        self._insert(split)
        axes = self._constant(np.array([axis], np.int64), "axes")
        return [self._insert(ir.node("Squeeze", [part, axes])) for part in split.outputs]

    def _stacked(self, values: list[ir.Value], axis: int) -> ir.Value:
        """Return the values along a new axis."""
        if not values:
            raise GradientError(f"{describe(self._node)} has no iteration, and so no results; remove it")
        axes = self._constant(np.array([axis], np.int64), "axes")
        parts = [self._insert(ir.node("Unsqueeze", [value, axes])) for value in values]
        return self._insert(ir.node("Concat", parts, {"axis": axis}))

    def _insert(self, node: ir.Node) -> ir.Value:
        for value in node.outputs:
            value.name = unique_name(f"{self._node.outputs[0].name}.{node.op_type}", self._names)
        node.name = node.outputs[0].name
        self._graph.insert_before(self._node, node)
        return node.outputs[0]

    def _constant(self, array: np.ndarray, what: str) -> ir.Value:
        name = unique_name(f"{self._node.outputs[0].name}.{what}", self._names)
        value = ir.val(name, const_value=ir.tensor(array, name=name))
        self._graph.register_initializer(value)
        return value

    def _numbers(self, name: str, count: int) -> list[int]:
        """Return an attribute of so many integers, which are 0 where it is absent."""
        return list(self._node.attributes.get_ints(name, [0] * count))

    def _check_size(self, count: int) -> None:
        size = sum(1 for _ in self._body.all_nodes())
        if count * size > MOST_NODES:
            raise GradientError(
                f"{describe(self._node)} has {count} iterations or more, of {size} nodes, and a loop is written out up "
                f"to {MOST_NODES} nodes; give it a shorter sequence"
            )

    def _unknown(self, what: str) -> GradientError:
        return GradientError(
            f"{describe(self._node)} cannot be written out: {what} is computed at run time; fix the sizes of the "
            "model's inputs, or export it with a number of iterations that is constant"
        )
