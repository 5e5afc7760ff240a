"""The driver of the browser: navigations that fail, that stay on the page, and that a dialog holds up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chromium


@pytest.fixture
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_navigations(page: chromium.Page, tmp_path: Path) -> None:
    first, longer = tmp_path / "page.html", tmp_path / "page.html.old.html"
    first.write_text("<title>first</title><body onbeforeunload='return false'><input>")
    longer.write_text("<title>second</title>")
    page.open(longer)
    page.open(first)
    assert page.evaluate("document.title") == "first", "not the page whose address begins like this one's"
    page.evaluate("window.isSame = true")
    page.visit(f"{first.as_uri()}#part")
    assert page.evaluate("isSame && location.hash") == "#part"
    page.evaluate("document.querySelector('input').focus()")
    page.press("a", 65, text="a")  # only a page that was used may ask before it is left
    page.open(longer)
    assert page.evaluate("document.title") == "second"
    assert page.complaints == ["a dialog: beforeunload "]
    with pytest.raises(AssertionError, match="was not opened: net::ERR_FILE_NOT_FOUND"):
        page.open(tmp_path / "none.html")


def test_a_silent_page_is_told_from_one_that_says_no(page: chromium.Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "POLL_S", 0.5)
    with pytest.raises(AssertionError, match="waited in vain") as found:
        page.wait("false", 1.0)
    assert not isinstance(found.value, chromium.SilenceError), "only silence is worth another try"
    page.evaluate("void setTimeout(() => { const end = Date.now() + 4000; while (Date.now() < end); })")
    with pytest.raises(chromium.SilenceError, match=r"the latest messages: .*> \d+ Runtime.evaluate"):
        page.wait("true", 1.0)
    assert page.wait("1 + 1") == 2, "answers to earlier questions are not taken for later ones"
