"""`impasto evaluate`: compute the loss of an image."""

import json
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.declare import takes
from impasto.engine.cli.options import ENGINE, OBJECTIVE, Options
from impasto.models.overwriting import check_not_read


@takes(*OBJECTIVE, *ENGINE, "quiet")
def evaluate(
    options: Options,
    image: Annotated[Path, typer.Argument(help="The image to score; .npy is H x W x 3, 0..255.")],
    content: Annotated[Path, typer.Option(help="The content image.")],
    style: Annotated[Path, typer.Option(help="The style image.")],
    gradient: Annotated[
        Path | None,
        typer.Option(help="Write d loss / d pixel here: .npy, float32 H x W x 3, RGB, for pixels on 0..255."),
    ] = None,
) -> None:
    """Print an image's loss and its terms as JSON: {"loss", "terms", "evaluation_s", "model", "provider", "precision"}.

    --size 0 takes all three files as they are; --seamless brings their sides to multiples of 16 px.
    """
    from impasto.engine.images import check_writable, write_array

    settings = options.settings()
    if gradient is not None:
        check_writable(gradient, extensions=(".npy",))
        inputs = {"the image": image, "the content image": content, "the style image": style}
        check_not_read([gradient], inputs, "give another name")
    with options.engine() as engine:
        options.say_choices(engine)
        score = engine.evaluate(image, content, style, settings)
        provider = engine.provider
        used = {"model": engine.network.name, "provider": provider.name, "precision": provider.precision}
    if gradient is not None:
        write_array(gradient, score.gradient)
    print(json.dumps({"loss": score.loss, "terms": score.terms, "evaluation_s": score.evaluation_s, **used}))
