"""A preset is a JSON file of settings. Every setting that a user gives overrides the preset's own."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from impasto.engine import setting_checks as checks
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError
from impasto.models.json_record import parse_object
from impasto.models.regular_file import why_unreadable

NAMES = ("painterly", "fast", "paper", "neural-style", "style-transfer-pytorch")
DEFAULT = NAMES[0]

_SUFFIX = ".json"
_REPLACES = {
    "content_weight": ("strength",),
    "strength": ("content_weight",),
    "tv_weight": ("smoothness",),
    "smoothness": ("tv_weight",),
    "style_size": ("stroke_size",),
    "stroke_size": ("style_size",),
}
"""By setting, those of the preset that no longer count when a user gives it: both mean the same thing."""
_OF_OTHER_WEIGHTINGS = ("content_weight", "style_weight", "tv_weight", "style_taps", "content_taps")
"""The settings of a preset whose numbers belong to its weighting."""
_OF_OTHER_OPTIMIZERS = ("learning_rate", "history", "average")


def preset(name: str = DEFAULT, **changes: Any) -> Settings:
    """Return the settings of a preset.

    Args:
        name: one of `NAMES`, or the path of a JSON file. The file has the settings by name, as `impasto show` prints
            them; a setting that it lacks has the default of `Settings`, which is the paper's.
        changes: settings that replace those of the preset. A ``content_weight`` also replaces the preset's strength,
            and the other way round; the same holds for ``tv_weight`` and ``smoothness``, and for ``style_size`` and
            ``stroke_size``. Another ``weighting`` leaves
            out the preset's weights, whose numbers belong to its own weighting, and another ``optimizer`` its numbers.

    Raises:
        ImpastoError: there is no such preset, the file is damaged, or a value is out of range.
    """
    values = dict(values_of(name))
    for given in changes:
        for other in _REPLACES.get(given, ()):
            if other not in changes:
                values.pop(other, None)
    for kind, numbers in (("weighting", _OF_OTHER_WEIGHTINGS), ("optimizer", _OF_OTHER_OPTIMIZERS)):
        if kind in changes and changes[kind] != values.get(kind, getattr(Settings, kind)):
            values = {key: value for key, value in values.items() if key not in numbers}
    label = name if name in NAMES else Path(name).name
    return Settings.from_dict({**values, "preset": label, **changes})


def values_of(name: str) -> Mapping[str, Any]:
    """Return the settings in a preset's file, by name.

    Raises:
        ImpastoError: as for `preset`.
    """
    name = checks.text("preset", name)
    if name in NAMES:
        return _read_own(name)
    path = Path(name)
    if path.suffix.lower() != _SUFFIX:
        raise ImpastoError(f"unknown preset {checks.shown(name)}: allowed are {', '.join(NAMES)}, or a .json file")
    if why := why_unreadable(path):
        raise ImpastoError(f"cannot read the preset {path}: {why}")
    try:
        values = parse_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImpastoError(f'cannot read the preset {path}: {error}; expected JSON as {{"size": 256}}') from error
    try:
        Settings.from_dict(values)
    except ImpastoError as error:
        raise ImpastoError(f"the preset {path}: {error}") from error
    return values


@cache
def _read_own(name: str) -> Mapping[str, Any]:
    values: Mapping[str, Any] = json.loads((resources.files(__package__) / f"{name}{_SUFFIX}").read_text("utf-8"))
    return values
