"""The crawl of one partition: from a source's records to raw clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.changes import STAGE, Changes, CrawlDiff
from wavcaps_assets.crawl.history import History
from wavcaps_assets.crawl.one_process import one_process
from wavcaps_assets.crawl.settings import CrawlSettings
from wavcaps_assets.network.errors import BadAnswer, HostDown, NotThere, Unavailable
from wavcaps_assets.network.pages import PageLog
from wavcaps_assets.sources.base import SAFE_ID, Blanks, Note, Record, Source, Unread, clean
from wavcaps_assets.store.storage import DamagedTable, MissingFile
from wavcaps_assets.tables.asset_tables import NewerVersion, OtherVersion, TableStore
from wavcaps_assets.tables.shrinking import FarFewerRows, require_rows
from wavcaps_assets.tables.stage import Stage

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network


@dataclass(frozen=True)
class CrawlResult:
    """The outcome of a crawl.

    Attributes:
        stage: the raw clips, and the records that were dropped.
        changes: the difference from the previous crawl.
        pages_reused: pages that an interrupted crawl had already read.
        notes: what the source says about its listing, for a person.
    """

    stage: Stage
    changes: Changes
    pages_reused: int
    notes: list[str]


def crawl(
    source: Source,
    partition: str,
    network: Network,
    tables: TableStore,
    settings: CrawlSettings | None = None,
    smallest_share: float = 0.0,
) -> CrawlResult:
    """Crawls one partition of a source.

    An interrupted crawl continues after the last page that it read. A finished crawl is compared
    with the previous one: a changed record becomes a new version, and a clip that is no longer listed
    becomes a tombstone among the dropped rows. The history keeps the old record of both.

    Args:
        smallest_share: the least share of the previous crawl's clips that is accepted (0 to 1). A crawl with
            fewer leaves no trace: the next one reads every page again.

    Returns:
        `tables.RAW_CLIPS`, and the dropped records: gone, without a usable id, listed twice or
        malformed; and the parts of the listing that could not be read.

    Raises:
        ValueError: the source has no such partition.
        FarFewerRows: far fewer clips are listed than before.
        NewerVersion: a newer version of the project crawled the partition.
        NetworkError: the source cannot be read, or most of its records are unusable.
        Paused: the source cannot be read now, or another process crawls the partition.
    """
    if partition not in source.partitions():
        raise ValueError(f"{source.title} has no partition {partition!r}")
    settings = settings or CrawlSettings()
    with ExitStack() as held:
        still_alone = held.enter_context(one_process(tables.store, source.name, partition))
        finished = tables.crawl_id_of([source.name, STAGE], partition)
        before = _before(tables, source.name, partition)
        log = f"log/pages/{source.name}/{partition}"
        pages = PageLog(tables.store, log, finished, still_alone)
        held.enter_context(network.using_pages(pages))
        history = held.enter_context(History(tables.store, source.name, partition, still_alone))
        diff = CrawlDiff(source, history, before, pages.crawl, pages.started)
        try:
            tally = add_records(source.records(network, partition), diff)
            require_usable(source, partition, tally, settings)
        except (BadAnswer, NotThere):
            # The next run must not read the same bad page from the log, such as a maintenance notice.
            pages.discard()
            raise
        except Unavailable as error:
            # A page without which there is no listing is requested by every run until it can be read.
            pages.forget_failures()
            until = utc_now() + timedelta(seconds=network.settings.pause_s)
            raise HostDown(f"{source.title} cannot be read: {error}", until) from error
        stage, changes = diff.finish()
        try:
            require_rows(tables, [source.name, STAGE], partition, stage.kept.num_rows, smallest_share)
        except FarFewerRows:
            pages.discard()
            raise
        diff.record()
    return CrawlResult(replace(stage, replaces=finished or ""), changes, pages.read_before, tally.notes)


def _before(tables: TableStore, source: str, partition: str) -> Stage | None:
    try:
        stage = tables.read_stage([source, STAGE], [partition])
        return replace(stage, crawl_id=tables.crawl_id_of([source, STAGE], partition))
    except NewerVersion:
        raise
    except (MissingFile, DamagedTable, OtherVersion):
        # The history knows what a damaged table, or one of another version, contained. This crawl writes it.
        return None


@dataclass
class Tally:
    """How many records were usable, and why the others were not.

    Attributes:
        usable: records with a usable clip, in the listing once or several times.
        problems: the problem of every other record.
        notes: what the source says about its listing.
    """

    usable: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def add_records(records: Iterable[Record | Unread | Blanks | Note], diff: CrawlDiff) -> Tally:
    """Adds records to a crawl diff: as clips, or dropped with the reason."""
    tally = Tally()
    for item in records:
        if isinstance(item, Unread):
            diff.unread(item.part, clean(item.problem) or "")
        elif isinstance(item, Blanks):
            diff.add_blanks(item.count)
        elif isinstance(item, Note):
            tally.notes.append(clean(item.text) or "")
        elif not SAFE_ID.fullmatch(item.source_id):
            problem = clean(item.problem or f"{item.source_id!r:.200}") or ""
            tally.problems[problem] += 1
            # Without any id, what is wrong is the record, such as a row of a list with too few cells.
            is_bad_record = item.problem and not item.source_id
            diff.drop("record", "bad_record" if is_bad_record else "bad_id", problem)
        elif item.problem:
            problem = clean(item.problem) or ""
            tally.problems[problem] += 1
            diff.drop(item.source_id, "bad_record", problem, listed=True)
        else:
            tally.usable += 1
            if diff.has(item):
                diff.drop(item.source_id, "listed_twice", None)
            else:
                diff.add(item)
    return tally


def require_usable(source: Source, partition: str, tally: Tally, settings: CrawlSettings) -> None:
    """Checks that a listing is not full of unusable records.

    Raises:
        BadAnswer: too many records are unusable: the fault is the source's, not theirs.
    """
    bad = tally.problems.total()
    if bad <= settings.few_bad or bad <= settings.most_bad_share * (bad + tally.usable):
        return
    problem, count = tally.problems.most_common(1)[0]
    raise BadAnswer(
        f"{bad} of the {bad + tally.usable} records of {source.title}, partition {partition}, are unusable, "
        f"{count} of them in this way: {problem}. Has the source changed, or does it refuse requests? If the "
        "records are at fault, increase most_bad_share of the asset"
    )
