"""What a benchmark tells while it goes on, and how it learns that it should stop."""

from typing import Protocol


class Watch(Protocol):
    """Follows a benchmark from stage to stage."""

    def stage(self, text: str, total: float) -> None:
        """Go on to a stage that is done when so much is."""

    def done(self, amount: float) -> None:
        """Take over how much of the stage is done."""

    def stopped(self) -> bool:
        """Return whether to end with what there is; asked before every sample."""


class Unwatched:
    """Nobody looks, nobody stops it."""

    def stage(self, text: str, total: float) -> None:
        """Take no notice."""

    def done(self, amount: float) -> None:
        """Take no notice."""

    def stopped(self) -> bool:
        """Return False."""
        return False
