"""The days of a simulation: at each tick, the schedules are evaluated, and what they request is run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tests.simulation.sites import Sites
from tests.simulation.stepped_clock import SteppedClock
from tests.simulation.world import BBC, FREESOUND, SITES, SOUNDBIBLE
from wavcaps_assets.crawl.backfill import BackfillSettings
from wavcaps_assets.defs.pauses import PAUSED_TAG
from wavcaps_assets.defs.resources import store_of
from wavcaps_assets.defs.schedules import missing_partitions_schedule
from wavcaps_assets.network.links import host_of
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Source

START = datetime(2026, 11, 2, tzinfo=UTC)
# Every partition is crawled again every day, however old it is.
DAILY = BackfillSettings(
    partitions_per_tick=10, recrawl_d=0.9, recrawl_share=1e-9, recrawl_catalogue_d=0.9, again_after_h=5
)


@dataclass(frozen=True)
class DayRun:
    """A run of a simulated day.

    Attributes:
        colour: `green`, `red` or `paused`.
        problems: what the failed steps and checks say.
    """

    site: str
    partition: str
    day: int
    colour: str
    problems: str


@dataclass
class Simulation:
    """The sites, an instance with its store, and the runs so far.

    Attributes:
        tables_of_blocked_days: for each blocked day, whether a table of the blocked source changed.
    """

    sites: Sites
    store: Path
    clock: SteppedClock
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    runs: list[DayRun] = field(default_factory=list)
    changed_while_blocked: list[tuple[str, int]] = field(default_factory=list)

    def run_day(self, day: int, hours: tuple[int, ...]) -> None:
        """A day of ticks at these hours."""
        self.sites.day = day
        blocked = [site for site in SITES if (site, day) in self.sites.world.blocks]
        before = {site: self._tables(site) for site in blocked}
        for hour in hours:
            self.clock.set(START + timedelta(days=day, hours=hour))
            for source in self._sources():
                self._tick(source, day)
        self.changed_while_blocked += [(site, day) for site in blocked if self._tables(site) != before[site]]

    def _tick(self, source: Source, day: int) -> None:
        repository = self.definitions.get_repository_def()
        store = store_of(Settings())
        schedule = missing_partitions_schedule(source, store, live=True, settings=DAILY)
        now = self.clock.now()
        with dg.build_schedule_context(
            instance=self.instance, repository_def=repository, scheduled_execution_time=now
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests or []
        job = self.definitions.resolve_job_def(schedule.job_name)
        for request in requests:
            assert request.partition_key is not None
            result = job.execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                asset_selection=list(request.asset_selection) if request.asset_selection else None,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            self.runs.append(self._seen(result, source.name, request.partition_key, day))

    def _seen(self, result: dg.ExecuteInProcessResult, site: str, partition: str, day: int) -> DayRun:
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        problems = [
            f"{check.asset_check_key.to_user_string()}: {check.description}"
            for check in result.get_asset_check_evaluations()
            if not check.passed
        ]
        for event in result.filter_events(lambda event: event.is_step_failure):
            error = event.step_failure_data.error
            problems.append(str((error.cause or error).message if error else event.message))
        paused = PAUSED_TAG in run.tags
        colour = "paused" if paused else "red" if problems or not result.success else "green"
        return DayRun(site, partition, day, colour, "; ".join(problems))

    def _sources(self) -> list[Source]:
        return [source for source in all_sources(Settings()) if source.name in SITES]

    def _tables(self, site: str) -> dict[str, str]:
        """A hash of each table of a source."""
        folder = self.store / "tables" / site
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*.parquet")
        }


def configure(environment: pytest.MonkeyPatch, home: Path, sites: Sites, months: list[str]) -> None:
    """Points a new instance and the sources at the sites, which may be asked as often as one likes."""
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    values = {
        "DAGSTER_HOME": str(home),
        "WAVCAPS_STORE": str(home / "store"),
        "WAVCAPS_STATE": str(home / "state"),
        "WAVCAPS_SOURCES": "live",
        "WAVCAPS_SOURCE_NAMES": ",".join(SITES),
        "WAVCAPS_FREESOUND__BASE_URL": sites.urls[FREESOUND],
        "WAVCAPS_FREESOUND__TOKEN": "simulated",
        "WAVCAPS_FREESOUND__FIRST_MONTH": months[0],
        "WAVCAPS_FREESOUND__LAST_MONTH": months[-1],
        "WAVCAPS_FREESOUND__PAGE_SIZE": "4",
        "WAVCAPS_BBC__API_URL": sites.urls[BBC],
        "WAVCAPS_BBC__MEDIA_URL": sites.urls[BBC],
        "WAVCAPS_BBC__PAGE_SIZE": "4",
        "WAVCAPS_SOUNDBIBLE__BASE_URL": sites.urls[SOUNDBIBLE],
        "WAVCAPS_NETWORK__PRIVATE_HOSTS": json.dumps([host_of(url) for url in sites.urls.values()]),
        "WAVCAPS_NETWORK__OTHER_QUOTA": '{"per_minute": null}',
        "WAVCAPS_NETWORK__FIRST_WAIT_S": "0.001",
    }
    for name, value in values.items():
        environment.setenv(name, value)
