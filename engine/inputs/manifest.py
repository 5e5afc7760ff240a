"""A list of transfers in a file: CSV with a header line, or a JSON object per line."""

import csv
import dataclasses
import functools
import io
import itertools
import json
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.engine.presets import DEFAULT, NAMES, preset
from impasto.engine.setting_checks import shown
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError, one_line, reason
from impasto.models.json_record import DuplicateKeyError, parse_object
from impasto.models.regular_file import why_unreadable

IMAGES, OUTPUT = ("content", "style"), "output"
SETTINGS = tuple(item.name for item in dataclasses.fields(Settings) if item.name != "canvas")
"""The settings that a row may have next to its images: all those of a transfer with a content image."""

_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "yes or no", str: "text"}

_TWICE = "given twice; give each column once"

_LONGEST_NAME_BYTES, _LONGEST_STEM_BYTES = 255, 200  # of file systems; the stem leaves room for a number

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
    defaults = {}
    for item in common:
        name, equals, value = item.partition("=")
        name = _column(name)
        if name == REFINE:
            raise ImpastoError(f"bad setting {item!r}: {_NO_REFINEMENT}")
        if not equals or name not in SETTINGS:
            raise ImpastoError(f"bad setting {item!r}: expected NAME=VALUE, with a name of {', '.join(SETTINGS)}")
        defaults[name] = value
    if why := why_unreadable(path):
        raise ImpastoError(f"cannot read the manifest {path}: {why}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImpastoError(f"cannot read the manifest {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ImpastoError(f"cannot read the manifest {path}: it is not UTF-8 text; save it as that") from error
    taken: set[Path] = set()
    rows = tuple(_row(place, {**defaults, **values}, folder, taken) for place, values in reader(path, text))
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

    @contextmanager
    def of_errors(self, column: str = "") -> Iterator[None]:
        """Name the place in an `ImpastoError` that the block raises."""
        try:
            yield
        except ImpastoError as error:
            raise self.error(error, column) from error


_Values = Iterator[tuple[_Place, dict[str, Any]]]


def _row(place: _Place, values: Mapping[str, Any], folder: Path, taken: set[Path]) -> Row:
    for name in IMAGES:
        if not isinstance(values.get(name), str):
            raise place.error("there is none; give the path of an image", name)
    content, style = (place.path.parent / values[name] for name in IMAGES)
    given = {}
    for name in filter(SETTINGS.__contains__, values):
        with place.of_errors(name):
            given[name] = parse_setting(name, values[name])
            if name == "preset":
                given[name] = _preset(given[name], place.path.parent)
            if name == "init" and given[name] not in STARTS:
                given[name] = str(place.path.parent / given[name])
            Settings(**{name: given[name]})  # checked alone, so that the error can name its column
    with place.of_errors():
        named = given.pop("preset", DEFAULT)
        settings = preset(named, **given) if named else Settings(**given)
    with place.of_errors(OUTPUT):
        try:
            output = _output(folder, values.get(OUTPUT), f"{content.stem}-{style.stem}", taken)
        except (ValueError, OSError) as error:  # a NUL, half a surrogate pair, a circle of symbolic links
            raise ImpastoError(f"no file can have this name ({one_line(error, 100)}); give another one") from error
    return Row(place.row, content, style, settings, output)


def _preset(name: str, folder: Path) -> str:
    """Return the name of a preset, or the path of its file, which is relative to the manifest; "" is no preset."""
    return name if name in ("", *NAMES) else str(folder / name)


def _output(folder: Path, name: object, stem: str, taken: set[Path]) -> Path:
    """Return an output of that name, or of the first free one with that stem, and add it to those that are taken."""
    stem = os.fsencode(stem)[:_LONGEST_STEM_BYTES].decode(sys.getfilesystemencoding(), "ignore")
    numbered = (f"{stem}-{number}.png" if number > 1 else f"{stem}.png" for number in itertools.count(1))
    chosen = next(free for free in numbered if (folder / free).resolve() not in taken) if name is None else str(name)
    output = (folder / chosen).resolve()
    if any(len(os.fsencode(part)) > _LONGEST_NAME_BYTES for part in Path(chosen).parts):
        raise ImpastoError(f"{shown(chosen)} is a name of more than {_LONGEST_NAME_BYTES} bytes; give a shorter one")
    if not output.is_relative_to(folder.resolve()):
        raise ImpastoError(f"{chosen} is outside of {folder}; give a place in it")
    if output in taken:
        raise ImpastoError(f"{chosen} is the output of an earlier row; give each its own")
    taken.add(output)
    return folder / chosen


@functools.cache
def _kinds() -> Mapping[str, Sequence[type]]:
    """Return the types of each setting but None."""
    found = {}
    for name, hint in typing.get_type_hints(Settings).items():
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        found[name] = [typing.get_origin(member) or member for member in members if member is not types.NoneType]
    return found


def parse_setting(name: str, value: object) -> Any:
    """Return the value of a setting from the value in a manifest.

    Args:
        name: one of `SETTINGS`.
        value: text as on the command line; or a value as `Settings.as_dict` gives it.

    Raises:
        ImpastoError: the value has the wrong type.
    """
    kinds = _kinds()[name]
    if tuple in kinds:
        return _taps(name, value)
    if isinstance(value, str):
        for kind in kinds:
            with suppress(ValueError):
                return _switch(value.strip()) if kind is bool else kind(value.strip())
    elif type(value) in kinds or (float in kinds and type(value) is int):
        return value
    raise ImpastoError(f"bad {name} {shown(value)}: expected {' or '.join(_WORDS[kind] for kind in kinds)}")


def _taps(name: str, value: object) -> tuple[str, ...]:
    """Return taps given as text, a list of texts, or a mapping to weights."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, Mapping):
        return tuple(tap if weight is None else f"{tap}={weight}" for tap, weight in value.items())
    if isinstance(value, list) and all(isinstance(tap, str) for tap in value):
        return tuple(value)
    raise ImpastoError(f"bad {name} {shown(value)}: expected taps, as relu4_2 or relu4_2=0.5")


def _switch(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def _column(name: str) -> str:
    return name.strip().replace("-", "_")


def _known(place: _Place, names: Iterable[str]) -> None:
    for name in names:
        if name == REFINE:
            raise place.error(_NO_REFINEMENT, name)
        if name not in COLUMNS:
            raise place.error(f"unknown; allowed are {', '.join(COLUMNS)}", name or "without a name")


def _read_csv(path: Path, text: str) -> _Values:
    """Yield places and cells, empty ones left out."""
    reader = csv.reader(io.StringIO(text), strict=True)  # str.splitlines would split at U+2028 and the like as well
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
                for name in (*columns, *IMAGES):
                    if columns.count(name) > 1:
                        raise place.error(_TWICE, name)
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
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = _Place(path, number)
        try:
            values = parse_object(line)
        except json.JSONDecodeError as error:
            raise place.error(f"not JSON ({error})") from error
        except DuplicateKeyError as error:
            raise place.error(_TWICE, error.key) from error
        except ValueError as error:
            raise place.error(f'{error}; give one object a line, as {{"content": ..., "style": ...}}') from error
        named: dict[str, Any] = {}
        for name, value in values.items():
            if value is not None:
                if _column(name) in named:  # style-weight and style_weight
                    raise place.error(_TWICE, _column(name))
                named[_column(name)] = value
        _known(place, named)
        yield place, named


_READERS: Mapping[str, Callable[[Path, str], _Values]] = {".csv": _read_csv, ".jsonl": _read_jsonl}
