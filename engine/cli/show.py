"""`impasto show`: print the settings that a file was made with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.terminal import print_group
from impasto.engine.watch.text import as_table
from impasto.models.errors import ImpastoError


def show(
    image: Annotated[Path, typer.Argument(help="A file that impasto wrote: .png .jpg .webp .tif, or .safetensors.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON object that the file holds.")] = False,
) -> None:
    """Print the settings, the network and the versions that made a picture, a checkpoint or a saved style."""
    from impasto.engine.images import read_metadata
    from impasto.engine.inputs.array_file import SUFFIX, DamagedFileError, read_file

    try:
        metadata = read_file(image)[0] if image.suffix.lower() == SUFFIX else read_metadata(image)
    except DamagedFileError as error:
        raise ImpastoError(f"damaged or truncated file: {image} ({error}); make it again") from error
    if not metadata:
        raise ImpastoError(f"{image} is neither a checkpoint nor a saved style: impasto did not write it")
    if as_json:
        print(json.dumps(metadata, indent=2))
        return
    groups = {name: value for name, value in metadata.items() if isinstance(value, Mapping)}
    alone = {name: value for name, value in metadata.items() if name not in groups}
    for title, values in {image.name: alone, **groups}.items():
        print_group(title, as_table(values))
