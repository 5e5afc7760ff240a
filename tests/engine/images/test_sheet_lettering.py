"""Labels of sheets: names of any length, in any script, in the narrowest cells."""

import numpy as np
import pytest

from impasto.engine.images import lettering
from impasto.engine.images.lettering import OTHERS, set_text
from impasto.engine.images.sheet import PAPER, Labelled, SheetRow, draw_sheet

LONG = "IMG_20240917_093412_edited_final_final2_export_sRGB_original_size.jpeg"
FOREIGN = "星月夜 Звёздная ночь"


@pytest.mark.parametrize("width_px", [30, 60, 200])
def test_lines_fit_and_hold_the_text(width_px: int) -> None:
    for text in (LONG, "relu1_1 to relu5_1", "alpha/beta 1e-5", "a" * 250):
        found = set_text(text, 12, width_px)
        assert max(found.font.getlength(line) for line in found.lines) <= width_px
        assert "".join(found.lines).replace(" ", "") == text.replace(" ", "")


def test_words_break_after_punctuation() -> None:
    assert set_text("alpha/beta 1e-5", 12, 45).lines == ["alpha/", "beta", "1e-5"]


def test_what_is_too_long_loses_its_middle() -> None:
    found = set_text(LONG, 12, 90, 2)
    assert len(found.lines) == 2
    whole = "".join(found.lines)
    start, end = whole.split("...")
    assert len(start) > 5
    assert len(end) > 5
    assert LONG.startswith(start)
    assert LONG.endswith(end)
    assert set_text("short.jpg", 12, 90, 2).lines == ["short.jpg"]


def test_a_line_has_a_character_where_none_fits() -> None:
    assert set_text("abc", 12, 1).lines == ["a", "b", "c"]
    assert set_text("", 12, 1).lines == []


def test_characters_without_a_font_are_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "OTHERS", ())
    assert set_text("夜 ночь", 12, 1000).lines == ["\\u591c \\u043d\\u043e\\u0447\\u044c"]
    assert set_text("plain.jpg", 12, 1000).lines == ["plain.jpg"]
    assert set_text("a\u0301\u200bb", 12, 1000).lines == ["a\\u200bb"]  # the invisible is seen


def test_no_character_is_drawn_as_a_box() -> None:
    """With whatever fonts this system has."""
    found = set_text(FOREIGN, 12, 1000)
    for line in found.lines:
        assert all(lettering._has(found.font, character) for character in line)


def test_a_font_of_the_system_is_found_for_other_scripts() -> None:
    if all(lettering._of_the_system(name, 12) is None for name in OTHERS[:3]):
        pytest.skip("none of the usual fonts with Cyrillic is here")
    assert set_text("Звёздная ночь", 12, 1000).lines == ["Звёздная ночь"]


@pytest.mark.parametrize("name", [LONG, FOREIGN, "x" * 250])
def test_captions_stay_within_their_cells(name: str) -> None:
    """Portrait cells beside each other: between their columns there is only paper."""
    cell = Labelled(np.full((80, 40, 3), 0.5, np.float32), name)
    sheet = draw_sheet("T", [], [SheetRow("", [cell, cell, cell])], "n")
    grey = np.argwhere((np.abs(sheet - 0.5) < 0.01).all(axis=2))
    columns = sorted(set(grey[:, 1].tolist()))
    gaps = [
        x for x in range(columns[0], columns[-1]) if x not in columns and x + 1 not in columns and x - 1 not in columns
    ]
    below = sheet[grey[:, 0].max() + 1 : -20]
    assert (below != 1).any()  # there are letters
    for x in gaps:
        assert (below[:, x] == np.array(PAPER) / 255).all()
