"""The command line: each command parses, calls one function and prints."""

from impasto.engine.cli.process import main

__all__ = ["main"]
