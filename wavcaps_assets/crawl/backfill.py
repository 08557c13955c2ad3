"""Which partitions a schedule requests: missing ones, incomplete ones, and old ones that may have changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pydantic import BaseModel, Field


class BackfillSettings(BaseModel):
    """How fast a source's partitions are crawled."""

    partitions_per_tick: int = Field(4, ge=1, description="runs requested at one tick")
    attempts: int = Field(
        3,
        ge=1,
        description="failed runs after which a partition is not requested for `again_after_h`; after "
        "this many days with failed runs it is left to a person",
    )
    again_after_h: float = Field(
        24.0,
        gt=0,
        description="wait before a partition that is incomplete, or failed too often, is crawled again (h)",
    )
    interruptions: int = Field(
        30,
        ge=1,
        description="runs that died with their machine after which a partition is no longer requested",
    )
    recrawl_d: float = Field(
        7.0, gt=0, description="shortest wait before a finished partition is crawled again (days)"
    )
    recrawl_share: float = Field(
        0.5,
        gt=0,
        description="wait before it is crawled again, as a share of its age at the last crawl: crawls thin "
        "out as it ages",
    )
    longest_recrawl_d: float = Field(180.0, gt=0, description="longest such wait (days)")
    recrawl_catalogue_d: float = Field(
        30.0,
        gt=0,
        description="wait before a catalogue with clips of any age is crawled again (days)",
    )
    overdue_after_h: float = Field(
        24.0,
        gt=0,
        description="how long a partition may be due without being crawled before it counts as overdue (h)",
    )


@dataclass(frozen=True)
class Choice:
    """The partitions of one tick.

    Attributes:
        partitions: to run now.
        given_up: missing, and failed too often or cancelled: a person may have to look at them.
        missing: how many are missing.
        room: how many more could run.
    """

    partitions: list[str]
    given_up: list[str]
    missing: int
    room: int = 0


def choose(
    partitions: Sequence[str],
    done: Collection[str],
    running: Collection[str],
    failures: Mapping[str, int],
    interruptions: Mapping[str, int],
    settings: BackfillSettings,
    cancelled: Collection[str] = (),
) -> Choice:
    """Chooses partitions, in their own order.

    Args:
        partitions: all partitions of the source.
        done: those that are materialized.
        running: those with a run that is queued or in progress.
        failures: for each partition, days on which a step failed.
        interruptions: for each partition, runs whose process died.
        cancelled: those whose newest run a person cancelled, and those that must not be requested for now.
    """
    missing = [name for name in partitions if name not in done]
    given_up = [
        name
        for name in missing
        if failures.get(name, 0) >= settings.attempts
        or interruptions.get(name, 0) >= settings.interruptions
        or name in cancelled
    ]
    waiting = [name for name in missing if name not in running and name not in given_up]
    room = max(0, settings.partitions_per_tick - len([name for name in missing if name in running]))
    return Choice(waiting[:room], given_up, len(missing), room - len(waiting[:room]))


def due_again(
    crawled: Mapping[str, datetime],
    published_until: Mapping[str, date | None],
    now: datetime,
    settings: BackfillSettings,
) -> list[str]:
    """Finished partitions to crawl again, the longest overdue first.

    Sounds appear, change and disappear after their month has ended, most of them soon after.

    Args:
        crawled: when each partition was crawled last, UTC.
        published_until: the last day on which the clips of each partition were uploaded; None where there is
            no such day, as in a catalogue that grows.
    """
    overdue: list[tuple[datetime, str]] = []
    for name, at in crawled.items():
        if name not in published_until:
            continue
        due = due_at(at, published_until[name], settings)
        if due <= now:
            overdue.append((due, name))
    return [name for _, name in sorted(overdue)]


def due_at(crawled: datetime, published_until: date | None, settings: BackfillSettings) -> datetime:
    """When a finished partition is to be crawled again (UTC).

    Args:
        crawled: when it was crawled last (UTC).
        published_until: the last day on which its clips were uploaded; None if there is no such day.
    """
    return crawled + _wait(crawled, published_until, settings)


def _wait(crawled: datetime, published_until: date | None, settings: BackfillSettings) -> timedelta:
    if published_until is None:
        return timedelta(days=settings.recrawl_catalogue_d)
    age = crawled - datetime.combine(published_until, time.max, UTC)
    wait = max(timedelta(days=settings.recrawl_d), settings.recrawl_share * age)
    return min(wait, timedelta(days=settings.longest_recrawl_d))
