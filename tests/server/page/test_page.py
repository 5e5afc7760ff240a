"""The page in a real browser: by keyboard alone, over a reload, in two tabs, and with axe-core."""

from collections.abc import Callable
from pathlib import Path

import httpx

from impasto.engine.images import read_metadata
from tests import chromium
from tests.server.page.browsing import LONG, QUICK, RIGHT, TEXT, Visit, again_after_silence, render
from tests.server.running import CONTENT, STYLE, RunningServer, wait_for

pytestmark = again_after_silence

Opener = Callable[[], Visit]


def stop(page: Visit) -> None:
    """Stop the job that is shown, so that the next test has the worker."""
    page.tab.evaluate("document.querySelector('#stop').click()")
    wait_for(lambda: render(page.url, page.job)["state"] not in ("queued", "running"), what="the stop")
    assert render(page.url, page.job)["state"] == "cancelled", "the job ended before it was stopped"


def test_from_choosing_to_download_by_keyboard_alone(
    browser: chromium.Browser, visit: Opener, server: RunningServer, tmp_path: Path
) -> None:
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page = visit().begin()
    page.tab_to("#choose-content")
    page.enter()
    page.tab.choose(CONTENT)
    page.tab.wait("document.querySelector('#slot-content').classList.contains('is-filled')")
    assert page.tab.evaluate("document.activeElement.closest('#slot-style') !== null"), "the next thing to choose"
    page.enter()
    page.tab.choose(STYLE)
    page.wait_for("The draft is ready")
    draft = page.job
    page.tab_to("#finish", 80)
    page.enter()
    page.wait_for("The picture is finished")
    assert page.tab.evaluate("document.activeElement !== document.body"), "the focus was lost with the button"
    page.tab_to("#download")
    page.enter()
    file = wait_for(lambda: next(tmp_path.glob("*.png"), None), what="the download")
    found = render(server.url, page.job)
    assert file.name == "harbour-swirls.png"
    assert read_metadata(file)["settings"] == found["settings"]
    assert (found["tag"], found["start_job"]) == ("finish", draft)
    assert found["settings"]["size"] == 48
    page.check_quiet()


def test_a_slider_supersedes_the_draft_and_sends_no_picture_again(visit: Opener, server: RunningServer) -> None:
    page = visit().begin()
    first = page.choose_example()
    page.wait_for("The draft is ready")
    page.tab_to("#slider-strength")
    page.tab.press(*RIGHT)
    second = page.tab.wait(f"location.hash !== '#{first}' && location.hash.slice(1)")
    found = render(server.url, second)
    assert (found["start_job"], found["settings"]["strength"]) == (first, 0.55)
    assert (found["network"], found["settings"]["scales"]) == ("vgg19-slim", 1)
    assert found["names"] == {"content": "harbour.jpg", "style": "swirls.jpg"}
    page.wait_for("The draft is ready")


def test_a_running_draft_ends_when_a_slider_moves(visit: Opener, server: RunningServer) -> None:
    page = visit().begin({"preset": "fast", "changes": {"size": 96, "iterations": 25}})
    first = page.choose_example()
    page.wait_for("iteration")
    page.tab_to("#slider-stroke_size")
    page.tab.press(*RIGHT)
    second = page.tab.wait(f"location.hash !== '#{first}' && location.hash.slice(1)")
    assert render(server.url, second)["start_job"] == first
    assert render(server.url, first).get("outcome") in (None, "superseded")
    page.wait_for("The draft is ready")
    wait_for(lambda: httpx.get(f"{server.url}/v1/renders/{first}").status_code == 404, what="its erasure")
    page.check_quiet()


def test_a_reload_in_the_middle_loses_nothing(visit: Opener, server: RunningServer) -> None:
    page = visit().begin(LONG)
    page.choose_example()
    page.tab.wait("!document.querySelector('#actions').hidden")
    page.tab.evaluate("document.querySelector('#finish').click()")
    page.wait_for("Picture:")
    page.wait_for("iteration")
    job = page.job
    page.reload()
    assert page.job == job
    page.wait_for("iteration")
    page.tab.wait("document.querySelector('compare-view img.after').naturalWidth > 0")
    slots = "[...document.querySelectorAll('picture-slot')].map((slot) => slot.innerText.trim()).join()"
    assert "harbour.jpg" in page.tab.evaluate(slots)
    assert "swirls.jpg" in page.tab.evaluate(slots)
    assert "5000 iterations" in page.tab.evaluate("document.querySelector('#slider-iterations').ariaValueText")
    stop(page)
    page.wait_for("Stopped after")
    assert render(server.url, job)["links"]["result"], "the picture so far is kept"
    page.check_quiet()


def test_a_late_answer_does_not_bring_a_stopped_job_back(visit: Opener, server: RunningServer) -> None:
    page = visit().begin(LONG)
    page.choose_example()
    page.wait_for("iteration")
    page.tab.evaluate("""void (() => {
        const real = window.fetch;
        window.answers = 0;
        window.fetch = async (url, ...more) => {
            const answer = await real(url, ...more);
            if (!String(url).endsWith("/cancel")) return answer;
            const text = await answer.text();
            await new Promise((resolve) => { window.release = resolve; });
            window.answers += 1;
            return new Response(text, answer);
        };
    })()""")
    stop(page)
    page.wait_for("Stopped after")
    page.tab.evaluate("window.release()")
    page.tab.wait("window.answers === 1")
    page.tab.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")
    assert "Stopped after" in page.tab.evaluate(TEXT)


def test_two_tabs_show_the_same_job_and_share_one_stream(visit: Opener, server: RunningServer) -> None:
    one, two = visit().begin(LONG), visit()
    one.choose_example()
    one.tab.evaluate("document.querySelector('#finish').click()")
    one.wait_for("Picture:")
    job = one.job
    two.begin(LONG, f"/#{job}")
    two.wait_for("iteration")
    assert two.streams() == 0, "the first tab reads for both"
    one.tab.call("Page.setWebLifecycleState", state="frozen")
    two.tab.evaluate("const real = Date.now; Date.now = () => real() + 60000; window.mend = () => { Date.now = real; }")
    wait_for(lambda: two.streams() == 1, what="the second tab, which has heard nothing from the first for a minute")
    two.tab.evaluate("mend()")
    one.tab.call("Page.setWebLifecycleState", state="active")
    before = one.streams()
    one.wait_for_change()
    two.tab.close()
    wait_for(lambda: one.streams() > before, what="the first tab, after the end of the second")
    one.wait_for_change()
    stop(one)
    one.wait_for("Stopped after")


def test_axe_finds_nothing(visit: Opener, screenshots: Path) -> None:
    def check(page: Visit, name: str) -> None:
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                page.tab.look(width, scheme=scheme)
                (screenshots / f"{name}-{scheme}-{width}.png").write_bytes(page.tab.screenshot())
            page.tab.look(1280, scheme=scheme)
            assert page.violations() == [], (name, scheme)
            assert page.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page = visit().begin(QUICK)
    check(page, "empty")
    page.choose_example()
    page.wait_for("The draft is ready")
    page.tab.evaluate("document.querySelector('details').open = true")
    check(page, "finished")
    page = visit().begin(LONG)
    page.choose_example()
    page.tab.evaluate("document.querySelector('#finish').click()")
    page.wait_for("Picture:")
    check(page, "running")
    stop(page)
    page.tab.evaluate("document.querySelector('#stage').append(document.createElement('input'))")
    assert any(text.startswith("label:") for text in page.violations()), "axe-core sees what is wrong"


def test_a_dropped_result_restores_its_settings(visit: Opener, server: RunningServer) -> None:
    page = visit().begin({"preset": "fast", "changes": {"size": 48, "iterations": 4, "strength": 0.8}})
    job = page.choose_example()
    page.wait_for("The draft is ready")
    drop = """(async (job, format) => {
        const answer = await fetch(`/v1/renders/${job}/result?format=${format}`);
        const file = new File([await answer.blob()], `result.${format}`, { type: answer.headers.get("content-type") });
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(file);
        const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
        document.querySelector("#stage").dispatchEvent(event);
    })"""
    for form in ("png", "jpeg", "webp", "tiff"):
        page.begin(QUICK)
        assert page.tab.evaluate("document.querySelector('#slider-strength').ariaValueText") == "50 %"
        page.tab.evaluate(f"void {drop}('{job}', '{form}')")  # awaited by what it changes
        page.tab.wait("document.querySelector('#slider-strength').ariaValueText === '80 %'")
    assert page.tab.evaluate("document.querySelector('.notice').innerText.includes('restored')")
    assert httpx.get(f"{server.url}/v1/renders/{job}").status_code == 200


def test_gallery_and_styles(visit: Opener, server: RunningServer) -> None:
    page = visit().begin()
    job = page.choose_example()
    page.wait_for("The draft is ready")
    page.tab.evaluate("document.querySelector('#slot-style .slot-actions button').click()")
    page.tab.wait("document.querySelectorAll('style-gallery .card').length === 4")
    assert [style["name"] for style in httpx.get(f"{server.url}/v1/styles").json()["styles"]] == ["swirls.jpg"]
    page.tab.evaluate("document.querySelector('#clear').click()")
    page.tab.wait("!document.querySelector('#empty').hidden && location.hash === ''")
    page.tab.wait("document.querySelector('render-gallery .card-open img').naturalWidth > 0")
    page.tab.evaluate("document.querySelector('render-gallery .card-open').click()")
    page.tab.wait(f"location.hash === '#{job}'")
    page.wait_for("The draft is ready")
    page.tab.evaluate("document.querySelector('style-gallery .card-foot button').click()")
    page.tab.wait("document.querySelectorAll('style-gallery .card').length === 3")
    page.tab.evaluate("document.querySelector('render-gallery .card-foot button').click()")
    page.tab.wait("location.hash === ''")
    assert httpx.get(f"{server.url}/v1/renders/{job}").status_code == 404
