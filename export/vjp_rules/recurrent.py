"""Rules of RNN, GRU and LSTM, with respect to the sequence, all weights and the initial states.

Supported: all directions, biases, initial states, sequence_lens (constant or not), both layouts, every activation,
clip, linear_before_reset, peepholes and input_forget, the outputs in any combination, sequences of any length.
The layer stays as it is. The gradient is a Scan over the steps, last first, and for an LSTM another one, which computes
c.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules import cells
from impasto.export.vjp_rules.cell_activations import activations
from impasto.export.vjp_rules.cells import Direction, Reversed
from impasto.export.vjp_rules.emission import Emission, unique_name
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.folding import folded
from impasto.export.vjp_rules.inspection import describe, given, known_size, known_sizes, static_shape
from impasto.export.vjp_rules.long_short import lstm as lstm_cell
from impasto.export.vjp_rules.table import Cotangents, rule

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Directions of a node -> whether each goes backwards."""

Cell = Callable[[Direction], Reversed]


@rule("RNN", inputs=(0, 1, 2, 3, 5))
def rnn(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Reverse an RNN."""
    return _Layer(emit, node, cotangents, ("Tanh",)).reversed(cells.rnn)


@rule("GRU", inputs=(0, 1, 2, 3, 5))
def gru(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Reverse a GRU."""
    is_after = node.attributes.get_int("linear_before_reset", 0)
    return _Layer(emit, node, cotangents, ("Sigmoid", "Tanh")).reversed(
        cells.gru_after_product if is_after else cells.gru
    )


@rule("LSTM", inputs=(0, 1, 2, 3, 5, 6, 7))
def lstm(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Reverse an LSTM."""
    cell = partial(lstm_cell, is_coupled=bool(node.attributes.get_int("input_forget", 0)))
    return _Layer(emit, node, cotangents, ("Sigmoid", "Tanh", "Tanh")).reversed(cell)


class _Layer:
    """A recurrent node, and the cotangents of its outputs."""

    def __init__(self, emit: Emission, node: ir.Node, cotangents: Cotangents, functions: Sequence[str]) -> None:
        self._emit, self._node, self._cotangents = emit, node, [*cotangents, None, None][:3]
        self._states = 2 if node.op_type == "LSTM" else 1
        self._is_batch_first = bool(node.attributes.get_int("layout", 0))
        self._directions = _directions(node)
        self._functions = activations(node, functions, len(self._directions))
        self._size = static_shape(node, node.inputs[2])[2]
        x = given(node.inputs[0])
        self._steps = known_size(x, 1 if self._is_batch_first else 0)
        self._x = emit.op("Transpose", x, perm=[1, 0, 2]) if self._is_batch_first else x
        self._is_inside = self._mask()

    def reversed(self, cell: Cell) -> Cotangents:
        """Emit the cotangents of all inputs; those that nothing reads are removed in the end."""
        found = [self._of_direction(cell, index) for index in range(len(self._directions))]
        results: list[ir.Value | None] = [None] * 8
        results[0] = self._sum([each[0] for each in found])
        for place in (1, 2, 3, 7):
            results[place] = self._stacked([each[place] for each in found], 0)
        for place in (5, 6):
            results[place] = self._stacked([each[place] for each in found], 1 if self._is_batch_first else 0)
        return results[: len(self._node.inputs)]

    def _of_direction(self, cell: Cell, index: int) -> dict[int, ir.Value | None]:
        """Emit the cotangents of what one direction reads, by the input's place."""
        emit, w, r = self._emit, given(self._input(1, index)), given(self._input(2, index))
        both, peepholes = self._input(3, index), self._input(7, index)
        of_input, of_recurrence = (None, None) if both is None else emit.split(both, 2, 0)
        gates = emit.op("MatMul", self._x, emit.op("Transpose", w, perm=[1, 0]))
        hidden = self._sequence(self._output(), index)
        d_hidden = None if self._cotangents[0] is None else self._sequence(self._cotangents[0], index)
        direction = Direction(
            emit,
            gates if of_input is None else emit.op("Add", gates, of_input),
            r,
            of_recurrence,
            peepholes,
            hidden,
            [self._state(self._node.inputs, 5 + number, index, hidden) for number in range(self._states)],
            self._is_inside,
            self._functions[index],
            self._size,
            self._steps == 1,
            self._directions[index],
            d_hidden,
            [self._state(self._cotangents, 1 + number, index, hidden) for number in range(self._states)],
        )
        result = cell(direction)
        return {
            0: emit.op("MatMul", result.gates, w),
            1: self._outer(result.gates, self._x, static_shape(self._node, self._node.inputs[1])[2]),
            2: self._joined([self._outer(d, factor, self._size) for factor, d in result.products]),
            3: None if both is None else self._joined([self._total(result.gates), self._total(result.bias)]),
            5: result.first[0] if self._node_input(5) is not None else None,
            6: result.first[1] if self._node_input(6) is not None else None,
            7: None if peepholes is None else self._total(given(result.peepholes)),
        }

    def _output(self) -> ir.Value:
        """Return Y, which the node computes from now on even if nothing read it."""
        output = self._node.outputs[0]
        if not output.name:
            output.name = unique_name(f"{self._node.outputs[-1].name}.Y", self._emit.names)
            output.type = given(self._node.inputs[0]).type
        return output

    def _sequence(self, value: ir.Value, index: int) -> ir.Value:
        """Emit one direction of Y or of its cotangent, [T, N, H]."""
        steps_first = self._emit.op("Transpose", value, perm=[1, 2, 0, 3]) if self._is_batch_first else value
        return self._emit.op("Gather", steps_first, np.array(index), axis=1)

    def _state(self, values: Sequence[ir.Value | None], place: int, index: int, hidden: ir.Value) -> ir.Value:
        """Emit one direction of an initial state, or of the cotangent of a last one, [N, H]; zeros if it is absent."""
        value = values[place] if place < len(values) else None
        if value is not None:
            return self._emit.op("Gather", value, np.array(index), axis=1 if self._is_batch_first else 0)
        shape = known_sizes(given(self._node.inputs[0]))
        if shape is not None:
            return self._emit.op("Expand", self._emit.array(0.0, hidden), [shape[1 - self._is_batch_first], self._size])
        sample = self._emit.op("Gather", hidden, np.array(0), axis=0)
        return self._emit.op("Expand", self._emit.array(0.0, hidden), self._emit.op("Shape", sample))

    def _mask(self) -> ir.Value | None:
        """Emit which steps are within the sequence of each sample, [T, N, 1]; None where all are."""
        lengths = self._node_input(4)
        if lengths is None:
            return None
        emit, constant = self._emit, folded(lengths)
        if constant is not None and self._steps is not None and (constant >= self._steps).all():
            return None
        if self._steps is not None:
            moments: ir.Value = emit.constant(np.arange(self._steps, dtype=np.int32)[:, None, None])
        else:
            count = emit.op("Cast", emit.op("Gather", emit.op("Shape", self._x), np.array(0)), to=ir.DataType.INT32)
            moments = emit.op("Range", np.array(0, np.int32), count, np.array(1, np.int32))
            moments = emit.op("Reshape", moments, [-1, 1, 1])
        return emit.op("Greater", emit.op("Unsqueeze", lengths, [0, 2]), moments)

    def _node_input(self, place: int) -> ir.Value | None:
        return self._node.inputs[place] if place < len(self._node.inputs) else None

    def _input(self, place: int, index: int) -> ir.Value | None:
        """Emit one direction of an input that has it first."""
        value = self._node_input(place)
        return None if value is None else self._emit.op("Gather", value, np.array(index), axis=0)

    def _outer(self, d: ir.Value, factor: ir.Value, width: int) -> ir.Value:
        """Emit the sum over steps and samples of the outer products of d and a factor of that width."""
        emit = self._emit
        rows = emit.op("Reshape", emit.op("Transpose", d, perm=[2, 0, 1]), [0, -1])
        return emit.op("MatMul", rows, emit.op("Reshape", factor, [-1, width]))

    def _total(self, value: ir.Value) -> ir.Value:
        return self._emit.op("ReduceSum", value, [0, 1], keepdims=0)

    def _joined(self, values: Sequence[ir.Value]) -> ir.Value:
        return self._emit.op("Concat", *values, axis=0) if len(values) > 1 else values[0]

    def _stacked(self, values: Sequence[ir.Value | None], axis: int) -> ir.Value | None:
        """Emit the directions one after another along an axis that is new."""
        if values[0] is None:
            return None
        wide = [self._emit.op("Unsqueeze", value, [axis]) for value in values]
        return self._emit.op("Concat", *wide, axis=axis) if len(wide) > 1 else wide[0]

    def _sum(self, values: Sequence[ir.Value | None]) -> ir.Value:
        """Emit the cotangent of X: that of both directions, in the layout of X."""
        first, *rest = (given(value) for value in values)
        total = self._emit.op("Add", first, rest[0]) if rest else first
        return self._emit.op("Transpose", total, perm=[1, 0, 2]) if self._is_batch_first else total


def _directions(node: ir.Node) -> Sequence[bool]:
    direction = node.attributes.get_string("direction", "forward")
    if direction not in DIRECTIONS:
        raise GradientError(f"{describe(node)} has direction {direction!r}; allowed are {', '.join(DIRECTIONS)}")
    return DIRECTIONS[direction]
