"""`impasto transfer`: paint one image in the style of another."""

from typing import Annotated

import typer

from impasto.engine.cli.declare import LOOK, MACHINE, MAIN, OPTIMISER, OUTPUT, takes
from impasto.engine.cli.options import Content, Options, Output, Style, of_preset
from impasto.engine.cli.single_run import SingleRun
from impasto.models.errors import ImpastoError

Refine = Annotated[
    int,
    typer.Option(
        help="Draft on --model (auto: vgg19-slim), then finish with N evaluations of vgg19; 0 is none.",
        rich_help_panel=OPTIMISER,
        min=0,
        metavar="N",
    ),
]


@takes(MAIN, LOOK, OPTIMISER, OUTPUT, MACHINE, **of_preset())
def transfer(options: Options, content: Content, style: Style, output: Output, refine: Refine = 0) -> None:
    """Paint CONTENT in the style of STYLE.

    Ctrl-C stops after the current evaluation, saves the current image (and its state to --checkpoint), and exits with
    status 130.
    """
    if refine and options.checkpoint is not None:
        raise ImpastoError(
            "--checkpoint and --refine exclude each other: a checkpoint belongs to one network; drop one of them"
        )
    run = SingleRun(options, options.settings(), content, style, output)
    if refine:
        from impasto.engine.cli.refined_run import start_refined

        start_refined(run, refine)
    else:
        run.start()
