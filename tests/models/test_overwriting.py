"""Files that a run reads and would destroy."""

from pathlib import Path

import pytest

from impasto.models.errors import ImpastoError
from impasto.models.overwriting import check_not_read

ADVICE = "give another name"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(path)
    (tmp_path / "twin.png").hardlink_to(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "link.png", "twin.png", "folder/../a.png", "./a.png"])
def test_an_input_is_known_by_every_name(picture: Path, name: str) -> None:
    output = f"{picture.parent}/{name}"
    with pytest.raises(ImpastoError) as caught:
        check_not_read([None, "b.png", output], {"the content image": picture}, ADVICE)
    assert str(caught.value) == f"cannot write {output}: it is the content image, which the run reads; {ADVICE}"


def test_an_input_that_is_not_there_yet_is_known_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match="it is the style image"):
        check_not_read([tmp_path / "new.png"], {"the style image": str(tmp_path / "new.png")}, ADVICE)


def test_other_files_and_inputs_that_are_no_files_pass(picture: Path) -> None:
    check_not_read(["b.png", "with\0nul"], {"the content image": picture, "an array": [1, 2], "none": None}, ADVICE)
