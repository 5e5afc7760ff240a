"""A benchmark's file: what is written is read again, and what is no record is refused in one line."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from impasto.bench import record
from impasto.bench.series import Point, Series
from impasto.models.errors import ImpastoError

SERIES = Series("impasto cpu fp32", "transfer", 64, [0.5, 0.25], 20, 3.0, (Point(1, 0.1, 9.0),), {"setup_s": math.nan})


def made() -> dict[str, Any]:
    return record.make(
        "transfer", "seconds", conditions={"cores": 2}, asked={"threads": 1}, series=[SERIES], ratios=[{"median": 2.0}]
    )


def test_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record.write(path, made())
    found = record.read(path)
    assert (found["format"], found["benchmark"], found["interrupted"]) == (record.FORMAT, "transfer", False)
    assert found["conditions"]["cores"] == 2
    assert "load_1_min_after" in found["conditions"]
    assert found["ratios"] == [{"median": 2.0}]
    (series,) = found["series"]
    assert (series["samples_s"], series["curve"], series["setup_s"]) == ([0.5, 0.25], [[1, 0.1, 9.0]], None)
    assert series["summary_s"]["median"] == 0.375


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record.write(path, made())
    before = path.read_bytes()
    with pytest.raises(TypeError):
        record.write(path, {"what": object()})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    for path, line in (
        (tmp_path / "a.txt", f"cannot write {tmp_path}/a.txt: unknown extension .txt; allowed are .json"),
        (
            tmp_path / "none" / "a.json",
            f"cannot write {tmp_path}/none/a.json: there is no folder {tmp_path}/none; create it first",
        ),
    ):
        with pytest.raises(ImpastoError) as caught:
            record.check_place(path)
        assert str(caught.value) == line
    record.check_place(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        for key in keys:
            del found[key]

    return change


def in_series(**values: object) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        found["series"][0] |= values

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("format"), "its format is not impasto-bench-1"),
        (without("benchmark"), "it has no benchmark or conditions"),
        (without("conditions"), "it has no benchmark or conditions"),
        (without("series"), "it has no series"),
        (in_series(name=3), "series 0 has no name, unit, size or evaluations"),
        (in_series(size_px="64"), "series 0 has no name, unit, size or evaluations"),
        (in_series(samples_s=[]), "series 0 has no samples"),
        (in_series(samples_s=[1.0, None]), "series 0 has no samples"),
        (in_series(samples_s=[True]), "series 0 has no samples"),
        (in_series(curve=[[1, 2]]), "series 0 has no curve"),
    ],
)
def test_what_is_no_record(tmp_path: Path, change: Callable[[dict[str, Any]], None], fault: str) -> None:
    path = tmp_path / "a.json"
    found = json.loads(json.dumps(made(), default=str).replace("NaN", "null"))
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(ImpastoError) as caught:
        record.read(path)
    assert str(caught.value) == f"not a benchmark's record: {path}, {fault}; give a file of `impasto bench ... --json`"


def test_what_is_no_file_or_no_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, fault in ((None, "No such file or directory"), ("{", "not JSON")):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ImpastoError) as caught:
            record.read(path)
        assert str(caught.value) == f"cannot read {path}: {fault}; give a file of `impasto bench ... --json`"
