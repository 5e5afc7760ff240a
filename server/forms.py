"""The settings that a client may set. They come from `Settings` itself, so a new setting is one here by itself."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from impasto.engine.presets import DEFAULT, NAMES, preset
from impasto.engine.settings import OPTIMIZERS, PADDINGS, POOLINGS, Settings
from impasto.export.terms import STYLE_LOSSES, TV_NORMS
from impasto.export.weightings import WEIGHTINGS
from impasto.models.errors import ImpastoError
from impasto.server.errors import Problem, invalid, too_large

STARTS = ("content", "noise", "style")
"""What `init` may be. `Settings` takes a path as well, which no client may give."""

DENIED: frozenset[str] = frozenset()
"""Settings that no client may set."""

_CHOICES = {
    "init": STARTS,
    "weighting": tuple(WEIGHTINGS),
    "style_loss": STYLE_LOSSES,
    "pool": POOLINGS,
    "optimizer": OPTIMIZERS,
    "tv_norm": TV_NORMS,
    "padding": PADDINGS,
    "preset": ("", *NAMES),
}
_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean"}
_MOST_TAPS, _LONGEST_TEXT = 32, 200


def allowed_names() -> list[str]:
    """Return the names of the settings that a client may set."""
    return [item.name for item in dataclasses.fields(Settings) if item.name not in DENIED]


def read_settings(values: Any, most_iterations: int, *, default: str = DEFAULT) -> Settings:
    """Return the settings in a client's JSON.

    Args:
        values: of the JSON.
        most_iterations: that the server makes.
        default: the preset of settings that name none, by default that of `impasto transfer`; "" is no preset.

    Raises:
        Problem: a name is unknown, a value is out of range, or a path was given.
    """
    if not isinstance(values, Mapping):
        raise invalid("settings is not a JSON object", allowed_names())
    for name, value in values.items():
        if name not in allowed_names():
            raise invalid(f"unknown setting {str(name)[:80]!r}", allowed_names())
        _check_plain(str(name), value)
    if values.get("init", "content") not in STARTS:
        raise invalid(f"bad init {str(values['init'])[:80]!r}: upload an image as `start` to begin with it", STARTS)
    named = values.get("preset", default) or ""
    if named and named not in NAMES:  # `preset` takes a path as well, which no client may give
        raise invalid(f"unknown preset {str(named)[:80]!r}", NAMES)
    try:
        given = {name: value for name, value in values.items() if name != "preset"}
        settings = preset(named, **given) if named else Settings.from_dict(given)
    except ImpastoError as error:
        raise invalid(str(error)) from error
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise invalid("a setting has a value of a wrong type") from error
    if settings.iterations > most_iterations:
        raise too_large(f"{settings.iterations} iterations are more than this server makes", {"max": most_iterations})
    return settings


def _check_plain(name: str, value: Any) -> None:
    """Refuse texts and lists that are longer than a setting can be: they may hold anything."""
    items = (
        list(value) + list(value.values() if isinstance(value, Mapping) else ()) if _is_container(value) else [value]
    )
    if len(items) > 2 * _MOST_TAPS:
        raise invalid(f"{name} has too many entries", {"max": _MOST_TAPS})
    for item in items:
        if isinstance(item, str) and (len(item) > _LONGEST_TEXT or not item.isprintable()):
            raise invalid(f"{name} has a text that is too long or does not print")
        if _is_container(item):
            raise invalid(f"{name} is nested too deeply")


def _is_container(value: Any) -> bool:
    return isinstance(value, list | Mapping)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the settings, for the API's description."""
    hints = typing.get_type_hints(Settings)
    properties = {}
    for item in dataclasses.fields(Settings):
        if item.name in DENIED:
            continue
        found = _schema_of(hints[item.name])
        if item.name in _CHOICES:
            found["enum"] = list(_CHOICES[item.name])
        properties[item.name] = found
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema_of(hint: Any) -> dict[str, Any]:
    """Return the schema of a field's type; anything where the type is no plain one."""
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(parts) == 1:
            found = _schema_of(parts[0])
            return {**found, "type": [found["type"], "null"]} if isinstance(found.get("type"), str) else found
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[:1] == (int,):
        return {"type": "array", "items": {"type": "integer"}}
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_TAPS}
    return {}


__all__ = ["STARTS", "Problem", "allowed_names", "read_settings", "schema"]
