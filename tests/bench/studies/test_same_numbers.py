"""The comparison of two revisions sees one bit, and says the same where there is no difference."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from impasto.bench.studies import same_numbers
from impasto.bench.studies.checkout import WORKING_TREE, check_imports, git
from impasto.bench.studies.same_numbers import compare
from impasto.bench.studies.study import as_script
from impasto.models.errors import ImpastoError

NUMBERS = {
    "pixels": np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 2, 3),
    "loss": np.asarray(0.1),
    "outcome": np.asarray("converged"),
}


def changed(**others: object) -> dict[str, np.ndarray]:
    return NUMBERS | {name: np.asarray(value) for name, value in others.items()}


def test_same_is_same_by_its_bytes() -> None:
    assert compare("a", NUMBERS, changed()) == same_numbers.Verdict("a", "same", arrays=3)
    not_a_number = changed(pixels=np.asarray([np.nan], np.float32))
    assert compare("a", not_a_number, {**not_a_number}).verdict == "same"


@pytest.mark.parametrize(
    ("others", "largest"),
    [
        ({"loss": np.nextafter(0.1, 1)}, np.nextafter(0.1, 1) - 0.1),
        ({"pixels": NUMBERS["pixels"][::-1]}, 6 / 11),
        ({"loss": -0.0}, 0.1),
        ({"loss": np.float32(0.1)}, float(np.float32(0.1)) - 0.1),
        ({"pixels": NUMBERS["pixels"].reshape(4, 3)}, None),
        ({"outcome": "cancelled"}, None),
        ({"more": 1}, None),
    ],
)
def test_a_difference_is_found(others: dict[str, object], largest: float | None) -> None:
    found = compare("a", NUMBERS, changed(**others))
    assert (found.verdict, found.differing) == ("differs", tuple(others))
    assert found.largest == (None if largest is None else pytest.approx(largest, rel=1e-6))


def test_the_sign_of_zero_and_a_missing_array_are_differences() -> None:
    assert compare("a", changed(loss=0.0), changed(loss=-0.0)).verdict == "differs"
    assert compare("a", NUMBERS, {"loss": NUMBERS["loss"]}).differing == ("outcome", "pixels")


def test_losses_that_differ_are_named_in_hexadecimal() -> None:
    found = compare("a", NUMBERS, changed(loss=0.5))
    assert found.values == {"loss": ((0.1).hex(), "0x1.0000000000000p-1")}


def compared(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Compare HEAD with itself, in one small case, and return the status."""
    line = ("--base", "HEAD", "--new", "HEAD", "--case", "one evaluation", *words)
    monkeypatch.setattr(sys, "argv", ["same_numbers", *map(str, line)])
    try:
        as_script(same_numbers.main)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def test_a_doctored_bit_of_a_revision_s_results_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "a.json"
    assert compared(monkeypatch, "--reference", tmp_path / "kept", "--json", record) == 0
    assert [row["verdict"] for row in json.loads(record.read_text())["cases"]] == ["same"]
    (path,) = (tmp_path / "kept").rglob("*.npz")
    with np.load(path) as arrays:
        numbers = dict(arrays)
    numbers["gradient"].view(np.uint32)[0, 0, 0] ^= 1
    np.savez(path, **numbers)
    assert compared(monkeypatch, "--reference", tmp_path / "kept", "--json", record) == 1
    (row,) = json.loads(record.read_text())["cases"]
    assert (row["verdict"], row["differing"]) == ("differs", ["gradient"])
    assert "differs" in capsys.readouterr().out


def test_the_working_tree_s_results_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["same_numbers", "--base", WORKING_TREE, "--reference", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as caught:
        as_script(same_numbers.main)
    assert caught.value.code == 2
    assert "the working tree has no results to keep" in capsys.readouterr().err


def test_an_unknown_revision_is_refused() -> None:
    with pytest.raises(ImpastoError, match="run it in a clone, with a revision"):
        git("rev-parse", "--verify", "no-such-revision")


def test_code_from_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match="the code of another revision was imported: impasto"):
        check_imports(tmp_path)
