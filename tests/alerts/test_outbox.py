"""Each cause is reported once until it is over, and nothing is lost or sent twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from wavcaps_assets.alerts.channels import NotDelivered
from wavcaps_assets.alerts.message import Alert, Kind
from wavcaps_assets.alerts.outbox import Finding, Outbox

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BOTH = ("slack", "email")


class Kept:
    """A channel that keeps what it is sent, or fails."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.broken = False

    def send(self, alert: Alert) -> None:
        if self.broken:
            raise NotDelivered("down")
        self.alerts.append(alert.model_copy(deep=True))

    @property
    def titles(self) -> list[str]:
        return [alert.title for alert in self.alerts]


class World:
    """An outbox that is stored as its text, and two channels."""

    def __init__(self) -> None:
        self.stored = Outbox().model_dump_json()
        self.slack, self.email = Kept(), Kept()

    def tick(
        self, findings: Sequence[Finding] = (), works: Sequence[str] = (), now: datetime = NOW
    ) -> list[str]:
        """A tick of a new process. Returns what went wrong."""
        outbox = Outbox.model_validate_json(self.stored)
        outbox.end(works)
        outbox.add(findings, BOTH, now)
        outbox.forget(now)
        self._save(outbox)
        channels = {"slack": self.slack, "email": self.email}
        return outbox.deliver(channels, now, lambda: self._save(outbox), lambda: False)[1]

    def _save(self, outbox: Outbox) -> None:
        self.stored = outbox.model_dump_json()


def broken(place: str, cause: str = "failed/1", repeats: bool = False) -> Finding:
    return Finding(cause, place, Kind.FAILED_CRAWL, cause, f"of {place}", "runs/1", NOW, repeats)


def test_one_message_for_many_places_and_restarts_until_all_of_them_work() -> None:
    world = World()
    world.tick([broken("a [1]"), broken("a [2]"), broken("b [1]")])
    assert [alert.places for alert in world.slack.alerts] == [["a [1]", "a [2]", "b [1]"]]
    world.tick([broken("a [1]"), broken("a [3]")])
    world.tick(works=["a [1]", "a [2]", "a [3]"])
    world.tick([broken("a [1]")])
    assert len(world.slack.alerts) == len(world.email.alerts) == 1
    world.tick(works=["a [1]", "b [1]"])
    world.tick([broken("a [1]")])
    assert len(world.slack.alerts) == len(world.email.alerts) == 2
    assert world.slack.alerts[0].id != world.slack.alerts[1].id


def test_a_cause_that_nothing_is_heard_of_for_a_week_is_over() -> None:
    world = World()
    world.tick([broken("a")])
    world.tick([broken("a")], now=NOW + timedelta(days=6))
    world.tick([broken("a")], now=NOW + timedelta(days=12))
    assert len(world.slack.alerts) == 1
    world.tick(now=NOW + timedelta(days=20))
    world.tick([broken("a")], now=NOW + timedelta(days=20))
    assert len(world.slack.alerts) == 2


def test_a_channel_that_is_down_gets_everything_later_and_the_other_one_nothing_twice() -> None:
    world = World()
    world.slack.broken = True
    assert world.tick([broken("a", "one"), broken("b", "two")]) == ["slack: down"]
    assert (world.slack.titles, world.email.titles) == ([], ["one", "two"])
    # It is not asked again at once.
    assert world.tick(now=NOW + timedelta(seconds=10)) == []
    assert world.tick(now=NOW + timedelta(days=1)) == ["slack: down"]
    world.slack.broken = False
    world.tick(now=NOW + timedelta(days=3))
    assert (world.slack.titles, world.email.titles) == (["one", "two"], ["one", "two"])
    world.tick(now=NOW + timedelta(days=3))
    assert len(world.slack.titles) == 2


def test_an_alert_that_is_never_accepted_does_not_keep_back_the_others() -> None:
    class Picky(Kept):
        def send(self, alert: Alert) -> None:
            if alert.title == "odd":
                raise NotDelivered("400")
            super().send(alert)

    outbox, picky = Outbox(), Picky()
    outbox.add([broken("a", "odd"), broken("b", "two")], ["slack"], NOW)
    for minute in range(0, 300, 20):
        outbox.deliver({"slack": picky}, NOW + timedelta(minutes=minute), lambda: None, lambda: False)
    assert picky.titles == ["two"] and len(outbox.waiting) == 1


def test_a_crash_between_two_deliveries_repeats_none() -> None:
    world = World()
    outbox = Outbox()
    outbox.add([broken("a", "one"), broken("b", "two")], BOTH, NOW)

    class Crashes(Kept):
        def send(self, alert: Alert) -> None:
            if self.alerts:
                raise KeyboardInterrupt
            super().send(alert)

    crashing = Crashes()
    try:
        channels = {"slack": world.slack, "email": crashing}
        outbox.deliver(channels, NOW, lambda: world._save(outbox), lambda: False)
    except KeyboardInterrupt:
        pass
    world.tick()
    assert world.slack.titles == ["one", "two"]
    assert crashing.titles + world.email.titles == ["one", "two"]


def test_what_happens_again_and_again_is_told_once_a_day_and_completely() -> None:
    world = World()
    world.tick([broken("1", "consent", repeats=True)])
    for hour in (1, 2, 3):
        world.tick([broken(f"{hour + 1}", "consent", repeats=True)], now=NOW + timedelta(hours=hour))
    assert len(world.slack.alerts) == 1
    world.tick(now=NOW + timedelta(hours=25))
    first, second = world.slack.alerts
    assert (first.places, second.places) == (["1"], ["2", "3", "4"])
    assert second.what == "of 2\nof 3\nof 4"


def test_time_that_is_up_leaves_the_rest_for_the_next_tick() -> None:
    outbox, kept = Outbox(), Kept()
    outbox.add([broken("a", "one"), broken("b", "two")], ["slack"], NOW)
    outbox.deliver({"slack": kept}, NOW, lambda: None, lambda: bool(kept.alerts))
    assert kept.titles == ["one"] and len(outbox.waiting) == 1


def test_an_alert_to_a_channel_that_is_not_set_any_more_is_dropped() -> None:
    outbox, kept = Outbox(), Kept()
    outbox.add([broken("a")], BOTH, NOW)
    outbox.deliver({"slack": kept}, NOW, lambda: None, lambda: False)
    assert len(kept.alerts) == 1 and not outbox.waiting
