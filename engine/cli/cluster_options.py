"""The options of the commands that run on a Ray cluster: `impasto batch` and `impasto serve`."""

import math
from typing import Any

import typer

from impasto.models.errors import ImpastoError


def ray_option(what: str, panel: str) -> Any:
    """Return the option `--ray`.

    Args:
        what: what the cluster is used for, as "Run the rows on a Ray cluster".
        panel: the heading that the help lists the option under.
    """
    return typer.Option("--ray", help=f"{what}: HOST:PORT of its head, or auto.", rich_help_panel=panel)


def resources_option(panel: str) -> Any:
    """Return the option `--resources`, which `read_resources` reads."""
    return typer.Option(
        "--resources",
        help="What a worker takes of a machine of the cluster, as GPU=1,CPU=2. (default: a GPU where there are any, "
        "else the cores of the smallest machine)",
        rich_help_panel=panel,
    )


def check_needs_ray(ray: str | None, **given: object) -> None:
    """Refuse options that mean something on a Ray cluster only.

    Args:
        ray: the cluster; None is none.
        given: by name, what the user gave; None or "" is nothing.

    Raises:
        ImpastoError: an option is given, but no cluster.
    """
    for name, value in given.items():
        if ray is None and value not in (None, ""):
            option = f"--{name.replace('_', '-')}"
            raise ImpastoError(f"{option} {value} is for the workers of a Ray cluster: give --ray, or leave it out")


def read_resources(text: str) -> dict[str, float]:
    """Return resources that are written as GPU=1,CPU=2.

    Raises:
        ImpastoError: they are not.
    """
    found = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = item.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not name.strip() or not equals or not (math.isfinite(number) and number > 0):
            raise ImpastoError(f"bad --resources {text!r}: expected NAME=NUMBER with commas, as GPU=1,CPU=2")
        found[name.strip()] = number
    return found
