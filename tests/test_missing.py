"""Which partitions a schedule asks for."""

from wavcaps_assets.missing import BackfillSettings, choose

LIMITS = BackfillSettings(partitions_per_tick=2, attempts=3)
MONTHS = ["2022-01", "2022-02", "2022-03", "2022-04"]


def test_some_a_tick_in_order() -> None:
    request = choose(MONTHS, done={"2022-01"}, running=(), failures={}, settings=LIMITS)
    assert (request.partitions, request.missing) == (["2022-02", "2022-03"], 3)


def test_what_runs_is_not_asked_for_and_takes_its_place() -> None:
    request = choose(MONTHS, done=(), running={"2022-01"}, failures={}, settings=LIMITS)
    assert request.partitions == ["2022-02"]


def test_a_broken_partition_is_left_to_a_person() -> None:
    failures = {"2022-01": 3, "2022-02": 2}
    request = choose(MONTHS, done=(), running=(), failures=failures, settings=LIMITS)
    assert request.partitions == ["2022-02", "2022-03"]
    assert request.given_up == ["2022-01"]


def test_nothing_is_asked_when_all_is_there() -> None:
    assert choose(MONTHS, done=MONTHS, running=(), failures={"2022-01": 9}, settings=LIMITS).partitions == []
