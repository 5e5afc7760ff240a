"""A saved style of several sizes in one file."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from impasto.engine import Engine, ImpastoError, SavedStyle
from impasto.engine.inputs import array_file
from impasto.engine.inputs.scales import painting_size
from impasto.engine.inputs.style_form import StyleOrigin
from tests.engine.conftest import Files
from tests.engine.jobs.scale_runs import changed, opened, three

__all__ = ["three"]  # a fixture
pytestmark = pytest.mark.usefixtures("three")


@pytest.fixture
def engine(files: Files) -> Iterator[Engine]:
    with opened(files) as engine:
        yield engine


@pytest.fixture
def saved(engine: Engine, files: Files) -> Path:
    engine.save_style(files.style, files.folder / "s.safetensors", changed(scales=3))
    return files.folder / "s.safetensors"


def test_each_scale_has_the_statistics_of_the_reduced_image(engine: Engine, files: Files, saved: Path) -> None:
    style = SavedStyle.read(saved)
    assert (style.height, style.width, style.origin.coarser) == (74, 96, ((52, 68), (37, 48)))
    assert set(load_file(saved)) == {
        f"{scale}gram_{tap}" for scale in ("", "scale1.", "scale2.") for tap in ("relu1_1", "relu3_1")
    }
    compiler = engine._workshop.compiler
    from impasto.engine.inputs.pictures import read_style

    picture = read_style(files.style, changed())
    for step in range(3):
        small = picture.resized(*painting_size(changed(), picture.height, picture.width, step))
        alone = compiler.saved_style(changed(), [small], None)
        one = style.at(step)
        assert (one.height, one.width, one.coarser) == (small.height, small.width, ())
        for name, gram in alone.grams.items():
            np.testing.assert_array_equal(one.grams[name], gram)


@pytest.mark.parametrize("style_loss", ["gram", "gram-mean", "moments"])
@pytest.mark.parametrize("seamless", [False, True])
def test_runs_have_the_bits_of_the_image(engine: Engine, files: Files, style_loss: str, seamless: bool) -> None:
    settings = changed(style_loss=style_loss, seamless=seamless, weighting="calibrated", content_weight=0.01, scales=0)
    path = files.folder / "s.safetensors"
    engine.save_style(files.style, path, dataclasses.replace(settings, scales=4))
    for count in (0, 1, 2):
        chosen = dataclasses.replace(settings, scales=count)
        image, style = (engine.transfer(files.content, source, chosen) for source in (files.style, path))
        np.testing.assert_array_equal(style.picture.pixels, image.picture.pixels)


@pytest.mark.parametrize(("have", "size", "wanted"), [(1, 96, 3), (2, 96, 3), (3, 140, 4)])
def test_a_scale_that_is_missing_is_one_line_before_the_run(
    engine: Engine, files: Files, have: int, size: int, wanted: int
) -> None:
    path = files.folder / "s.safetensors"
    engine.save_style(files.style, path, changed(scales=have))
    line = (
        f"s.safetensors was saved for {have} scale{'s' * (have > 1)}, and this run has {wanted}: make it with `impasto "
        f"style save` again, with --scales {wanted}, or run with --scales {have}"
    )
    for use in (engine.transfer, engine.plan, engine.check):
        with pytest.raises(ImpastoError) as caught:
            use(files.content, path, changed(size=size))
        assert str(caught.value) == line
    assert engine.transfer(files.content, path, changed(size=size, scales=have)).iterations == 14
    engine.save_style(files.style, path, changed(scales=wanted))
    assert engine.transfer(files.content, path, changed(size=size)).iterations == 14


def test_a_file_of_one_size_is_what_it_was(engine: Engine, files: Files) -> None:
    """An earlier version can read it, and this one reads that of an earlier version."""
    path = files.folder / "s.safetensors"
    engine.save_style(files.style, path, changed(scales=1))
    record, arrays = array_file.read_file(path, array_file.STYLE)
    fields = {field.name for field in dataclasses.fields(StyleOrigin)} - {"coarser"}
    assert set(record) == {"kind", "checksum", *fields}
    assert set(arrays) == {"gram_relu1_1", "gram_relu3_1"}
    assert engine.transfer(files.content, path, changed(scales=1)).iterations == 14


Change = Callable[[dict[str, Any], dict[str, np.ndarray]], object]
DAMAGE: dict[str, Change] = {
    "lacks matrices of its taps": lambda record, arrays: arrays.pop("scale1.gram_relu1_1"),
    "scale3.gram_relu1_1 is of a scale that it lacks": lambda record, arrays: arrays.update(
        {"scale3.gram_relu1_1": arrays["gram_relu1_1"]}
    ),
    "invalid literal": lambda record, arrays: arrays.update({"scalex.gram_relu1_1": arrays["gram_relu1_1"]}),
    "coarser is": lambda record, arrays: record.update(coarser=[[1, 2, 3]]),
    "coarser is 7": lambda record, arrays: record.update(coarser=7),
    "gram_relu1_1 is not finite": lambda record, arrays: arrays["scale2.gram_relu1_1"].fill(np.nan),
}


@pytest.mark.parametrize("problem", DAMAGE)
def test_a_damaged_file_is_one_line(engine: Engine, files: Files, saved: Path, problem: str) -> None:
    record, arrays = array_file.read_file(saved, array_file.STYLE)
    DAMAGE[problem](record, arrays)
    del record["checksum"]  # as in files of version 0.2, so that the damage itself is found
    save_file(arrays, saved, {array_file.ENTRY: json.dumps(record)})
    with pytest.raises(ImpastoError) as caught:
        engine.transfer(files.content, saved, changed())
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("damaged")
    assert problem in message
    assert message.endswith("; make it with `impasto style save` again")


def test_the_checksum_covers_all_scales(engine: Engine, files: Files, saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1  # of the last matrix
    saved.write_bytes(content)
    with pytest.raises(ImpastoError, match=r"^damaged or truncated saved style: .*its checksum is another"):
        engine.transfer(files.content, saved, changed())
