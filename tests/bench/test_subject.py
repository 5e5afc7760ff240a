"""What is measured: pictures that are the same everywhere, and values that are refused before anything begins."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.bench import pictures
from impasto.bench.subject import Subject, loop_facts
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError


@pytest.mark.parametrize("draw", [pictures.drawn_content, pictures.drawn_style])
def test_drawn_pictures_are_the_same_each_time_and_not_flat(draw: Any) -> None:
    one, two = draw(64), draw(64)
    assert (one.shape, one.dtype) == ((64, 64, 3), np.uint8)
    assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest()
    assert one.std(axis=(0, 1)).min() > 10


def test_a_user_s_pictures_are_made_square(tmp_path: Path) -> None:
    Image.new("RGB", (90, 30), (200, 100, 50)).save(tmp_path / "wide.png")
    content, style = Subject(content=tmp_path / "wide.png").pictures(64)
    assert content.shape == style.shape == (64, 64, 3)
    assert np.abs(content.astype(int) - (200, 100, 50)).max() <= 1
    assert (style == pictures.drawn_style(64)).all()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"batch": 0}, "bad --batch 0: allowed are 1 to 64 pictures in one evaluation"),
        ({"batch": 65}, "bad --batch 65: allowed are 1 to 64 pictures in one evaluation"),
        ({"sizes": (256, 8)}, "bad --size 8: allowed are 32 to 4096 px"),
        ({"sizes": (4097,)}, "bad --size 4097: allowed are 32 to 4096 px"),
        (
            {"sizes": (64, 100), "settings": Settings(size=0, seamless=True)},
            "bad --size 100 with --seamless: allowed are multiples of 16 px",
        ),
        ({"loop": "gpu"}, "unknown loop 'gpu': allowed are auto, host, device"),
        ({"sizes": (64, 128, 64)}, "--size 64 is given twice: give each size once"),
    ],
)
def test_what_is_refused(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        Subject(**values)
    assert str(caught.value) == line


def test_a_picture_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match=r"none\.png"):
        Subject(style=tmp_path / "none.png")


def test_places_of_a_batch_have_different_pictures_one_by_one() -> None:
    subject = Subject(batch=3)
    pairs = subject.pairs(64)
    content, style = next(pairs)
    assert [(content == subject.pictures(64)[0]).all(), (style == subject.pictures(64)[1]).all()] == [True, True]
    rest = list(pairs)
    assert len(rest) == 2
    assert all((np.roll(content, 21 * number, axis=1) == one).all() for number, (one, _) in enumerate(rest, 1))


@pytest.mark.parametrize("where", ["host", "device"])
def test_where_a_run_was_is_what_its_result_says(where: str) -> None:
    result: Any = SimpleNamespace(loop=where)
    assert loop_facts(Subject(loop="auto"), result) == {"loop_asked": "auto", "loop": where}
