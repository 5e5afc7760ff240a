"""Commands on pages: a shell gets back every byte, and no character is other than it looks."""

import os
import shutil
import subprocess

import pytest

from impasto.engine.watch.shell import quoted, quoted_command

AWKWARD = (
    "plain.png",
    'it\'s a "name" \\ $HOME `x`',
    "",
    "line\nbreak\ttab",
    "\x1b[2J\x07\x7f",
    "1\x012",  # a digit after an octal number
    "it's \\ \x9b",
    "mixed \u202e \u2028 \u00ad 画.png",
    os.fsdecode(b"caf\xe9\xff\x80"),
)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_reads_back_every_byte() -> None:
    script = f"printf '%s\\0' {quoted_command(AWKWARD)}"
    output = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert output == b"".join(os.fsencode(word) + b"\0" for word in AWKWARD)


def test_everything_prints() -> None:
    assert quoted_command(AWKWARD).isprintable()
    assert quoted("a\x1b[2J'é\u2028\\") == r"$'a\033[2J\'é\342\200\250\\'"
    assert quoted("déjà.png") == "'déjà.png'"
    assert quoted("plain.png") == "plain.png"
