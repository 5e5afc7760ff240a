"""Declaration of the options that commands share, and a decorator that gives a command some of them.

A table of options is a frozen dataclass. `option` makes its fields.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args

import typer

MAIN, LOOK, OPTIMISER, OUTPUT, MACHINE = PANELS = ("Options", "Look", "Optimiser", "Output", "Where it runs")
"""Headings of the help, in their order."""

Command = Callable[..., None]


def option(default: Any, text: str, panel: str = MAIN, *names: str, **more: Any) -> Any:
    """Return the field of an option.

    Args:
        default: the default value.
        text: the help text.
        panel: the heading that the help lists the option under.
        names: the names that the user types; by default the field's name with dashes.
        more: other arguments of `typer.Option`.
    """
    if isinstance(default, bool):
        more["metavar"] = ""  # it has no value
    declared = typer.Option(*names, help=text, rich_help_panel=panel, **more)
    return dataclasses.field(default=default, metadata={"option": declared})


def takes(*names: str, **changed: Any) -> Callable[[Command], Command]:
    """Return a decorator that gives a command options of a table.

    The command's first parameter is annotated with the table. Typer sees one parameter for each option instead. The
    command receives an object of the table. Options that it does not take have the table's defaults there. Where the
    table has a field `given`, it receives the names of the options that the user typed.

    Args:
        names: names of fields; the name of a panel stands for all its fields.
        changed: by field name, another default, or an `option` that replaces the table's own; the command takes these
            fields, too.
    """

    def decorate(command: Command) -> Command:
        first, *own = inspect.signature(command, eval_str=True).parameters.values()
        table = first.annotation
        fields = [field for field in dataclasses.fields(table) if "option" in field.metadata]
        every = {field.name: _parameter(field, changed.get(field.name, field)) for field in fields}
        asks_given = any(field.name == "given" for field in dataclasses.fields(table))
        under = {panel: [item for item in every.values() if _panel(item) == panel] for panel in PANELS}
        chosen = [item for name in (*names, *changed) for item in under.get(name) or [every[name]]]
        shared = {item.name: item for item in chosen}

        def run(context: typer.Context, **values: Any) -> None:
            if context.invoked_subcommand is not None:  # the options are a group's, and one of its commands runs
                return
            more = {"given": _typed(context, shared)} if asks_given else {}
            command(table(**{name: values.pop(name) for name in shared}, **more), **values)

        parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*own, *shared.values())]
        parameters.sort(key=lambda item: PANELS.index(_panel(item)))
        parameters.insert(0, inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        return run

    return decorate


def _typed(context: typer.Context, names: Iterable[str]) -> frozenset[str]:
    """Return the options that the user typed, and did not leave at their default."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")


def _parameter(field: Any, change: Any) -> inspect.Parameter:
    """Return a field as a parameter for Typer, with the default or the field that `change` gives."""
    declared, default = (change, change.default) if isinstance(change, dataclasses.Field) else (field, change)
    annotation: Any = Annotated[field.type, declared.metadata["option"]]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _panel(parameter: inspect.Parameter) -> str:
    """Return the heading of an argument or option."""
    declared = get_args(parameter.annotation)[1:]
    return next((item.rich_help_panel for item in declared if item.rich_help_panel), MAIN)
