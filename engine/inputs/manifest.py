"""A list of transfers in a file: CSV with a header line, or a JSON object per line."""

import csv
import dataclasses
import itertools
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError

IMAGES, OUTPUT = ("content", "style"), "output"
SETTINGS = tuple(item.name for item in dataclasses.fields(Settings) if item.name != "canvas")
"""The settings that a row may have next to its images: all those of a transfer with a content image."""

COLUMNS = (*IMAGES, OUTPUT, *SETTINGS)
TRUE, FALSE = ("yes", "true", "1"), ("no", "false", "0")
STARTS = ("content", "noise", "style")
REFINE = "refine"
_NO_REFINEMENT = (
    "a list runs on one network: refine single transfers with `impasto transfer --refine`, or give --model vgg19 a "
    "second list whose init are the results of the first"
)


@dataclass(frozen=True)
class Row:
    """One transfer of a manifest.

    Attributes:
        number: its line as editors and spreadsheets count them, from 1; a CSV file's header is 1.
        content: the content image.
        style: the style image.
        settings: the settings of the transfer.
        output: the file of the result.
    """

    number: int
    content: Path
    style: Path
    settings: Settings
    output: Path


def read_manifest(path: Path, folder: Path, common: Iterable[str] = ()) -> tuple[Row, ...]:
    """Read a manifest and check all of it, except whether its images exist.

    Paths of images are relative to the manifest; paths of outputs are relative to the folder. Empty cells and nulls
    count as missing. Text in cells is written as on the command line: spaces separate taps, and switches are yes or no.

    Args:
        path: path of the manifest, .csv or .jsonl.
        folder: folder of the outputs. An output without a name is CONTENT-STYLE.png, with a number if an earlier row
            has that name.
        common: settings for rows that lack them, each NAME=VALUE.

    Raises:
        ImpastoError: a name is unknown, a value is not allowed, an image is missing, or two rows have the same output;
            the message then names the row and the column. Or the file does not exist or has no rows.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ImpastoError(f"unknown kind of manifest: {path}; allowed are {', '.join(_READERS)}")
    defaults = dict(_given(item) for item in common)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImpastoError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ImpastoError(f"cannot read the manifest {path}: it is not UTF-8 text; save it as that") from error
    places = _Places(folder)
    rows = tuple(_row(place, {**defaults, **values}, places) for place, values in reader(path, text))
    if not rows:
        raise ImpastoError(f"{path}: no rows; give one transfer a line")
    return rows


@dataclass(frozen=True)
class _Place:
    """The place of an error in a manifest."""

    path: Path
    row: int

    def error(self, message: object, column: str = "") -> ImpastoError:
        where = f"row {self.row}, column {column}" if column else f"row {self.row}"
        return ImpastoError(f"{self.path}, {where}: {message}")


_Values = Iterator[tuple[_Place, dict[str, Any]]]


class _Places:
    """Gives every row an output of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[Path] = set()

    def named(self, name: str) -> Path:
        """Return the output of that name.

        Raises:
            ImpastoError: another row has that output, or it is not in the folder.
        """
        output = self._folder / name
        if not output.resolve().is_relative_to(self._folder.resolve()):
            raise ImpastoError(f"{name} is outside of {self._folder}; give a place in it")
        if output.resolve() in self._taken:
            raise ImpastoError(f"{name} is the output of an earlier row; give each its own")
        self._taken.add(output.resolve())
        return output

    def free(self, stem: str) -> Path:
        """Return an output that no earlier row has."""
        names = (f"{stem}-{number}.png" if number > 1 else f"{stem}.png" for number in itertools.count(1))
        return self.named(next(name for name in names if (self._folder / name).resolve() not in self._taken))


def _row(place: _Place, values: Mapping[str, Any], places: _Places) -> Row:
    """Return a checked row."""
    content, style = (_image(place, name, values.get(name)) for name in IMAGES)
    given = {name: _setting(place, name, value) for name, value in values.items() if name in SETTINGS}
    try:
        settings = Settings(**given)
    except ImpastoError as error:
        raise place.error(error) from error
    try:
        named = values.get(OUTPUT)
        output = places.free(f"{content.stem}-{style.stem}") if named is None else places.named(str(named))
    except ImpastoError as error:
        raise place.error(error, OUTPUT) from error
    return Row(place.row, content, style, settings, output)


def _image(place: _Place, name: str, value: object) -> Path:
    if not isinstance(value, str):
        raise place.error("there is none; give the path of an image", name)
    return place.path.parent / value


def _setting(place: _Place, name: str, value: object) -> Any:
    """Return a setting's value. It is checked alone, so that an error can name its column."""
    try:
        parsed = parse_setting(name, value)
        if name == "init" and parsed not in STARTS:
            parsed = str(place.path.parent / parsed)
        Settings(**{name: parsed})
    except ImpastoError as error:
        raise place.error(error, name) from error
    return parsed


def parse_setting(name: str, value: object) -> Any:
    """Return the value of a setting from the value in a manifest.

    Args:
        name: one of `SETTINGS`.
        value: text as on the command line; or a value as `Settings.as_dict` gives it.

    Raises:
        ImpastoError: the value has the wrong type.
    """
    kinds = _kinds(name)
    if tuple in kinds:
        return _taps(name, value)
    if isinstance(value, str):
        for kind in kinds:
            try:
                return _PARSERS[kind](value.strip())
            except ValueError:
                continue
    elif type(value) in kinds or (float in kinds and type(value) is int):
        return value
    raise ImpastoError(f"bad {name} {value!r}: expected {' or '.join(_WORDS[kind] for kind in kinds)}")


def _taps(name: str, value: object) -> tuple[str, ...]:
    """Return taps given as text, a list of texts, or a mapping to weights."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, Mapping):
        return tuple(tap if weight is None else f"{tap}={weight}" for tap, weight in value.items())
    if isinstance(value, list) and all(isinstance(tap, str) for tap in value):
        return tuple(value)
    raise ImpastoError(f"bad {name} {value!r}: expected taps, as relu4_2 or relu4_2=0.5")


def _kinds(name: str) -> tuple[type, ...]:
    """Return the types that a setting takes, None left out."""
    hint = typing.get_type_hints(Settings)[name]
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(typing.get_origin(member) or member for member in members if member is not types.NoneType)


def _switch(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


_PARSERS: Mapping[type, Callable[[str], Any]] = {int: int, float: float, bool: _switch, str: str}
_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "yes or no", str: "text"}


def _given(item: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE."""
    name, equals, value = item.partition("=")
    name = _column(name)
    if name == REFINE:
        raise ImpastoError(f"bad setting {item!r}: {_NO_REFINEMENT}")
    if not equals or name not in SETTINGS:
        raise ImpastoError(f"bad setting {item!r}: expected NAME=VALUE, with a name of {', '.join(SETTINGS)}")
    return name, value


def _column(name: str) -> str:
    return name.strip().replace("-", "_")


def _known(place: _Place, names: Iterable[str]) -> None:
    """Check that every column is known."""
    for name in names:
        if name == REFINE:
            raise place.error(_NO_REFINEMENT, name)
        if name not in COLUMNS:
            raise place.error(f"unknown; allowed are {', '.join(COLUMNS)}", name or "without a name")


def _read_csv(path: Path, text: str) -> _Values:
    """Yield places and cells, empty ones left out."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    columns: list[str] = []
    before = 0
    try:
        for cells in reader:
            place, before = _Place(path, before + 1), reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [_column(cell) for cell in cells]
                _known(place, columns)
                for name in columns:
                    if columns.count(name) > 1:
                        raise place.error("given twice; give each column once", name)
                for name in IMAGES:
                    if name not in columns:
                        raise place.error("not there; the first line names the columns", name)
                continue
            if len(cells) > len(columns):
                raise place.error(f"{len(cells)} cells for {len(columns)} columns; put quotes around commas")
            yield place, {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}
    except csv.Error as error:
        raise _Place(path, reader.line_num).error(f"not CSV ({error})") from error


def _read_jsonl(path: Path, text: str) -> _Values:
    """Yield places and values, nulls left out."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        place = _Place(path, number)
        try:
            values = json.loads(line)
        except ValueError as error:
            raise place.error(f"not JSON ({error})") from error
        if not isinstance(values, dict):
            raise place.error('not a JSON object; give one a line, as {"content": ..., "style": ...}')
        named = {_column(name): value for name, value in values.items() if value is not None}
        _known(place, named)
        yield place, named


_READERS: Mapping[str, Callable[[Path, str], _Values]] = {".csv": _read_csv, ".jsonl": _read_jsonl}
