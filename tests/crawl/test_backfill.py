"""Which partitions a schedule asks for."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta

from wavcaps_assets.crawl.backfill import BackfillSettings, Choice, choose, due_again

LIMITS = BackfillSettings(partitions_per_tick=2, attempts=3, interruptions=5)
MONTHS = ["2022-01", "2022-02", "2022-03", "2022-04"]


def chosen(
    done: Collection[str] = (),
    running: Collection[str] = (),
    failures: Mapping[str, int] | None = None,
    interruptions: Mapping[str, int] | None = None,
) -> Choice:
    return choose(MONTHS, done, running, failures or {}, interruptions or {}, LIMITS)


def test_some_a_tick_in_order() -> None:
    choice = chosen(done={"2022-01"})
    assert (choice.partitions, choice.missing) == (["2022-02", "2022-03"], 3)


def test_what_runs_is_not_asked_for_and_takes_its_place() -> None:
    choice = chosen(running={"2022-01"})
    assert choice.partitions == ["2022-02"]


def test_a_broken_partition_is_left_to_a_person() -> None:
    failures = {"2022-01": 3, "2022-02": 2}
    choice = chosen(failures=failures)
    assert choice.partitions == ["2022-02", "2022-03"]
    assert choice.given_up == ["2022-01"]


def test_a_run_that_died_with_its_machine_costs_less_patience_than_one_that_failed() -> None:
    choice = chosen(interruptions={"2022-01": 4, "2022-02": 5})
    assert choice.partitions == ["2022-01", "2022-03"]
    assert choice.given_up == ["2022-02"]


def test_nothing_is_asked_when_all_is_there() -> None:
    assert chosen(done=MONTHS, failures={"2022-01": 9}).partitions == []


def test_a_finished_month_is_crawled_again_less_and_less_often() -> None:
    first = datetime(2022, 2, 1, 12, tzinfo=UTC)
    last, gaps = first, []
    for day in range(1, 800):
        now = first + timedelta(days=day)
        if due_again({"2022-01": last}, {"2022-01": date(2022, 1, 31)}, now, BackfillSettings()):
            gaps.append((now - last).days)
            last = now
    assert gaps[:4] == [7, 7, 8, 12]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 180


def test_a_catalogue_has_no_age_and_is_crawled_again_at_equal_intervals() -> None:
    at = datetime(2022, 6, 1, tzinfo=UTC)
    for days, due in ((29, []), (30, ["catalogue"]), (300, ["catalogue"])):
        now = at + timedelta(days=days)
        assert due_again({"catalogue": at}, {"catalogue": None}, now, BackfillSettings()) == due


def test_the_longest_overdue_month_is_first() -> None:
    at = datetime(2022, 6, 1, tzinfo=UTC)
    crawled = {"2022-03": at, "2022-04": at - timedelta(days=30), "catalogue": at}
    until = {"2022-03": date(2022, 3, 31), "2022-04": date(2022, 4, 30)}
    assert due_again(crawled, until, at + timedelta(days=1), BackfillSettings()) == ["2022-04"]
    assert due_again(crawled, until, at + timedelta(days=90), BackfillSettings()) == ["2022-04", "2022-03"]
