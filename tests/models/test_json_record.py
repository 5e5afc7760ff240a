"""Records of strangers, and paths that are no files."""

import os
import socket
from pathlib import Path

import pytest

from impasto.models.errors import printable
from impasto.models.json_record import DEEPEST, parse_object
from impasto.models.regular_file import why_unreadable

LONG = "x" * 999


def test_an_object_is_returned_as_json_has_it() -> None:
    text = '{"a": [1, -2.5, null, true, "\\u2028"], "b": {"c": {}}, "d": 9223372036854775807}'
    assert parse_object(text) == {"a": [1, -2.5, None, True, "\u2028"], "b": {"c": {}}, "d": 2**63 - 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("7" * 400, "not a JSON object"),
        ("7" * 5000, ""),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": [-Infinity]}', "-Infinity is no number of JSON"),
        ('{"a": {"b": 1e999}}', "a number that is not finite"),
        ('{"a": ' + "7" * 400 + "}", "a number of more than 63 bits"),
        ('{"a": ' * 100_000, f"nested more than {DEEPEST} times"),
        ('{"a":' + "[" * 900 + "]" * 900 + "}", f"nested more than {DEEPEST} times"),
        ('{"a":' + "[" * DEEPEST + "]" * DEEPEST + "}", f"nested more than {DEEPEST} times"),
        ('{"a": 1, "a": 1}', 'the key "a" is given twice'),
        ('{"a": {"b\\u2028": 1, "b\\u2028": 2}}', 'the key "b\\u2028" is given twice'),
        (f'{{"{LONG}": 1, "{LONG}": 2}}', f'the key "{LONG[:40]}" is given twice'),
        ("{", ""),
        ("", ""),
    ],
)
def test_everything_else_is_a_value_error(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the reasons of json itself are its own
        parse_object(text)
    assert why in str(caught.value)


def test_a_key_may_be_in_several_objects() -> None:
    assert parse_object('{"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}') == {"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}


def test_the_deepest_object_is_read() -> None:
    assert parse_object('{"a":' + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1) + "}")


def test_regular_files_and_links_to_them_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("a")
    assert why_unreadable(tmp_path / "a") == why_unreadable(str(tmp_path / "b")) == ""


def test_everything_else_has_its_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))
    found = [why_unreadable(tmp_path / name) for name in ("pipe", "socket", "", "none", "pipe/x", "y" * 256)]
    assert [why.partition(";")[0] for why in found] == [
        "it is a pipe",
        "it is a socket",
        "it is a folder",
        "no such file",
        "a folder of the path is a file",
        "the name is too long",
    ]
    assert why_unreadable("/dev/zero") == "it is a device"
    assert why_unreadable("a\0") == "no file has such a name: embedded null byte"


def test_what_does_not_print_is_escaped() -> None:
    assert printable("déjà vu 画.png") == "déjà vu 画.png"
    assert printable("\x1b[2J\r\n\x07\x85\u2028\u202e\udcff") == r"\x1b[2J\r\n\x07\x85\u2028\u202e\udcff"
