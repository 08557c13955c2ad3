"""The search page in a browser: it plays, rates, takes a sound, and fits a narrow window."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.support.servers import running
from tests.training.search.small_index import HOSTILE, RATE, small_set, tone
from tests.validation.browser import CHROMIUM, browsing
from wavcaps_assets.store.storage import Store
from wavcaps_training.search.page.app import build_app
from wavcaps_training.search.ratings import Ratings, ratings_table

PRESSED = "document.querySelectorAll('[aria-pressed=true]').length"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_results_are_heard_and_rated_by_keys_and_clicks(tmp_path: Path) -> None:
    small = small_set(Store(tmp_path / "store"), tmp_path / "state")
    soundfile.write(tmp_path / "mine.wav", tone(300, 1.0), RATE)
    with (
        Ratings(small.store) as ratings,
        running(build_app(small.open(), small.store, ratings)) as url,
        browsing(tmp_path / "profile", tmp_path) as browser,
    ):
        browser.call("Page.navigate", url=f"{url}/?q=dog+barking")
        browser.wait("document.readyState === 'complete' && document.querySelectorAll('.hit').length === 5")
        for width in (1280, 390):
            browser.picture(tmp_path / f"{width}.png", width, 800)
            assert browser.run("document.documentElement.scrollWidth") <= width
        # The caption is text, and no script ran.
        assert browser.run("document.title").endswith("Sound search")
        assert HOSTILE in browser.run("document.querySelector('.hits').textContent")
        browser.run("document.activeElement.blur()")
        for key in ("j", "u"):
            browser.press(key)
        browser.wait(f"{PRESSED} === 1")
        browser.press("p")
        browser.wait("document.activeElement.querySelector('audio').currentTime > 0.1")
        # A double click of the mouse is one thumb.
        box = browser.run(
            "(() => { const b = document.querySelectorAll('[data-thumb=down]')[1]; b.scrollIntoView(); "
            "const r = b.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for clicks in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                place = {"x": box[0], "y": box[1]}
                browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=clicks, **place)
        browser.wait(f"{PRESSED} === 2")
        thumbs = [(row["rank"], row["thumb"]) for row in ratings_table(small.store).to_pylist()]
        assert thumbs == [(1, "up"), (2, "down")]
        browser.choose_file("#file", tmp_path / "mine.wav")
        browser.run("document.querySelector('#upload button').click()")
        browser.wait(
            "location.search.startsWith('?sound=') && document.querySelectorAll('.hit').length === 4"
        )
        assert [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"] == []
        assert "violates" not in str(browser.events)
