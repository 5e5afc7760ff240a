"""Commands for a shell, in characters that print."""

import os
import shlex
from collections.abc import Iterable


def quoted(word: str) -> str:
    """Return a word as a shell reads it back, byte for byte.

    A word with characters that do not print is quoted as $'...' (POSIX 2024; bash, ksh and zsh have long had it), with
    the bytes of these characters as three octal digits. So neither a page nor a terminal is given such characters.
    """
    return shlex.quote(word) if word.isprintable() else f"$'{''.join(map(_escaped, word))}'"


def quoted_command(words: Iterable[str]) -> str:
    """Return the words of a command as one line for a shell."""
    return " ".join(map(quoted, words))


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))
