"""SoundBible's crawler: pages of its markup, whole and broken, and a site that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.sources.conftest import Opener
from tests.support.paths import DATA
from tests.support.servers import running
from wavcaps_assets.crawl.licences import normalise_licence
from wavcaps_assets.network.errors import BadAnswer, Unavailable
from wavcaps_assets.sources.base import Record, Unread
from wavcaps_assets.sources.soundbible import (
    CATALOGUE,
    MAX_STRANGE_IN_A_ROW,
    MAX_UNREAD_IN_A_ROW,
    Soundbible,
    SoundbibleSettings,
    page_name,
    parse_listing,
    parse_page,
)

RELEASED = DATA / "wavcaps" / "sb_final.json"
ROOT = "https://soundbible.com"
LISTING = f"{ROOT}/free-sound-effects-1.html"
# The markup that crawlers of the site look for, around a sound that it does not have.
PAGE = """<!DOCTYPE html><html><head><title>Paper Boat Sounds | Free Sound Effects</title>
<meta name="keywords" content="paper, boat"></head><body>
<nav><p>Royalty free</p></nav>
<section id="course-details"><div class="container"><div class="col-lg-8">
<h1>Paper Boat</h1>
<p>A paper boat is set on a pond,
and a duck   quacks &amp; swims off.</p>
<div class="audioplayer-inner"><div class="the-media"><audio><source src="mp3/paper.mp3"></audio></div>
<div class="total-time">00:07</div></div>
<p>Uploaded: 11.14.09 | License: <a href="/licensing.html">Attribution 3.0</a> | Recorded by
<b>Ada Example</b> | File Size: 163 KB | Downloads: 42477</p>
<a href="grab.php?id=4001&type=wav">Download WAV</a>
</div></div></section></body></html>"""


def test_a_sound_s_page_is_read() -> None:
    assert parse_page(ROOT, "4001", "4001-Paper-Boat.html", "from the listing", PAGE) == Record(
        source_id="4001",
        audio_url="https://soundbible.com/grab.php?id=4001&type=wav",
        title="Paper Boat",
        description="A paper boat is set on a pond, and a duck quacks & swims off.",
        author="Ada Example",
        licence="Attribution 3.0",
        page_url="https://soundbible.com/4001-Paper-Boat.html",
        claimed_duration_s=7.0,
        claimed_format="wav",
        created="2009-11-14",
    )


@pytest.mark.parametrize(
    ("html", "title", "description", "author", "licence"),
    [
        # Never closed, and the heading swallows all that follows.
        (
            "<h1>Landing<p>A plane lands.<br><p>License: Attribution 3.0 | Recorded by Mike",
            "Landing",
            "A plane lands.",
            "Mike",
            "Attribution 3.0",
        ),
        # The older pages: lines in place of paragraphs.
        (
            "<b>Title:</b> Robot<br><p>About: A robot computes.</p>"
            "Uploaded: 01.17.10 | License: Sampling Plus 1.0<br>Recorded by A &amp; B<br>File Size: 730 KB",
            "listed",
            "A robot computes.",
            "A & B",
            "Sampling Plus 1.0",
        ),
        (
            "<section id=course-details><p></p><p>License: Public Domain | Uploaded by X |</section><p>no",
            "listed",
            "no",
            "X",
            "Public Domain",
        ),
        (
            "<h1></h1></p></div><table><p>A bee<h1>second</table>License: Noncommercial 3.0",
            "listed",
            "A bee",
            None,
            "Noncommercial 3.0",
        ),
    ],
)
def test_broken_markup_is_read_as_a_browser_would(
    html: str, title: str, description: str, author: str | None, licence: str
) -> None:
    record = parse_page(ROOT, "7", "7-A.html", "listed", html)
    assert (record.title, record.description, record.author, record.licence, record.problem) == (
        title,
        description,
        author,
        licence,
        None,
    )
    assert normalise_licence(record.licence).name != "unknown"


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<h1>Just a moment...</h1><p>Checking your browser</p>",
        '{"error": 1}',
        "\0\x1b",
        "<a href='grab.php?id=70&type=wav'>",
    ],
)
def test_a_page_that_is_no_sound_s_is_set_aside(html: str) -> None:
    record = parse_page(ROOT, "7", "7-A.html", "listed", html)
    assert record.source_id == "7"
    assert "it names no licence and no download" in (record.problem or "")


@pytest.mark.parametrize(
    ("words", "length_s"),
    [
        ("<div class=total-time>01:02</div>", 62.0),
        ("<div class=total-time>00:00</div> File Length: 0:12", 12.0),
        ("File Length: <span>12.5 s</span>", 12.5),
        ("File Length: 1:02:03", 3723.0),
        ("Length: 5 sec", 5.0),
        ("File Length: unknown", None),
        ("File Length: ::::", None),
        ("<div class=total-time>--:--</div>", None),
        ("", None),
    ],
)
def test_the_length_is_read_where_it_can_be(words: str, length_s: float | None) -> None:
    assert (
        parse_page(ROOT, "7", "7-A.html", "", f"License: Public Domain |{words}").claimed_duration_s
        == length_s
    )


@pytest.mark.parametrize(
    ("said", "created"), [("02.30.09", None), ("13.01.09", None), ("07.20.09", "2009-07-20")]
)
def test_a_day_that_is_none_is_left_out(said: str, created: str | None) -> None:
    page = f"Uploaded: {said} | License: Public Domain |"
    assert parse_page(ROOT, "7", "7-A.html", "", page).created == created


@pytest.mark.skipif(not RELEASED.is_file(), reason=f"no released SoundBible clips at {RELEASED}")
def test_every_page_of_the_released_set_would_be_followed() -> None:
    clips = json.loads(RELEASED.read_text(encoding="utf-8"))["data"]
    html = "".join(f"<h3><a href='{clip['href']}'>{clip['id']}</a></h3>" for clip in clips)
    assert parse_listing(LISTING, html) == [(clip["id"], clip["href"], clip["id"]) for clip in clips]
    assert len(clips) == 900


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("2219-Airplane-Landing.html", "2219-Airplane-Landing.html"),
        ("/2219-A.html", "2219-A.html"),
        (" ./2219-A.html\n", "2219-A.html"),
        ("https://soundbible.com/2219-A.html", "2219-A.html"),
        ("http://www.soundbible.com/2219-A.html", "2219-A.html"),
        ("2219-Caf%C3%A9 au lait.html", "2219-Caf%C3%A9%20au%20lait.html"),
        ("2219-Café.html?x=1#y", "2219-Caf%C3%A9.html"),
        ("https://soundbible.com.example.org/2219-A.html", None),
        ("//example.org/2219-A.html", None),
        ("https://soundbible.com:8080/2219-A.html", None),
        ("javascript:2219-A.html", None),
        ("file:///2219-A.html", None),
        ("../2219-A.html", None),
        ("a/../2219-A.html", None),
        ("2219-..%2f..%2fadmin.html", None),
        ("2219-A%2fB.html", None),
        ("2219-A%5cB.html", None),
        ("2219-A%0d%0aHost: x.html", None),
        ("2219-A\x00.html", None),
        ("folder/2219-A.html", None),
        ("2219-A.html/x", None),
        (f"2219-{'A' * 300}.html", None),
        ("٣-A.html", None),
        ("free-sound-effects-2.html", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_only_pages_beside_the_listing_are_followed(href: str, name: str | None) -> None:
    assert page_name(LISTING, href) == name


def listing(*numbers: int) -> str:
    return "".join(f"<h3><a href='{number}-A.html'>Sound {number}</a></h3>" for number in numbers)


def sound(number: int) -> str:
    return f"<h1>Sound {number}</h1><p>It sounds.</p>License: Public Domain | Recorded by Ada |"


def crawl(
    answer: Callable[[str], str | Response | None], network_to: Opener
) -> tuple[list[Record | Unread], list[str], str]:
    """Crawls a site. Gives what was found, the paths that were asked for, and the site's root.

    Args:
        answer: what the site has at a path; None: nothing.
    """
    asked: list[str] = []

    def serve(request: Request) -> Response:
        path = request.path_params["path"]
        asked.append(path)
        page = answer(path)
        if page is None:
            return PlainTextResponse("not here", status_code=404)
        return page if isinstance(page, Response) else HTMLResponse(page)

    with running(Starlette(routes=[Route("/{path:path}", serve)])) as url:
        source = Soundbible(SoundbibleSettings(base_url=url))
        return list(source.records(network_to(url), CATALOGUE)), asked, url


def ids(found: list[Record | Unread]) -> list[str]:
    return [item.source_id for item in found if isinstance(item, Record) and not item.problem]


def unread(found: list[Record | Unread]) -> dict[str, str]:
    return {item.part: item.problem for item in found if isinstance(item, Unread)}


def page(number: int) -> str:
    return f"free-sound-effects-{number}.html"


def test_listing_pages_are_turned_until_one_is_missing(network_to: Opener) -> None:
    site: dict[str, str | Response] = {
        page(1): listing(3, 2),
        page(2): listing(2, 1),
        **{f"{n}-A.html": sound(n) for n in (1, 2, 3)},
    }
    found, asked, url = crawl(site.get, network_to)
    assert ids(found) == ["3", "2", "1"]
    assert unread(found) == {}
    assert asked == ["robots.txt", page(1), page(2), page(3), "3-A.html", "2-A.html", "1-A.html"]
    assert {item.page_url for item in found if isinstance(item, Record)} >= {f"{url}/1-A.html"}


def test_a_listing_that_repeats_itself_has_an_end(network_to: Opener) -> None:
    def endless(path: str) -> str | None:
        return listing(1) if path.startswith("free-") else {"1-A.html": sound(1)}.get(path)

    found, asked, _ = crawl(endless, network_to)
    assert ids(found) == ["1"]
    assert [path for path in asked if path.startswith("free-")] == [page(1), page(2), page(3)]


def test_unreadable_listing_pages_cost_their_own_sounds_only(network_to: Opener) -> None:
    site: dict[str, str | Response] = {
        page(1): PlainTextResponse("", status_code=500),
        page(2): listing(2),
        # A page of another kind in place of a listing, which is not its end.
        page(3): "<h1>Just a moment</h1>",
        page(4): listing(4),
        **{f"{number}-A.html": sound(number) for number in (2, 4)},
    }
    found, _, _ = crawl(site.get, network_to)
    assert ids(found) == ["2", "4"]
    assert unread(found).keys() == {"listing-1", "listing-3"}


def test_an_unreadable_sound_costs_no_other(network_to: Opener) -> None:
    site: dict[str, str | Response] = {
        page(1): listing(*range(1, 7)),
        "1-A.html": sound(1),
        "2-A.html": PlainTextResponse("", status_code=503),
        "3-A.html": PlainTextResponse("", status_code=403),
        "4-A.html": RedirectResponse("http://127.0.0.1:1/"),
        "6-A.html": sound(6),
    }
    found, _, _ = crawl(site.get, network_to)
    assert ids(found) == ["1", "6"]
    problems = {item.source_id: item.problem for item in found if isinstance(item, Record) and item.problem}
    assert problems.keys() == {"3", "4", "5"}
    assert "503" in unread(found)["sound-2"]
    assert "404" in (problems["5"] or "")


def test_a_site_that_is_broken_throughout_is_asked_a_few_times_only(network_to: Opener) -> None:
    asked = []

    def broken(path: str) -> Response:
        asked.append(path)
        return PlainTextResponse("", status_code=404 if path == "robots.txt" else 500)

    with pytest.raises(Unavailable, match=r"lists no sounds: .* responds with 500"):
        crawl(broken, network_to)
    assert len(asked) == 1 + MAX_UNREAD_IN_A_ROW


def test_a_sound_whose_link_is_not_followed_is_counted(network_to: Opener) -> None:
    long = f"7-{'A' * 300}.html"
    page_1 = f"{listing(1)}<h3><a href='{long}'>Long</a></h3><h3><a href='/ads.html'>Advertisement</a></h3>"
    found, asked, _ = crawl({page(1): page_1, "1-A.html": sound(1)}.get, network_to)
    assert ids(found) == ["1"]
    assert long not in asked
    (missed,) = (item for item in found if isinstance(item, Record) and item.problem)
    assert (missed.source_id, missed.title) == ("7", "Long")


CAPTCHA = "<h1>Just a moment...</h1><p>Checking your browser</p>"


def test_a_captcha_on_every_sound_s_page_ends_the_crawl(network_to: Opener) -> None:
    asked = []

    def blocking(path: str) -> str | None:
        asked.append(path)
        return listing(*range(1, 101)) if path == page(1) else None if "-A" not in path else CAPTCHA

    with pytest.raises(Unavailable, match="20 pages in a row are not pages of sounds"):
        crawl(blocking, network_to)
    assert sum("-A.html" in path for path in asked) == MAX_STRANGE_IN_A_ROW


def test_captchas_in_place_of_the_listing_are_not_its_end(network_to: Opener) -> None:
    def blocking(path: str) -> str | None:
        if path == page(1):
            return listing(1, 2)
        return {"1-A.html": sound(1), "2-A.html": sound(2)}.get(path, CAPTCHA)

    found, _, _ = crawl(blocking, network_to)
    assert ids(found) == ["1", "2"]
    assert len(unread(found)) == MAX_UNREAD_IN_A_ROW


@pytest.mark.parametrize("html", ["<p>We have moved.</p>", ""])
def test_a_site_without_sounds_is_a_changed_one(network_to: Opener, html: str) -> None:
    with pytest.raises(BadAnswer, match="have its pages changed"):
        crawl({page(1): html, page(2): html}.get, network_to)


def test_robots_txt_is_heeded(network_to: Opener) -> None:
    site: dict[str, str | Response] = {
        "robots.txt": PlainTextResponse("User-agent: *\nDisallow: /2-"),
        page(1): listing(1, 2),
        "1-A.html": sound(1),
        "2-A.html": sound(2),
    }
    found, asked, _ = crawl(site.get, network_to)
    assert ids(found) == ["1"]
    assert "2-A.html" not in asked
    (bad,) = (item for item in found if isinstance(item, Record) and item.problem)
    assert "robots.txt" in (bad.problem or "")
