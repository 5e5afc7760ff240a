"""A group whose commands are imported when the user runs them: `impasto transfer` imports nothing of the others.

Commands of the packages above this one are in it by name, so imports point one way.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommands(TyperGroup):
    """The commands of the application.

    Attributes:
        PLACES: by command, in the order of the help: the module, and the function or `typer.Typer` in it.
        HEAVY: the line of the help for a command whose module takes long to import.
    """

    PLACES: ClassVar[Mapping[str, tuple[str, str]]] = {
        "transfer": ("impasto.engine.cli.transfer", "transfer"),
        "batch": ("impasto.engine.cli.batch", "batch"),
        "evaluate": ("impasto.engine.cli.evaluate", "evaluate"),
        "check": ("impasto.engine.cli.check", "check"),
        "figure": ("impasto.engine.cli.figure", "figure"),
        "gradient": ("impasto.engine.cli.gradient", "gradient"),
        "show": ("impasto.engine.cli.show", "show"),
        "doctor": ("impasto.engine.cli.doctor", "doctor"),
        "resume": ("impasto.engine.cli.resume", "resume"),
        "reconstruct": ("impasto.engine.cli.reconstruct", "reconstruct_app"),
        "style": ("impasto.engine.cli.style", "style_app"),
        "bundle": ("impasto.engine.cli.bundle", "bundle_app"),
        "weights": ("impasto.engine.cli.weights", "weights_app"),
        "engines": ("impasto.engine.cli.tensorrt_engines", "engines_app"),
        "serve": ("impasto.server.cli.serve", "serve"),
        "remote": ("impasto.server.cli.remote", "remote_app"),
        "bench": ("impasto.bench.cli.app", "bench_app"),
    }
    HEAVY: ClassVar[Mapping[str, str]] = {
        "serve": "Serve pictures over HTTP: an API, metrics and a page, on a queue that survives crashes.",
        "remote": "Paint on a server that `impasto serve` started.",
        "bench": "Measure speed, also against PyTorch, and draw it.",
    }

    def __init__(self, **attributes: Any) -> None:
        """Name the commands, for the parser's suggestions; see `typer.core.TyperGroup`."""
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=self.HEAVY.get(name)) for name in self.PLACES}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names."""
        return list(self.PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command for the help; for a heavy one, a placeholder with its line."""
        if cmd_name in self.HEAVY or cmd_name not in self.PLACES:
            return super().get_command(ctx, cmd_name)
        return self._imported(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name of the command to run, the command, and the rest of the arguments."""
        if args[0] in self.PLACES:
            return args[0], self._imported(args[0]), args[1:]
        return super().resolve_command(ctx, args)

    def _imported(self, name: str) -> Any:
        module, attribute = self.PLACES[name]
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command()(found)
            command = typer.main.get_command(alone)
        command.name = name
        return command
