"""A host that is down: its runs pause at first, and fail when it has been so for days."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from tests.simulation.stepped_clock import SteppedClock
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.pauses import PAUSED_TAG, paused
from wavcaps_assets.defs.run_outcomes import outcome_of
from wavcaps_assets.network.errors import HostDown, Paused, QuotaExhausted

MONTHS = dg.StaticPartitionsDefinition(["2022-08", "2022-09"])


class Site:
    """A site that is crawled, a month at a time."""

    def __init__(self) -> None:
        self.says: type[Paused] = HostDown
        self.more: tuple[bool, ...] = ()

    def crawl(self, instance: dg.DagsterInstance, month: str = "2022-09") -> dg.DagsterRun:
        @dg.asset(partitions_def=MONTHS, output_required=False)
        def raw_clips(context: dg.AssetExecutionContext) -> Iterator[Any]:
            pause = self.says("x.org failed 5 times in a row", utc_now() + timedelta(hours=1), *self.more)
            yield from paused(context, pause)

        made = dg.materialize([raw_clips], instance=instance, partition_key=month, raise_on_error=False)
        run = instance.get_run_by_id(made.run_id)
        assert run is not None
        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    return SteppedClock(datetime.now(UTC), monkeypatch)


@pytest.mark.slow
def test_a_host_that_is_down_for_days_is_a_failure(clock: SteppedClock) -> None:
    site, outcomes = Site(), []
    with dg.instance_for_test() as instance:

        def crawl(says: type[Paused], after_h: float, month: str = "2022-09") -> None:
            clock.set(clock.now() + timedelta(hours=after_h))
            site.says = says
            run = site.crawl(instance, month)
            outcomes.append((run.status.value, PAUSED_TAG in run.tags))

        crawl(HostDown, 0)
        # Another month of this source: its host is down too.
        crawl(HostDown, 71, "2022-08")
        crawl(HostDown, 2)
        crawl(HostDown, 1)
        assert outcomes == [("SUCCESS", True)] * 2 + [("FAILURE", False)] * 2

        # It was there meanwhile, so the time starts again; and a quota that is used up is no outage.
        outcomes.clear()
        crawl(QuotaExhausted, 1)
        crawl(HostDown, 100)
        assert outcomes == [("SUCCESS", True)] * 2


@pytest.mark.slow
def test_a_host_that_lets_no_request_through_for_days_is_reported_and_then_a_failure(
    clock: SteppedClock,
) -> None:
    site, said = Site(), []
    site.says = QuotaExhausted
    with dg.instance_for_test() as instance:
        # It throttles each first request, or some others get through, hours after the run before.
        for in_vain, after_h in ((True, 0), (True, 25), (True, 48), (False, 1)):
            clock.set(clock.now() + timedelta(hours=after_h))
            site.more = (in_vain,)
            run = site.crawl(instance)
            kinds = [finding.kind.value for finding in outcome_of(instance, run, ()).findings]
            said.append((run.status.value, kinds))
    assert said == [
        ("SUCCESS", []),
        ("SUCCESS", ["outage"]),
        ("FAILURE", ["failed_run"]),
        ("SUCCESS", []),
    ]
