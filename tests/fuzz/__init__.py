"""Files with random damage, through every reader of the program and through its command line.

    python -m tests.fuzz --count 50000 --json fuzz.json --keep failures

A case passes if the file is read, or refused with one line, within the limits of time and memory and without a word
from a library on stderr. See `tests.fuzz.judge`.
"""
