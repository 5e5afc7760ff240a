"""A provider as it is asked for: its name, the number of a GPU, and options: "cuda:1,nhwc,memory=8000"."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Options:
    """The words that a provider takes after a comma.

    Attributes:
        flags: a word, and the settings that it stands for.
        numbers: a word before "=", and the setting whose value follows, an integer from 0.
    """

    flags: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)

    def settings(self, name: str, words: tuple[str, ...]) -> dict[str, object]:
        """Return the settings by name.

        Args:
            name: of the provider, for errors.
            words: as they were written.

        Raises:
            ImpastoError: a word is unknown, or its number is none.
        """
        chosen: dict[str, object] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals and key in self.flags:
                chosen.update(self.flags[key])
            elif equals and key in self.numbers and value.isdecimal():
                chosen[self.numbers[key]] = int(value)
            else:
                allowed = (*self.flags, *(f"{number}=N" for number in self.numbers))
                raise ImpastoError(
                    f"bad option {word!r} of provider {name}: "
                    + (f"allowed are {', '.join(allowed)}" if allowed else "it has none")
                )
        return chosen


@dataclass(frozen=True)
class Asked:
    """The parts of what was asked for.

    Attributes:
        name: of the provider; any word.
        device_index: of several GPUs.
        words: the options.
    """

    name: str
    device_index: int = 0
    words: tuple[str, ...] = ()


def asked(text: str, numbered: tuple[str, ...]) -> Asked:
    """Take apart what was asked for.

    Args:
        text: as on the command line.
        numbered: the providers that take a number.

    Raises:
        ImpastoError: the number is none, or the provider takes none.
    """
    first, *words = text.split(",")
    name, colon, index = first.partition(":")
    if colon and (name not in numbered or not index.isdecimal()):
        raise ImpastoError(f"bad provider {first}: only {' and '.join(numbered)} take a number, as cuda:1")
    return Asked(name, int(index or 0), tuple(words))
