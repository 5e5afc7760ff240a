"""Commands of the packages above this one. The help names them; they are imported only when the user runs them.

So imports point one way, and `impasto transfer` does not wait for the import of the benchmarks.
"""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

LAZY = {"bench": ("impasto.bench.cli.app", "bench_app", "Measure speed, also against PyTorch, and draw it.")}
"""By command: the module, the `typer.Typer` in it, and the line in `impasto --help`."""


class LazyCommands(TyperGroup):
    """The commands of the application, and those of `LAZY` after them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names."""
        return [*super().list_commands(ctx), *LAZY]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; for a lazy command, a placeholder with its help."""
        if cmd_name in LAZY:
            return TyperCommand(cmd_name, help=LAZY[cmd_name][-1])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name of the command to run, the command, and the rest of the arguments."""
        if args[0] not in LAZY:
            return super().resolve_command(ctx, args)
        module, name, _ = LAZY[args[0]]
        group = typer.main.get_command(getattr(import_module(module), name))
        group.name = args[0]
        return args[0], group, args[1:]
