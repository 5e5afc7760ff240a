"""Python's operators for values of a graph that is being built: each of them appends one node."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self, TypeVar

COMPARISONS = frozenset(("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"))

Value = TypeVar("Value", bound="Arithmetic")


def _unary(op_type: str) -> Callable[[Value], Value]:
    return lambda value: value.apply(op_type, value)


def _binary(op_type: str) -> Callable[[Value, Value | float], Value]:
    return lambda value, other: value.apply(op_type, value, other)


def _reflected(op_type: str) -> Callable[[Value, float], Value]:
    return lambda value, other: value.apply(op_type, other, value)


class Arithmetic(ABC):
    """The operators of a value. Plain numbers take the type of the value.

    ``==`` is `equals`, because Python has another use for it.
    """

    @abstractmethod
    def apply(self, op_type: str, *operands: "Self | float") -> Self:
        """Append a node that reads the given operands, of which the value is one, and return its result."""

    def unary(self, op_type: str) -> Self:
        """Append a node that reads the value alone."""
        return self.apply(op_type, self)

    __add__ = _binary("Add")
    __sub__ = _binary("Sub")
    __rsub__ = _reflected("Sub")
    __mul__ = _binary("Mul")
    __truediv__ = _binary("Div")
    __rtruediv__ = _reflected("Div")
    __pow__ = _binary("Pow")
    __matmul__ = _binary("MatMul")
    __neg__ = _unary("Neg")
    __abs__ = _unary("Abs")
    __lt__ = _binary("Less")
    __gt__ = _binary("Greater")
    __le__ = _binary("LessOrEqual")
    __ge__ = _binary("GreaterOrEqual")
    equals = _binary("Equal")
    __and__ = _binary("And")
    __or__ = _binary("Or")
    __invert__ = _unary("Not")
