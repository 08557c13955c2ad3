"""SoundBible (https://soundbible.com/): listing pages, and one page for each sound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urljoin, urlsplit

from pydantic import Field
from selectolax.lexbor import LexborHTMLParser

from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotThere, Unavailable
from wavcaps_assets.sources.base import NEEDS_CONTACT, Record, Source, Unread
from wavcaps_assets.sources.settings import SourceSettings

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

CATALOGUE = "catalogue"
LISTING_PAGE = "free-sound-effects-"
# The name of a sound's page is its id and title, as in 2219-Airplane-Landing-Airport.html.
PAGE_NAME = re.compile(r"([0-9]{1,9})-[^/\\?#]{1,200}\.html")
# A link that looks like one, but may not be followed.
NEAR_MISS = re.compile(r"(?:.*[/\\])?([0-9]{1,9})-.*")
# A line such as "Uploaded: 07.20.09 | License: Attribution 3.0 | Recorded by Mike Koenig | File Size: 45 KB".
LICENCE = re.compile(r"License:\s*([^|\n]{1,80}?)\s*(?:\||\n|$)")
AUTHOR = re.compile(r"(?:Recorded|Uploaded) by:?\s+([^|\n]{1,80}?)\s*(?:\||\n|$)")
UPLOADED = re.compile(r"Uploaded:\s*(\d\d)\.(\d\d)\.(\d\d)\b")
LENGTH = re.compile(r"(?:File )?Length:\s*([\d:.]{1,12}\s*(?:s\b|sec)?)", re.IGNORECASE)
CLOCK = re.compile(r"(?:(\d{1,3}):)?(?:(\d{1,3}):)?(\d{1,6}(?:\.\d{1,6})?)\s*(?:s|sec)?")
# The site has about 240 listing pages; an endless listing is a fault.
MAX_LISTING_PAGES = 2_000
# After this number of pages in a row that are not pages of sounds, the site is assumed to refuse requests.
MAX_STRANGE_IN_A_ROW = 20
# After this number of unreadable pages in a row, the crawl stops reading the listing.
MAX_UNREAD_IN_A_ROW = 5


class SoundbibleSettings(SourceSettings):
    """SoundBible's pages."""

    key = "soundbible"

    base_url: str = Field("", description="root of the site; empty: by `sources`")

    def defaults(self, demo_url: str | None) -> Mapping[str, object]:
        return {"base_url": f"{demo_url}/soundbible" if demo_url else "https://soundbible.com"}


class Soundbible(Source):
    """The crawl of SoundBible, in one partition."""

    name = "soundbible"
    title = "SoundBible"

    def __init__(self, settings: SoundbibleSettings) -> None:
        self._root = settings.base_url

    def needs(self, settings: Settings) -> str:
        return "" if settings.demo_url or settings.contact else NEEDS_CONTACT

    def partitions(self) -> list[str]:
        return [CATALOGUE]

    def records(self, network: Network, partition: str) -> Iterator[Record | Unread]:
        pages, unread, unfollowed = self._listing(network)
        if not pages:
            why = unread[0].problem if unread else "have its pages changed?"
            raise BadAnswer(f"{self._root} lists no sounds: {why}")
        yield from unread
        yield from (record for source_id, record in unfollowed.items() if source_id not in pages)
        strange = 0
        for source_id, (name, title) in pages.items():
            try:
                html = network.get_page(f"{self._root}/{name}", partial(require_sound_page, source_id))
            except Unavailable as error:
                yield Unread(f"sound-{source_id}", str(error))
            except BadAnswer as error:
                strange += 1
                if strange == MAX_STRANGE_IN_A_ROW:
                    raise Unavailable(
                        f"{strange} pages in a row are not pages of sounds, the last {self._root}/{name}: "
                        "does the site refuse requests, or has it changed?"
                    ) from error
                yield Record(source_id, "", title=title, problem=str(error))
            except NetworkError as error:
                yield Record(source_id, "", title=title, problem=str(error))
            else:
                strange = 0
                yield parse_page(self._root, source_id, name, title, html)

    def _listing(
        self, network: Network
    ) -> tuple[dict[str, tuple[str, str]], list[Unread], dict[str, Record]]:
        """The names and titles of the sounds' pages, by id, from all listing pages.

        Also returns the unread pages, and by id the links that look like a sound's page and are not followed.
        """
        unfollowed: dict[str, Record] = {}
        pages: dict[str, tuple[str, str]] = {}
        unread: list[Unread] = []
        in_a_row, barren = 0, 0
        for number in range(1, MAX_LISTING_PAGES + 1):
            url = f"{self._root}/{LISTING_PAGE}{number}.html"
            try:
                html = network.get_page(url, partial(require_listing_page, url))
            except NotThere:
                return pages, unread, unfollowed
            except NetworkError as error:
                unread.append(Unread(f"listing-{number}", str(error)))
                in_a_row += 1
                if in_a_row == MAX_UNREAD_IN_A_ROW:
                    if not pages and isinstance(error, Unavailable):
                        # The site is down, which a later run may find otherwise.
                        raise Unavailable(f"{self._root} lists no sounds: {error}") from error
                    return pages, unread, unfollowed
                continue
            in_a_row = 0
            unfollowed.update((record.source_id, record) for record in near_misses(url, html))
            known = len(pages)
            for source_id, name, title in parse_listing(url, html):
                pages.setdefault(source_id, (name, title))
            if len(pages) == known:
                # The end of the listing, unless the next page has new sounds.
                if barren:
                    return pages, unread, unfollowed
                barren = number
            elif barren:
                unread.append(Unread(f"listing-{barren}", "no new sound, though the next page has some"))
                barren = 0
        unread.append(Unread("listing", f"more than {MAX_LISTING_PAGES} pages; reading stopped there"))
        return pages, unread, unfollowed


def configured(demo_url: str | None, state: Path) -> Soundbible:
    return Soundbible(SoundbibleSettings.read(demo_url))


def parse_listing(url: str, html: str) -> list[tuple[str, str, str]]:
    """The sounds that a listing page links to: their ids, the names of their pages, and their titles.

    Args:
        url: of the listing page. Only links to pages in the same folder are followed.
    """
    sounds: dict[str, str] = {}
    for link in LexborHTMLParser(html).css("h3 a[href]"):
        name = page_name(url, link.attributes.get("href") or "")
        if name:
            sounds.setdefault(name, _line(link.text(separator=" ")))
    return [(name.partition("-")[0], name, title) for name, title in sounds.items()]


def near_misses(url: str, html: str) -> list[Record]:
    """The links of a listing page that look like a sound's page and are not followed, such as long names."""
    found = []
    for link in LexborHTMLParser(html).css("h3 a[href]"):
        href = (link.attributes.get("href") or "").strip()
        match = NEAR_MISS.fullmatch(href)
        if match and not page_name(url, href):
            problem = f"its link {href!r:.100} is not the name of a sound's page"
            found.append(Record(match[1], "", title=_line(link.text(separator=" ")), problem=problem))
    return found


def require_listing_page(url: str, html: str) -> None:
    """Checks that a page is a page of the listing, even without sounds.

    Raises:
        BadAnswer: it links neither to sounds nor to other pages of the listing.
    """
    if not parse_listing(url, html) and not LexborHTMLParser(html).css_first(f"a[href*='{LISTING_PAGE}']"):
        raise BadAnswer(f"{url} has no link to a sound or to another listing page; have its pages changed?")


def require_sound_page(source_id: str, html: str) -> None:
    """Checks that a page is the page of a sound, and not a captcha or an error with status 200.

    Raises:
        BadAnswer: it names no licence and no download.
    """
    problem = parse_page("", source_id, "", "", html).problem
    if problem:
        raise BadAnswer(problem)


def page_name(url: str, href: str) -> str | None:
    """The name of the sound's page that a link leads to, as part of a URL; None if it leads elsewhere."""
    plain = unquote(href.strip())
    if ".." in plain or not plain.isprintable():
        return None
    try:
        target, here = urlsplit(urljoin(url, href.strip())), urlsplit(url)
    except ValueError:
        return None
    if target.scheme not in {"http", "https"} or _site(target.netloc) != _site(here.netloc):
        return None
    folder, _, name = target.path.rpartition("/")
    if folder != here.path.rpartition("/")[0] or not PAGE_NAME.fullmatch(unquote(name)):
        return None
    return quote(unquote(name))


def parse_page(root: str, source_id: str, name: str, listed_title: str, html: str) -> Record:
    """A sound's page as a record. Broken markup is read as a browser would read it.

    Args:
        name: the page's name under the root.
        listed_title: the title in the listing, used if the page has none.
    """
    tree = LexborHTMLParser(html)
    described = _described(tree)
    known = tree.css_first(f"#course-details, a[href*='grab.php?id={source_id}&']")
    for block in tree.css("br, p, div, li, td, h1, h2, h3"):
        block.insert_before("\n")
    text = tree.body.text(separator=" ") if tree.body else ""
    heading = tree.css_first("h1")
    # A heading that is never closed contains everything after it.
    own_title = heading.text(separator=" ").strip().partition("\n")[0] if heading else ""
    author, licence, uploaded = AUTHOR.search(text), LICENCE.search(text), UPLOADED.search(text)
    return Record(
        source_id=source_id,
        audio_url=f"{root}/grab.php?id={source_id}&type=wav",
        title=_line(own_title) or listed_title,
        description=described or None,
        author=_line(author[1]) if author else None,
        licence=_line(licence[1]) if licence else None,
        page_url=f"{root}/{name}",
        claimed_duration_s=_length(tree, text),
        claimed_format="wav",
        created=_day(uploaded) if uploaded else None,
        problem=None
        if known or licence
        else "its page is not the page of a sound: it names no licence and no download",
    )


def _described(tree: LexborHTMLParser) -> str:
    """The first paragraph that describes the sound: of its own section, else of the page."""
    for selector in ("#course-details .col-lg-8 p", "#course-details p", "p"):
        for paragraph in tree.css(selector):
            words = _line(paragraph.text(separator=" "))
            if words and not LICENCE.search(words):
                return words.removeprefix("About: ")
    return ""


def _length(tree: LexborHTMLParser, text: str) -> float | None:
    """The length on a page (s). The page's player shows 00:00 until it has read the file."""
    player = tree.css_first(".total-time")
    match = LENGTH.search(text)
    for words in (player.text(strip=True) if player else "", match[1] if match else ""):
        clock = CLOCK.fullmatch(words.strip())
        if clock:
            first, second, rest = clock.groups()
            # With one colon, the number before it is minutes.
            hours, minutes = (first, second) if second else (None, first)
            length = 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(rest)
            if length:
                return length
    return None


def _day(uploaded: re.Match[str]) -> str | None:
    """The day of the upload in ISO 8601. The site writes 07.20.09 for 20 July 2009."""
    month, day, year = map(int, uploaded.groups())
    try:
        return date(2000 + year, month, day).isoformat()
    except ValueError:
        return None


def _site(netloc: str) -> str:
    return netloc.lower().rpartition("@")[2].removeprefix("www.")


def _line(text: str) -> str:
    return " ".join(text.split())
