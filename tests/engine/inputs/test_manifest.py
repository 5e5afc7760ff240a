"""Manifests: what a row becomes, and what is wrong with it in one line."""

import json
import os
from pathlib import Path

import pytest

from impasto.engine import ImpastoError, Settings, preset
from impasto.engine.inputs.manifest import SETTINGS, Row, parse_setting, read_manifest


def read(folder: Path, name: str, text: str, *common: str) -> tuple[Row, ...]:
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "lists" / name).write_text(text, encoding="utf-8")
    return read_manifest(folder / "lists" / name, folder / "out", common)


def complaint(folder: Path, name: str, text: str, *common: str) -> str:
    with pytest.raises(ImpastoError) as caught:
        read(folder, name, text, *common)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder / 'lists' / name}", "FILE")


def test_a_row_becomes_a_transfer(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        "l.csv",
        "content,style,output,size,style-size,content_weight,style_taps,bounded,init,seed\n"
        "a.jpg,../b.png,x.png,256,512,1e-3,relu1_1 relu2_1=0.5,no,start.png,7\n"
        "\n"
        "a.jpg,/abs/b.png,,,,,,,noise,\n"
        "sub/a.jpg,c/b.png\n",
    )
    first, second, third = rows
    lists = tmp_path / "lists"
    assert (first.content, first.style, first.output) == (
        lists / "a.jpg",
        lists / "../b.png",
        tmp_path / "out" / "x.png",
    )
    assert first.settings == preset(
        size=256,
        style_size=512,
        content_weight=1e-3,
        style_taps=("relu1_1", "relu2_1=0.5"),
        bounded=False,
        init=str(lists / "start.png"),
        seed=7,
    )
    assert second.style == Path("/abs/b.png")
    assert second.settings == preset(init="noise")
    assert [row.output.name for row in rows] == ["x.png", "a-b.png", "a-b-2.png"]
    assert [row.number for row in rows] == [2, 4, 5]
    assert third.settings == preset()


def test_both_kinds_of_manifest_say_the_same(tmp_path: Path) -> None:
    taps = ("relu2_1=0.25", "relu3_1")
    settings = preset("paper", size=96, evaluations=12, content_taps=taps, timeout_s=2.5, seamless=True)
    plain = {name: value for name, value in settings.as_dict().items() if name in SETTINGS}
    as_json = json.dumps({"content": "a.png", "style": "b.png", **plain})
    assert read(tmp_path, "l.jsonl", f"{as_json}\n\n")[0].settings == settings
    cells = {"size": "96", "evaluations": "12", "content_taps": "relu2_1=0.25 relu3_1", "timeout_s": "2.5"}
    cells |= {"seamless": "yes", "preset": "paper"}
    text = ",".join(["content", "style", *cells]) + "\n" + ",".join(["a.png", "b.png", *cells.values()]) + "\n"
    assert read(tmp_path, "l.csv", text)[0].settings == settings
    assert read(tmp_path, "l.csv", f"\ufeff{text}")[0].settings == settings


def test_common_settings_stand_back_behind_a_rows_own(tmp_path: Path) -> None:
    rows = read(tmp_path, "l.csv", "content,style,size\na,b,64\na,b,\n", "size=128", "style-weight=3")
    assert [(row.settings.size, row.settings.style_weight) for row in rows] == [(64, 3.0), (128, 3.0)]


def test_quoted_lines_are_counted(tmp_path: Path) -> None:
    message = complaint(tmp_path, "l.csv", 'content,style,size\n"a\nb",c,64\na,b,x\n')
    assert message.startswith("FILE, row 4, column size: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE: no rows; give one transfer a line"),
        ("content,style\n", "FILE: no rows; give one transfer a line"),
        ("content,size\na,64\n", "FILE, row 1, column style: not there; the first line names the columns"),
        ("content,style,colour\na,b,c\n", "FILE, row 1, column colour: unknown; allowed are content, style, output, "),
        ("content,style,refine\na,b,3\n", "FILE, row 1, column refine: a list runs on one network: refine single "),
        ("content,style,canvas\na,b,c\n", "FILE, row 1, column canvas: unknown; allowed are content, style, output, "),
        ("content,style,size,size\na,b,1,2\n", "FILE, row 1, column size: given twice; give each column once"),
        ("content,style\na,b,c\n", "FILE, row 2: 3 cells for 2 columns; put quotes around commas"),
        ("content,style\na\n", "FILE, row 2, column style: there is none; give the path of an image"),
        ("content,style,size\na,b,64\na,b,big\n", "FILE, row 3, column size: bad size 'big': expected a whole number"),
        ("content,style,size\na,b,-1\n", "FILE, row 2, column size: bad size -1: allowed are whole numbers from 0 to "),
        ("content,style,pool\na,b,min\n", "FILE, row 2, column pool: unknown pool 'min': allowed are avg, max"),
        ("content,style,bounded\na,b,9\n", "FILE, row 2, column bounded: bad bounded '9': expected yes or no"),
        ("content,style,tv_weight\na,b,nan\n", "FILE, row 2, column tv_weight: bad tv_weight nan: "),
        ("content,style,style_taps\na,b,x=y\n", "FILE, row 2, column style_taps: bad tap 'x=y': "),
        (
            "content,style,content_weight,style_weight,tv_weight\na,b,0,0,0\n",
            "FILE, row 2: nothing to optimise: every weight is 0",
        ),
        ("content,style,output\na,b,x.png\na,c,./x.png\n", "FILE, row 3, column output: ./x.png is the output of an "),
        ("content,style,output\na,b,../x.png\n", "FILE, row 2, column output: ../x.png is outside of "),
        ('content,style\n"a,b\n', "FILE, row 2: not CSV ("),
    ],
)
def test_what_is_wrong_with_csv_has_a_row_and_a_column(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, "l.csv", text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "FILE, row 1: not JSON ("),
        ("\n[1]", "FILE, row 2: not a JSON object; give one object a line, as {"),
        ("[" * 5000, "FILE, row 1: nested more than 20 times; give one object a line, as {"),
        (
            '{"content": "c", "style": "s", "seed": ' + "7" * 400 + "}",
            "FILE, row 1: a number of more than 63 bits; give",
        ),
        (
            '{"content": "c", "style": "s", "size": 64, "size": 96}',
            "FILE, row 1, column size: given twice; give each column once",
        ),
        (
            '{"content": "c", "style": "s", "style-weight": 2, "style_weight": 3}',
            "FILE, row 1, column style_weight: given twice; give each column once",
        ),
        ('{"content": "c", "style": "s", "style_weight": NaN}', "FILE, row 1: NaN is no number of JSON; give"),
        ('{"content": "c", "style": "s", "timeout_s": 1e999}', "FILE, row 1: a number that is not finite; give"),
        (
            '{"content": "c", "style": "s", "timeout_s": "inf"}',
            "FILE, row 1, column timeout_s: bad timeout_s inf: allowed are seconds above 0",
        ),
        (
            '{"content": "c", "style": "s", "output": "a\\u0000b.png"}',
            "FILE, row 1, column output: no file can have this name (embedded null byte); give another one",
        ),
        (
            '{"content": "c", "style": "s", "output": "a\\ud800b.png"}',
            "FILE, row 1, column output: no file can have this name ('utf-8' codec can't encode",
        ),
        (
            '{"content": "c", "style": "s", "output": "' + "x" * 300 + '.png"}',
            "FILE, row 1, column output: '" + "x" * 79 + "... is a name of more than 255 bytes; give a shorter one",
        ),
        ('{"content": "c", "style": "s", "init": "a\\u0000b"}', "FILE, row 1, column init: bad init '"),
        ('{"content": 3, "style": "b"}', "FILE, row 1, column content: there is none; give the path of an image"),
        ('{"content": "a", "style": "b", "size": 1.5}', "FILE, row 1, column size: bad size 1.5: expected a whole "),
        ('{"content": "a", "style": "b", "size": true}', "FILE, row 1, column size: bad size True: expected a whole "),
        ('{"content": "a", "style": "b", "bounded": 1}', "FILE, row 1, column bounded: bad bounded 1: expected yes "),
        ('{"content": "a", "style": "b", "style_taps": [1]}', "FILE, row 1, column style_taps: bad style_taps [1]: "),
        ('{"content": "a", "style": "b", "tv": 1}', "FILE, row 1, column tv: unknown; allowed are content, style, "),
    ],
)
def test_what_is_wrong_with_json_has_a_row_and_a_column(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, "l.jsonl", text).startswith(expected)


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    assert complaint(tmp_path, "l.txt", "") == "unknown kind of manifest: FILE; allowed are .csv, .jsonl"
    with pytest.raises(ImpastoError, match=r"cannot read the manifest .*: no such file"):
        read_manifest(tmp_path / "none.csv", tmp_path)
    (tmp_path / "l.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImpastoError, match="not UTF-8"):
        read_manifest(tmp_path / "l.csv", tmp_path)


@pytest.mark.parametrize("given", ["size", "size 3", "sise=3", "canvas=3"])
def test_common_settings_that_are_none(tmp_path: Path, given: str) -> None:
    message = complaint(tmp_path, "l.csv", "content,style\na,b\n", given)
    assert message.startswith(f"bad setting {given!r}: expected NAME=VALUE, with a name of size, style_size, ")


def test_a_refinement_is_no_common_setting(tmp_path: Path) -> None:
    message = complaint(tmp_path, "l.csv", "content,style\na,b\n", "refine=3")
    assert message.startswith("bad setting 'refine=3': a list runs on one network: refine single transfers with ")


def test_every_setting_can_be_written_as_text() -> None:
    samples = {int: "3", float: "0.5", bool: "yes", str: "noise", tuple: "relu1_1"}
    defaults = Settings(style_size=3, evaluations=3, timeout_s=0.5, strength=0.5, smoothness=0.5)
    for name in SETTINGS:
        replaced = ("content_weight", "tv_weight")  # by strength and smoothness
        kind = float if name in replaced else type(getattr(defaults, name))
        assert type(parse_setting(name, samples[kind])) is kind


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_characters_that_only_look_like_line_breaks_do_not_split_lines(tmp_path: Path, separator: str) -> None:
    row = {"content": f"a{separator}b.png", "style": "s.png"}
    (tmp_path / "l.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    if ord(separator) >= 0x20:  # JSON itself forbids the others unless they are escaped
        assert read_manifest(tmp_path / "l.jsonl", tmp_path)[0].content.name == f"a{separator}b.png"
    (tmp_path / "l.csv").write_text(f"content,style\na{separator}b.png,s.png\nc.png,s.png\n", encoding="utf-8")
    rows = read_manifest(tmp_path / "l.csv", tmp_path)
    assert [(row.number, row.content.name) for row in rows] == [(2, f"a{separator}b.png"), (3, "c.png")]


def test_a_default_output_of_long_names_is_one_that_can_be_written(tmp_path: Path) -> None:
    content, style = "ä" * 120 + ".png", "s" * 250 + ".png"
    lines = f'{{"content": "{content}", "style": "{style}"}}\n' * 2
    (tmp_path / "l.jsonl").write_text(lines, encoding="utf-8")
    outputs = [row.output for row in read_manifest(tmp_path / "l.jsonl", tmp_path)]
    assert len(set(outputs)) == 2
    for output in outputs:
        output.touch()


def test_a_pipe_as_a_manifest_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "l.csv")
    with pytest.raises(ImpastoError, match=r"cannot read the manifest .*l.csv: it is a pipe"):
        read_manifest(tmp_path / "l.csv", tmp_path)
