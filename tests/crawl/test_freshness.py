"""Which partitions of a source are overdue, since when, and at which pace it is crawled."""

from datetime import UTC, date, datetime, timedelta

import pytest

from wavcaps_assets.crawl.backfill import BackfillSettings, due_again
from wavcaps_assets.crawl.freshness import Freshness, days_left, describe, freshness, pace

LIMITS = BackfillSettings()
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MONTHS: dict[str, date | None] = {
    "2025-12": date(2025, 12, 31),
    "2026-01": date(2026, 1, 31),
    "2026-02": date(2026, 2, 28),
}
DAY = timedelta(days=1)


def state(
    finished: set[str],
    crawled: dict[str, datetime],
    since: datetime | None = NOW - 365 * DAY,
    promised: bool = True,
    partitions: dict[str, date | None] | None = None,
) -> Freshness:
    return freshness(partitions or MONTHS, finished, crawled, since, NOW, LIMITS, promised)


def test_a_new_month_that_is_missing_is_overdue_whatever_was_crawled_last() -> None:
    # The policy of the whole asset would pass: an old partition was crawled an hour ago.
    crawled = {"2025-12": NOW - timedelta(hours=1), "2026-01": NOW - DAY}
    found = state({*crawled}, crawled)
    assert [one.partition for one in found.overdue] == ["2026-02"]
    assert found.since == datetime(2026, 3, 1, tzinfo=UTC)
    assert found.newest == NOW - timedelta(hours=1)
    said = "Overdue: 1 of 3 partitions, since 2026-03-01 00:00 UTC (never crawled: 1): 2026-02."
    assert describe(found, "s") == said


def test_it_is_overdue_a_day_after_the_schedule_would_crawl_it_again() -> None:
    # Crawled when its month had ended for a day: due again after the shortest wait, 7 days.
    for age, is_due, is_overdue in ((6.9, False, False), (7.1, True, False), (8.1, True, True)):
        crawled = {name: NOW - timedelta(hours=1) for name in MONTHS} | {"2026-02": NOW - age * DAY}
        assert (due_again(crawled, MONTHS, NOW, LIMITS) == ["2026-02"]) is is_due
        assert ([one.partition for one in state({*MONTHS}, crawled).overdue] == ["2026-02"]) is is_overdue


def test_nobody_promised_missing_partitions_before_the_schedule_was_switched_on() -> None:
    crawled = {"2026-01": NOW - DAY}
    off = state({*crawled}, crawled, None, promised=False)
    assert off.is_fresh and not off.promised and off.missing == 2
    assert describe(off, "crawl_x_missing").endswith("The schedule crawl_x_missing is off.")
    assert state({*crawled}, crawled, NOW - timedelta(hours=3)).is_fresh
    on = state({*crawled}, crawled, NOW - 2 * DAY)
    assert [(one.partition, one.since) for one in on.overdue] == [
        ("2025-12", NOW - 2 * DAY),
        ("2026-02", NOW - 2 * DAY),
    ]


def test_what_was_crawled_is_to_be_kept_fresh_with_the_schedule_off() -> None:
    crawled = dict.fromkeys(MONTHS, NOW - 300 * DAY)
    assert len(state({*MONTHS}, crawled, None, promised=False).overdue) == 3


def test_a_source_that_was_never_crawled() -> None:
    found = state(set(), {}, None, promised=False)
    assert found.is_fresh and not found.has_begun and found.since is None and found.newest is None
    assert describe(found, "s") == "No partition is overdue. Crawled: 0 of 3. The schedule s is off."
    # When the schedule was switched on is not known: the catalogue is overdue, and since when is not known.
    catalogue = state(set(), {}, None, partitions={"catalogue": None})
    assert not catalogue.is_fresh and catalogue.since is None
    assert describe(catalogue, "s") == "Overdue: 1 of 1 partitions (never crawled: 1): catalogue."


def test_stored_partitions_that_the_instance_knows_nothing_of_are_not_missing() -> None:
    found = state({*MONTHS}, {})
    assert found.is_fresh and found.has_begun and found.newest is None


@pytest.mark.parametrize(
    ("ages_d", "history_d", "expected"),
    [
        # 14 in the last week.
        ([0.5 * number for number in range(14)], 40, 2.0),
        # The history is two days long: three of them after the first.
        ([2, 1.5, 1, 0.5], 2, 1.5),
        # Nothing in the last week.
        ([], 40, None),
        ([], 0, None),
        # Too short to say.
        ([0.01], 0.01, None),
    ],
)
def test_the_pace_is_that_of_the_last_week(
    ages_d: list[float], history_d: float, expected: float | None
) -> None:
    finished = [NOW - age * DAY for age in ages_d]
    started = NOW - history_d * DAY if history_d else None
    assert pace(finished, started, NOW) == expected


def test_days_until_everything_is_crawled() -> None:
    assert days_left(10, 2.5) == 4
    assert days_left(0, None) == 0
    assert days_left(10, None) is None
