"""The raters' page in a real browser: listened to, rated by keys and by clicks, saved, resumed, scored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.validation.browser import CHROMIUM, Browser, browsing
from tests.validation.studies import HOSTILE, small_study
from wavcaps_assets.store.storage import Store
from wavcaps_assets.validation.ratings import counted, read_ratings
from wavcaps_assets.validation.study_files import WrittenStudy

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
CAPTIONS = {
    f"freesound-{number}": text for number, text in enumerate((*HOSTILE, "A dog barks.", "Rain falls."))
}
SECOND = {clip_id: f"people wrote this of {clip_id[-1]}" for clip_id in CAPTIONS}


@pytest.fixture
def study(tmp_path: Path) -> WrittenStudy:
    return small_study(Store(tmp_path / "store"), CAPTIONS, SECOND)


def begin(browser: Browser, page: Path, rater: str) -> None:
    browser.open(page)
    browser.run(f"document.querySelector('#rater').value = {json.dumps(rater)}")
    browser.run("document.querySelector('#begin button').click()")


def listen(browser: Browser) -> None:
    browser.press(" ")
    browser.wait("!document.querySelector('#first').disabled")


def shown(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = browser.run(
        "({title: document.querySelector('#item-title').textContent, "
        "texts: [...document.querySelectorAll('fieldset:not([hidden]) .caption')].map((p) => p.textContent)})"
    )
    return found


def saved(browser: Browser, downloads: Path) -> bytes:
    browser.run("document.querySelector('#finish').click(), document.querySelector('#save').click()")
    end = time.monotonic() + 30
    while not (files := list(downloads.glob("*.json"))):
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.05)
    content = files[0].read_bytes()
    files[0].unlink()
    return content


@pytest.mark.slow
def test_rated_saved_resumed_and_scored(study: WrittenStudy, tmp_path: Path) -> None:
    page, downloads = tmp_path / "store" / study.page, tmp_path / "downloads"
    with browsing(tmp_path / "profile", downloads) as browser:
        begin(browser, page, "Anna  B")
        assert browser.run("document.querySelector('#first').disabled"), "rated without listening"
        seen: list[list[str]] = []
        for number in range(3):
            assert shown(browser)["title"] == f"Clip {number + 1} of 6"
            listen(browser)
            assert len(shown(browser)["texts"]) == 1, "the second caption is shown before the first is rated"
            for pressed in ("4", "2", "b"):
                browser.press(pressed)
            seen.append(shown(browser)["texts"])
            browser.press("n")
        first = saved(browser, downloads)
        # What the browser keeps outlives a closed page, under the same name.
        begin(browser, page, " anna b ")
        assert shown(browser)["title"] == "Clip 4 of 6"
        assert not [event for event in browser.events if event["method"] == "Log.entryAdded"]
        # Another browser, or one that forgot: the saved file goes on where it ended.
        browser.run("localStorage.clear()")
        browser.open(page)
        (tmp_path / "first.json").write_bytes(first)
        browser.choose_file("#resume", tmp_path / "first.json")
        browser.wait("!document.querySelector('#rate').hidden")
        for number in range(3, 6):
            assert shown(browser)["title"] == f"Clip {number + 1} of 6"
            listen(browser)
            for selector in (
                "#first input[value='5']",
                "#second input[value='1']",
                "#comparison input[value='C']",
            ):
                browser.run(f'document.querySelector("{selector}").click()')
            seen.append(shown(browser)["texts"])
            browser.run("document.querySelector('#open').click()")
        assert "All 6 clips are answered" in browser.run("document.querySelector('#summary').textContent")
        content = saved(browser, downloads)
        assert browser.run("document.title") == "Listen and rate"
        assert browser.run("document.querySelectorAll('img, main script').length") == 0
        asked = {
            event["params"]["request"]["url"].partition(":")[0]
            for event in browser.events
            if event["method"] == "Network.requestWillBeSent"
        }
    assert asked <= {"file", "blob", "data"}
    key = {row["clip_id"]: row for row in study.study.key.to_pylist()}
    ratings = read_ratings(study.study.key, [("anna.json", content)])
    answers = counted(ratings)
    assert len(answers) == ratings.num_rows == 18
    read = {(row["clip_id"], row["question"]): row["score"] or row["option"] for row in answers}
    # What was said of the text on the screen is what is read of that caption.
    by_text = {text: clip for clip, row in key.items() for text in (row["caption"], row["second_caption"])}
    for number, (first_text, second_text) in enumerate(seen):
        clip_id = by_text[first_text]
        assert by_text[second_text] == clip_id
        scores = (4, 2) if number < 3 else (5, 1)
        ours_first = first_text == key[clip_id]["caption"]
        expected = scores if ours_first else scores[::-1]
        assert (read[clip_id, "rating"], read[clip_id, "second_rating"]) == expected
        assert read[clip_id, "comparison"] == ("B" if number < 3 else "C")


@pytest.mark.slow
def test_each_rater_has_an_order_of_their_own(study: WrittenStudy, tmp_path: Path) -> None:
    page = tmp_path / "store" / study.page

    def order(browser: Browser, rater: str) -> list[str]:
        begin(browser, page, rater)
        texts = []
        for _ in range(6):
            texts += shown(browser)["texts"]
            browser.run("document.querySelector('#next').click()")
        return texts

    with browsing(tmp_path / "profile", tmp_path) as browser:
        orders = {rater: order(browser, rater) for rater in ("anna", "bela", "cora", "dora")}
        assert order(browser, "anna") == orders["anna"]
    assert len({tuple(texts) for texts in orders.values()}) == 4
    # Which caption comes first is drawn as well: of 24 first captions, some are of either kind.
    ours = [text in CAPTIONS.values() for texts in orders.values() for text in texts]
    assert 4 < sum(ours) < 20


@pytest.mark.slow
def test_a_file_that_is_not_of_this_study_is_told(study: WrittenStudy, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile", tmp_path) as browser:
        browser.open(tmp_path / "store" / study.page)
        for content, said in ((b"{", "cannot be used"), (b'{"format": 1}', "it is not a file of answers")):
            (tmp_path / "other.json").write_bytes(content)
            browser.choose_file("#resume", tmp_path / "other.json")
            browser.wait(f"document.querySelector('#problem').textContent.includes({json.dumps(said)})")
