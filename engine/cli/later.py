"""Commands of the package that stands above this one: named in the help, imported only when they are run.

Imports point one way, and `impasto transfer` should not wait for what measures it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Later:
    """A command that is not imported yet.

    Attributes:
        module: where its `typer.Typer` is.
        name: of that, in the module.
        help: what `impasto --help` says of it.
    """

    module: str
    name: str
    help: str


LATER: Mapping[str, Later] = {
    "bench": Later("impasto.bench.cli.app", "bench_app", "Measure speed, also against PyTorch, and draw it."),
}


class Commands(TyperGroup):
    """The commands of the application, and those of `LATER` after them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names."""
        return [*super().list_commands(ctx), *LATER]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; of one that is not imported, a stand-in with its help."""
        later = LATER.get(cmd_name)
        return TyperCommand(cmd_name, help=later.help) if later else super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is to be run, and what is left of the arguments."""
        later = LATER.get(args[0])
        if later is None:
            return super().resolve_command(ctx, args)
        group = typer.main.get_command(getattr(import_module(later.module), later.name))
        group.name = args[0]
        return args[0], group, args[1:]
