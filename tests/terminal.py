"""A terminal as far as the tests need one: what is on the screen after so many bytes."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"\x1b\[(?P<private>\??)(?P<numbers>[\d;]*)(?P<final>[A-Za-z])"
    r"|\x1b(?P<string>[P_\]].*?(?:\x1b\\|\x07))"
    r"|\x1b(?P<short>[78])"
    r"|(?P<text>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Cell:
    """A character and its two colours, as the numbers of its SGR sequences."""

    text: str = " "
    front: str = ""
    back: str = ""


@dataclass
class Terminal:
    """A screen of so many rows and columns; lines that leave it at the top are counted.

    Attributes:
        pictures: graphics that were sent, each with the row of the cursor then.
    """

    rows: int
    columns: int
    scrolled: int = 0
    pictures: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = [self._blank() for _ in range(self.rows)]
        self.row = self.column = 0
        self._saved = (0, 0)
        self._front = self._back = ""

    def feed(self, data: bytes) -> None:
        """Take over output; a sequence must not be cut in two."""
        for match in _TOKEN.finditer(data.decode()):
            if match["final"]:
                self._control(match["final"], match["numbers"], bool(match["private"]))
            elif match["string"]:
                self.pictures.append((self.row, match["string"]))
            elif match["short"]:
                if match["short"] == "7":
                    self._saved = (self.row, self.column)
                else:
                    self.row, self.column = self._saved
            else:
                self._put(match["text"])

    def lines(self) -> list[str]:
        """Return the screen as text."""
        return ["".join(cell.text for cell in row).rstrip() for row in self.cells]

    def _blank(self) -> list[Cell]:
        return [Cell()] * self.columns

    def _put(self, text: str) -> None:
        if text == "\r":
            self.column = 0
        elif text == "\n":
            self._down()
        else:
            assert text.isprintable(), f"a control that no one expected: {text!r}"
            if self.column == self.columns:
                self.column = 0
                self._down()
            self.cells[self.row][self.column] = Cell(text, self._front, self._back)
            self.column += 1

    def _down(self) -> None:
        if self.row + 1 < self.rows:
            self.row += 1
        else:
            self.cells = [*self.cells[1:], self._blank()]
            self.scrolled += 1

    def _control(self, final: str, numbers: str, private: bool) -> None:
        if private:
            assert numbers == "25", f"a mode that no one expected: {numbers}"
            return
        count = int(numbers or 1) if final != "m" else 0
        if final == "A":
            self.row = max(0, self.row - count)
        elif final == "B":
            self.row = min(self.rows - 1, self.row + count)
        elif final == "K":
            row = self.cells[self.row]
            start = 0 if numbers == "2" else self.column
            row[start:] = [Cell()] * (self.columns - start)
        elif final == "m":
            self._colours(numbers)
        else:
            raise AssertionError(f"a sequence that no one expected: {numbers}{final}")

    def _colours(self, numbers: str) -> None:
        if numbers in ("", "0"):
            self._front = self._back = ""
        elif numbers.startswith("38;"):
            self._front = numbers[3:]
        elif numbers.startswith("48;"):
            self._back = numbers[3:]
