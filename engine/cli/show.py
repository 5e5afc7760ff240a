"""`impasto show`: how a picture was made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from impasto.engine.watch.words import in_words


def show(
    image: Annotated[
        Path, typer.Argument(help="A .png, .jpg, .webp or .tif file that impasto wrote.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON object that the file holds.")] = False,
) -> None:
    """Print the settings, the network and the versions that made a picture."""
    from impasto.engine.images import read_metadata

    metadata = read_metadata(image)
    if as_json:
        print(json.dumps(metadata, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    groups = {name: value for name, value in metadata.items() if isinstance(value, Mapping)}
    _print_group(console, image.name, {name: value for name, value in metadata.items() if name not in groups})
    for name, group in groups.items():
        _print_group(console, name, group)


def _print_group(console: Console, title: str, values: Mapping[str, Any]) -> None:
    console.print(title, style="bold", markup=False)
    for name, value in values.items():
        console.print(f"  {name:<16} {in_words(value)}", markup=False)
