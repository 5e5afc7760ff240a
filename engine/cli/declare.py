"""How shared options are declared, and how a command takes some of them.

A table of options is a frozen dataclass whose fields are made with `option`. A subclass may give a field another
default, or declare it anew.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_type_hints

import typer

MAIN, LOOK, OPTIMISER, OUTPUT, MACHINE = PANELS = ("Options", "Look", "Optimiser", "Output", "Where it runs")
"""Headings of the help, in their order."""

Command = Callable[..., None]


def option(default: Any, text: str, panel: str = MAIN, *names: str, **more: Any) -> Any:
    """Return the field of an option.

    Args:
        default: its value where it is not given.
        text: its help.
        panel: the heading that it stands under.
        names: as typed, if not the field's own name with dashes.
        more: as for `typer.Option`.
    """
    if isinstance(default, bool):
        more["metavar"] = ""  # it has no value
    declared = typer.Option(*names, help=text, rich_help_panel=panel, **more)
    return dataclasses.field(default=default, metadata={"option": declared})


def takes(*names: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command options of a table.

    The command's first parameter is annotated with the table. Typer sees one parameter for each option in its place,
    and the command gets an object with their values; what it does not take has its default there.

    Args:
        names: of fields; a panel stands for all fields under it.
    """

    def decorate(command: Command) -> Command:
        first, *own = inspect.signature(command, eval_str=True).parameters.values()
        table = first.annotation
        shared = [_parameter(table, name) for name in _without_panels(table, names)]

        def run(**values: Any) -> None:
            command(table(**{item.name: values.pop(item.name) for item in shared}), **values)

        parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*own, *shared)]
        parameters.sort(key=lambda item: PANELS.index(_panel(*get_args(item.annotation)[1:])))
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        return run

    return decorate


def _without_panels(table: Any, names: Sequence[str]) -> list[str]:
    """Return the names with every panel replaced by the fields under it."""
    under: dict[str, list[str]] = {panel: [] for panel in PANELS}
    for field in dataclasses.fields(table):
        under[_panel(_declared(table, field.name))].append(field.name)
    return [field for name in names for field in under.get(name, [name])]


def _parameter(table: Any, name: str) -> inspect.Parameter:
    annotated: Any = Annotated[get_type_hints(table)[name], _declared(table, name)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(table, name), annotation=annotated)


def _declared(table: Any, name: str) -> Any:
    """Return what `option` said of a field, in the class itself or in the nearest base."""
    fields = (vars(base).get("__dataclass_fields__", {}).get(name) for base in table.__mro__)
    return next(field.metadata["option"] for field in fields if field is not None and field.metadata)


def _panel(*declared: Any) -> str:
    """Return the heading of an argument or option."""
    return next((item.rich_help_panel for item in declared if item.rich_help_panel), MAIN)
