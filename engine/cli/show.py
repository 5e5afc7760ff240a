"""`impasto show`: how a picture was made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.terminal import print_group
from impasto.engine.watch.text import as_table


def show(
    image: Annotated[Path, typer.Argument(help="A .png, .jpg, .webp or .tif file that impasto wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON object that the file holds.")] = False,
) -> None:
    """Print the settings, the network and the versions that made a picture."""
    from impasto.engine.images import read_metadata

    metadata = read_metadata(image)
    if as_json:
        print(json.dumps(metadata, indent=2))
        return
    groups = {name: value for name, value in metadata.items() if isinstance(value, Mapping)}
    alone = {name: value for name, value in metadata.items() if name not in groups}
    for title, values in {image.name: alone, **groups}.items():
        print_group(title, as_table(values))
