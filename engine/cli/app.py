"""The Typer application. It turns an error into one line on stderr and an exit status."""

import sys
from typing import Annotated

import typer

from impasto.engine.cli.batch import batch
from impasto.engine.cli.check import check
from impasto.engine.cli.doctor import doctor
from impasto.engine.cli.evaluate import evaluate
from impasto.engine.cli.figure import figure
from impasto.engine.cli.gradient import gradient
from impasto.engine.cli.lazy_commands import LazyCommands
from impasto.engine.cli.reconstruct import reconstruct_app
from impasto.engine.cli.resume import resume
from impasto.engine.cli.show import show
from impasto.engine.cli.style import style_app
from impasto.engine.cli.tensorrt_engines import engines_app
from impasto.engine.cli.transfer import transfer
from impasto.engine.cli.weights import weights_app
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

USAGE_ERROR = 2

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


for command in (transfer, batch, evaluate, check, figure, gradient, show, doctor, resume):
    app.command()(command)
groups = {"reconstruct": reconstruct_app, "style": style_app, "weights": weights_app, "engines": engines_app}
for name, group in groups.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line: one line on stderr and status 2 for a user's mistake, 130 for Ctrl-C."""
    try:
        status = app(prog_name="impasto", standalone_mode=False)
    except ImpastoError as error:
        _fail(str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # the command-line parser did not raise it
            raise
        message = error.format_message().rstrip(".")
        if not message:  # no arguments: the help was shown
            sys.exit(USAGE_ERROR)
        context = getattr(error, "ctx", None)
        _fail(f"{message}; see `{context.command_path if context else 'impasto'} --help`")
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(USAGE_ERROR)
