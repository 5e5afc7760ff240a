"""Keeping a stream of unknown length in bounded memory."""

from typing import Generic, TypeVar

Item = TypeVar("Item")


class Thinned(Generic[Item]):
    """Items of a stream, evenly spaced and never more than a limit: when it is passed, every second one goes.

    Attributes:
        step: only numbers that it divides are kept; it doubles when the limit is passed.
    """

    def __init__(self, limit: int, step: int = 1) -> None:
        """Start empty.

        Args:
            limit: items at most, 1 or more; half as many and more are kept once it was passed.
            step: to begin with.

        Raises:
            ValueError: the limit or the step is below 1.
        """
        if limit < 1 or step < 1:
            raise ValueError(f"limit is {limit} and step {step}; both must be 1 or more")
        self.step = step
        self._limit = limit
        self._kept: list[tuple[int, Item]] = []

    def wants(self, number: int) -> bool:
        """Tell whether the item of that number would be kept, so that others need not be made."""
        return number % self.step == 0

    def add(self, number: int, item: Item) -> None:
        """Keep an item if it is wanted; numbers go up."""
        if not self.wants(number):
            return
        self._kept.append((number, item))
        while len(self._kept) > self._limit:
            self.step *= 2
            self._kept = [kept for kept in self._kept if kept[0] % self.step == 0]

    def items(self) -> list[Item]:
        """Return what is kept, in order."""
        return [item for _, item in self._kept]
