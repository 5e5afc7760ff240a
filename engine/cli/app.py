"""The Typer application, and the errors of its parser."""

from typing import Annotated

import typer

from impasto.engine.cli.lazy_commands import LazyCommands
from impasto.engine.cli.terminal import USAGE_ERROR
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

app = typer.Typer(
    name="impasto",
    cls=LazyCommands,
    help="Neural style transfer by optimisation (Gatys, Ecker and Bethge 2015) on ONNX Runtime.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"impasto {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Neural style transfer by optimisation (Gatys, Ecker and Bethge 2015) on ONNX Runtime."""


def run() -> int:
    """Parse the command line and run its command. Return the exit status.

    Raises:
        ImpastoError: the command refuses its input, or the parser does.
    """
    try:
        status = app(prog_name="impasto", standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):  # the command-line parser did not raise it
            raise
        message = error.format_message().rstrip(".")
        if not message:  # no arguments: the help was shown
            return USAGE_ERROR
        context = getattr(error, "ctx", None)
        raise ImpastoError(f"{message}; see `{context.command_path if context else 'impasto'} --help`") from error
    return status if isinstance(status, int) else 0
