"""Arithmetic on values of a graph, written as arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from impasto.export.arithmetic import COMPARISONS, Arithmetic


@dataclass(frozen=True, eq=False)
class Quantity(Arithmetic):
    """A value with its type; its operators append nodes to the algebra's tape."""

    algebra: "Algebra"
    value: ir.Value
    dtype: np.dtype[Any]

    def apply(self, op_type: str, *operands: "Operand") -> "Quantity":
        """Append a node whose operands have one type.

        Raises:
            TypeError: they have not.
        """
        found = [item if isinstance(item, Quantity) else self.algebra.number(item, self.dtype) for item in operands]
        if any(item.dtype != self.dtype for item in found):
            raise TypeError(f"{op_type} of {' and '.join(str(item.dtype) for item in found)}; cast one of them")
        return self.algebra.op(op_type, *found, dtype=np.bool_ if op_type in COMPARISONS else self.dtype)

    def sqrt(self) -> "Quantity":
        """Return the square root."""
        return self.unary("Sqrt")

    def is_finite(self) -> "Quantity":
        """Return where it is neither infinite nor NaN."""
        return (self - self).equals(0)

    def clip(self, least: float, largest: float) -> "Quantity":
        """Return it between two numbers."""
        numbers = (self.algebra.number(bound, self.dtype).value for bound in (least, largest))
        return self.algebra.op("Clip", self, *numbers, dtype=self.dtype)

    def cast(self, dtype: Any) -> "Quantity":
        """Return it in another type."""
        to = np.dtype(dtype)
        return self if to == self.dtype else self.algebra.op("Cast", self, dtype=to, to=ir.DataType.from_numpy(to))

    def reshape(self, *shape: int) -> "Quantity":
        """Return it in another shape; 0 keeps a size, -1 takes what is left."""
        return self.algebra.op("Reshape", self, self.algebra.ints(*shape).value, dtype=self.dtype)

    def sum(self, axis: int) -> "Quantity":
        """Return the sum over an axis, which stays with size 1."""
        return self.algebra.op("ReduceSum", self, self.algebra.ints(axis).value, dtype=self.dtype, keepdims=1)

    def largest(self, axis: int) -> "Quantity":
        """Return the maximum over an axis, which stays with size 1."""
        return self.algebra.op("ReduceMax", self, self.algebra.ints(axis).value, dtype=self.dtype, keepdims=1)


Operand = Quantity | float


class Algebra:
    """Where nodes go, and constants, each of them once."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._constants: dict[str, Quantity] = {}

    def op(self, op_type: str, *inputs: Quantity | ir.Value, dtype: Any, **attributes: Any) -> Quantity:
        """Append a node and return its only output."""
        values = [item.value if isinstance(item, Quantity) else item for item in inputs]
        return self.of(self._tape.op(op_type, values, attributes), dtype)

    def of(self, value: ir.Value, dtype: Any) -> Quantity:
        """Return a value as a quantity."""
        return Quantity(self, value, np.dtype(dtype))

    def constant(self, name: str, array: np.ndarray) -> Quantity:
        """Return an array as an initializer of that name, made at first use."""
        if name not in self._constants:
            self._constants[name] = self.of(self._tape.initializer(ir.tensor(array, name=name)), array.dtype)
        return self._constants[name]

    def number(self, value: float, dtype: Any = np.float64) -> Quantity:
        """Return a number as an initializer."""
        return self.constant(f"{np.dtype(dtype).name}.{value!r}", np.array(value, dtype))

    def ints(self, *values: int) -> Quantity:
        """Return an int64 vector as an initializer."""
        return self.constant(f"ints.{'.'.join(map(str, values))}", np.array(values, np.int64))

    def where(self, condition: Quantity, yes: Operand, no: Operand) -> Quantity:
        """Return one or the other, entry by entry; at least one is no plain number."""
        dtype = next(item.dtype for item in (yes, no) if isinstance(item, Quantity))
        chosen = (item if isinstance(item, Quantity) else self.number(item, dtype) for item in (yes, no))
        return self.op("Where", condition, *chosen, dtype=dtype)

    def concat(self, quantities: Sequence[Quantity], axis: int) -> Quantity:
        """Return quantities of one type one after another along an axis."""
        return self.op("Concat", *quantities, dtype=quantities[0].dtype, axis=axis)

    def columns(self, quantity: Quantity, count: int, axis: int) -> list[Quantity]:
        """Return the parts of size 1 along an axis of that size.

        With Gather: ONNX Runtime for the web has no Split of float64.
        """
        return [
            self.op("Gather", quantity, self.ints(number), dtype=quantity.dtype, axis=axis) for number in range(count)
        ]
