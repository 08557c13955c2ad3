"""Which partitions a schedule asks for."""

from collections.abc import Collection, Mapping

from wavcaps_assets.crawl.backfill import BackfillSettings, Choice, choose

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
