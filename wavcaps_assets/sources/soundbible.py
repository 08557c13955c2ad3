"""SoundBible (https://soundbible.com/): listing pages, and a page for each sound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from selectolax.lexbor import LexborHTMLParser

from wavcaps_assets.network_errors import BadAnswer, NotThere
from wavcaps_assets.settings import SoundbibleSettings
from wavcaps_assets.sources.base import Record, host_of

if TYPE_CHECKING:
    from wavcaps_assets.network import Network

CATALOGUE = "catalogue"
# A sound's page is named by its number and title, as in 2219-Airplane-Landing-Airport.html.
PAGE_NAME = re.compile(r"(?:.*/)?((\d+)-[^/?#]+\.html)")
LICENCE = re.compile(r"License:\s*([^|\n]{1,80}?)\s*(?:\||\n|$)")
AUTHOR = re.compile(r"(?:Recorded|Uploaded) by\s+([^|\n]{1,80}?)\s*(?:\||\n|$)")
# The site has some 240 listing pages; a listing without end is a fault, not a catalogue.
MOST_LISTING_PAGES = 2_000


class Soundbible:
    """The crawl of SoundBible, in one partition."""

    name = "soundbible"
    title = "SoundBible"

    def __init__(self, settings: SoundbibleSettings) -> None:
        self._root = settings.base_url

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self._root)})

    def partitions(self) -> list[str]:
        return [CATALOGUE]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        pages = self._listing(network)
        if not pages:
            raise BadAnswer(f"{self._root} lists no sounds; have its pages changed?")
        for source_id, name in pages.items():
            try:
                yield parse_page(self._root, source_id, name, network.get_text(f"{self._root}/{quote(name)}"))
            except NotThere as error:
                yield Record(source_id, "", problem=str(error))

    def _listing(self, network: Network) -> dict[str, str]:
        """The sounds' pages by id, from listing pages until one is missing or names nothing new."""
        pages: dict[str, str] = {}
        for number in range(1, MOST_LISTING_PAGES + 1):
            try:
                listing = network.get_text(f"{self._root}/free-sound-effects-{number}.html")
            except NotThere:
                break
            known = len(pages)
            pages.update((source_id, name) for source_id, name in parse_listing(listing))
            if len(pages) == known:
                break
        return pages


def parse_listing(html: str) -> list[tuple[str, str]]:
    """The sounds that a listing page links to: their ids and the names of their pages."""

    links = LexborHTMLParser(html).css("h3 a[href]")
    matches = (PAGE_NAME.fullmatch(link.attributes.get("href") or "") for link in links)
    return list(dict.fromkeys((match[2], match[1]) for match in matches if match))


def parse_page(root: str, source_id: str, name: str, html: str) -> Record:
    """A sound's page as a record. Broken markup is read as a browser would."""

    tree = LexborHTMLParser(html)
    heading = tree.css_first("h1")
    title = heading.text(strip=True) if heading else None
    described = tree.css_first("#course-details p, p")
    text = tree.body.text(separator=" ") if tree.body else ""
    author, licence = AUTHOR.search(text), LICENCE.search(text)
    return Record(
        source_id=source_id,
        audio_url=f"{root}/grab.php?id={source_id}&type=wav",
        title=title,
        description=described.text(strip=True) if described else None,
        author=author[1] if author else None,
        licence=licence[1] if licence else None,
        page_url=f"{root}/{name}",
        problem=None if title else "its page has no title; has the site changed?",
    )
