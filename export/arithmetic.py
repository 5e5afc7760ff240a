"""Python's operators for values of a graph that is being built: each of them appends one node."""

from abc import ABC, abstractmethod
from typing import Self

COMPARISONS = frozenset(("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"))


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

    def __add__(self, other: "Self | float") -> Self:
        return self.apply("Add", self, other)

    def __sub__(self, other: "Self | float") -> Self:
        return self.apply("Sub", self, other)

    def __rsub__(self, other: float) -> Self:
        return self.apply("Sub", other, self)

    def __mul__(self, other: "Self | float") -> Self:
        return self.apply("Mul", self, other)

    def __truediv__(self, other: "Self | float") -> Self:
        return self.apply("Div", self, other)

    def __rtruediv__(self, other: float) -> Self:
        return self.apply("Div", other, self)

    def __pow__(self, exponent: float) -> Self:
        return self.apply("Pow", self, exponent)

    def __matmul__(self, other: Self) -> Self:
        return self.apply("MatMul", self, other)

    def __neg__(self) -> Self:
        return self.unary("Neg")

    def __abs__(self) -> Self:
        return self.unary("Abs")

    def __lt__(self, other: "Self | float") -> Self:
        return self.apply("Less", self, other)

    def __gt__(self, other: "Self | float") -> Self:
        return self.apply("Greater", self, other)

    def __le__(self, other: "Self | float") -> Self:
        return self.apply("LessOrEqual", self, other)

    def __ge__(self, other: "Self | float") -> Self:
        return self.apply("GreaterOrEqual", self, other)

    def equals(self, other: "Self | float") -> Self:
        """Append a comparison."""
        return self.apply("Equal", self, other)

    def __and__(self, other: Self) -> Self:
        return self.apply("And", self, other)

    def __or__(self, other: Self) -> Self:
        return self.apply("Or", self, other)

    def __invert__(self) -> Self:
        return self.unary("Not")
