"""The crawl of one partition: from a source's records to raw clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.changes import STAGE, Changes, Comparison
from wavcaps_assets.crawl.history import History
from wavcaps_assets.network.errors import BadAnswer, HostDown, NotThere, Unavailable
from wavcaps_assets.network.pages import PageLog
from wavcaps_assets.sources.base import SAFE_ID, Record, Source, Unread, clean
from wavcaps_assets.store.storage import MissingFile
from wavcaps_assets.tables.asset_tables import OtherVersion, TableStore
from wavcaps_assets.tables.stage import Stage

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network


@dataclass(frozen=True)
class Crawled:
    """A crawl's outcome: the stage, what changed, and how many pages an interrupted crawl had left."""

    stage: Stage
    changes: Changes
    pages_before: int


def crawl(source: Source, partition: str, network: Network, tables: TableStore) -> Crawled:
    """Crawls one partition of a source.

    An interrupted crawl goes on behind the last page that it read. A finished one is compared with
    the crawl before it: a changed record is a new version, a vanished clip a tombstone among the
    dropped ones, and the history keeps the old record of both.

    Returns:
        `tables.RAW_CLIPS`, and the records set aside: gone, without a usable id, listed twice or
        malformed; and the parts of the listing that could not be read.

    Raises:
        ValueError: there is no such partition.
        NetworkError: the source cannot be read.
        Paused: it cannot be read now.
    """
    if partition not in source.partitions():
        raise ValueError(f"{source.title} has no partition {partition!r}")
    done = tables.round_of([source.name, STAGE], partition)
    before = _before(tables, source.name, partition)
    pages = PageLog(tables.store, f"log/pages/{source.name}/{partition}", done)
    with network.using_pages(pages), History(tables.store, source.name, partition) as history:
        comparison = Comparison(source, history, before, pages.crawl, pages.started)
        try:
            sort_out(source.records(network, partition), comparison)
        except (BadAnswer, NotThere):
            # A page in place of an answer, such as one on maintenance, must not be met again and again.
            pages.discard()
            raise
        except Unavailable as error:
            until = utc_now() + timedelta(seconds=network.settings.pause_s)
            raise HostDown(f"{source.title} cannot be read: {error}", until) from error
        stage, changes = comparison.finish()
    return Crawled(stage, changes, pages.read_before)


def _before(tables: TableStore, source: str, partition: str) -> Stage | None:
    try:
        return tables.read_stage([source, STAGE], [partition])
    except (MissingFile, OtherVersion):
        # What a table of another version held is in the history; a crawl is what brings it up to date.
        return None


def sort_out(found: Iterable[Record | Unread], comparison: Comparison) -> None:
    """Tells clips from what is none, and says why it is none."""
    for item in found:
        if isinstance(item, Unread):
            comparison.unread(item.part, clean(item.problem) or "")
        elif not SAFE_ID.fullmatch(item.source_id):
            comparison.set_aside("record", "bad_id", clean(item.problem or f"{item.source_id!r:.200}"))
        elif item.problem:
            comparison.set_aside(item.source_id, "bad_record", clean(item.problem), listed=True)
        elif comparison.has(item):
            comparison.set_aside(item.source_id, "listed_twice", None)
        else:
            comparison.add(item)
