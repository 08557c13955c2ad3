"""How fresh a source is: which of its partitions are overdue, for how long, and how fast it is crawled.

A source is as fresh as the oldest promise that was not kept, whatever was crawled last: an old partition
that is crawled again says nothing about a new one that is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from wavcaps_assets.crawl.backfill import BackfillSettings, due_at

# The pace of a source is a mean over this time.
PACE_WINDOW = timedelta(days=7)
# A source that was crawled for less than this has no pace yet.
SHORTEST_HISTORY = timedelta(hours=1)
# Names of partitions in a sentence.
SHOWN = 8


@dataclass(frozen=True)
class Overdue:
    """A partition that should have been crawled.

    Attributes:
        partition: its name.
        since: when it became due (UTC); None: not known.
        missing: whether it was never crawled to its end.
    """

    partition: str
    since: datetime | None
    missing: bool


@dataclass(frozen=True)
class Freshness:
    """The state of a source's partitions.

    Attributes:
        partitions: how many there are.
        finished: how many were crawled to their end at least once.
        overdue: those that should have been crawled, the longest overdue first.
        newest: when a partition was crawled last (UTC); None: none was, or not known.
        promised: whether a schedule is on that crawls the missing ones.
    """

    partitions: int
    finished: int
    overdue: tuple[Overdue, ...]
    newest: datetime | None
    promised: bool

    @property
    def is_fresh(self) -> bool:
        return not self.overdue

    @property
    def has_begun(self) -> bool:
        return self.finished > 0 or self.newest is not None

    @property
    def missing(self) -> int:
        return self.partitions - self.finished

    @property
    def since(self) -> datetime | None:
        """Since when the source is behind (UTC); None: it is not, or not known."""
        return min((one.since for one in self.overdue if one.since is not None), default=None)


def freshness(
    published_until: Mapping[str, date | None],
    finished: Collection[str],
    crawled: Mapping[str, datetime],
    promised_since: datetime | None,
    now: datetime,
    settings: BackfillSettings,
    promised: bool = True,
) -> Freshness:
    """Finds the partitions that are overdue.

    A missing partition is due from the end of its last day, and not before its schedule was switched on:
    while the schedule is off, nobody promised it. A finished one is due when the schedule would crawl it
    again, whether it is on or off. Either is overdue when it has been due for `settings.overdue_after_h`.

    Args:
        published_until: for each partition, the last day on which its clips were uploaded; None: no such day.
        finished: the partitions that are stored.
        crawled: when each of these was crawled last (UTC), as far as it is known.
        promised_since: when the schedule was switched on (UTC); None: not known.
        now: the time (UTC).
        promised: whether the schedule is on.
    """
    patience = timedelta(hours=settings.overdue_after_h)
    found = []
    for name, last_day in published_until.items():
        if name in finished:
            since = due_at(crawled[name], last_day, settings) if name in crawled else None
            late = since is not None and now - since >= patience
        elif promised:
            since = _promised(last_day, promised_since)
            late = since is None or now - since >= patience
        else:
            continue
        if late:
            found.append(Overdue(name, since, name not in finished))
    unknown = datetime.max.replace(tzinfo=UTC)
    found.sort(key=lambda one: (one.since or unknown, one.partition))
    return Freshness(
        partitions=len(published_until),
        finished=sum(name in finished for name in published_until),
        overdue=tuple(found),
        newest=max(crawled.values(), default=None),
        promised=promised,
    )


def _promised(last_day: date | None, since: datetime | None) -> datetime | None:
    if last_day is None:
        return since
    end = datetime.combine(last_day + timedelta(days=1), time.min, UTC)
    return max(end, since) if since is not None else end


def pace(finished: Sequence[datetime], started: datetime | None, now: datetime) -> float | None:
    """How many partitions are crawled to their end for the first time in a day; None: not known.

    Args:
        finished: when each of those was finished that were finished in the last 7 days (UTC).
        started: when the first partition of all was finished (UTC); None: none was.
        now: the time (UTC).

    Returns:
        The mean over the last 7 days, or over the whole history where it is shorter. Not known where nothing
        was finished, or where the history is shorter than an hour.
    """
    window = min(PACE_WINDOW, now - started) if started is not None else timedelta(0)
    if window < SHORTEST_HISTORY:
        return None
    # The partition with which a short history begins was crawled before it.
    counted = sum(at > now - window for at in finished)
    return counted / (window / timedelta(days=1)) or None


def days_left(missing: int, partitions_per_day: float | None) -> float | None:
    """Days until nothing is missing at a pace; None: not known."""
    if not missing:
        return 0.0
    return missing / partitions_per_day if partitions_per_day else None


def describe(found: Freshness, schedule: str) -> str:
    """The state of a source in sentences.

    Args:
        schedule: the name of the schedule that crawls it.
    """
    off = "" if found.promised else f" The schedule {schedule} is off."
    total = found.partitions
    if found.is_fresh:
        return f"No partition is overdue. Crawled: {found.finished} of {total}.{off}"
    names = [one.partition for one in found.overdue[:SHOWN]]
    more = ", …" if len(found.overdue) > SHOWN else ""
    since = f", since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else ""
    missing = sum(one.missing for one in found.overdue)
    never = f" (never crawled: {missing})" if missing else ""
    return (
        f"Overdue: {len(found.overdue)} of {total} partitions{since}{never}: {', '.join(names)}{more}.{off}"
    )
