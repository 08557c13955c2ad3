"""What the sensor `alerts` sends after real runs: to a real HTTP server, once for each cause."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster_shared.error import SerializableErrorInfo

from tests.support.rude_server import RudeServer, answer, rude_server
from wavcaps_assets.alerts.channels import NotDelivered, channels_of
from wavcaps_assets.alerts.settings import AlertSettings
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs import alerts
from wavcaps_assets.defs.pauses import paused
from wavcaps_assets.llm.reservations import BudgetExhausted
from wavcaps_assets.network.errors import BadAnswer, HostDown, QuotaExhausted, Unavailable
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources

MONTHS = dg.StaticPartitionsDefinition(["2022-01", "2022-02", "2022-03"])
SOURCES = dg.StaticPartitionsDefinition(["freesound", "soundbible"])
MONTH = "WAVCAPS_LLM__BUDGET_MONTH_USD"


@dataclass
class World:
    """Two assets with a check each, which do what a test says, on a real instance.

    Attributes:
        crawls: by partition, what the crawl of FreeSound does; otherwise it works.
        captions: the same for the captions of a source.
        check: whether the check of the captions passes.
    """

    instance: dg.DagsterInstance
    server: RudeServer
    crawls: dict[str, Callable[[], None]] = field(default_factory=dict)
    captions: dict[str, Callable[[], None]] = field(default_factory=dict)
    check: bool = True

    def assets(self) -> list[Any]:
        def step(context: dg.AssetExecutionContext, does: dict[str, Callable[[], None]]) -> Iterator[Any]:
            try:
                does.get(context.partition_key, lambda: None)()
            except (QuotaExhausted, HostDown, BudgetExhausted) as pause:
                yield from paused(context, pause)
                return
            yield dg.Output(None)

        @dg.asset(key=["freesound", "raw_clips"], partitions_def=MONTHS, output_required=False)
        def raw_clips(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from step(context, self.crawls)

        @dg.asset(partitions_def=SOURCES, output_required=False)
        def llm_captions(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from step(context, self.captions)

        @dg.asset_check(asset=llm_captions, blocking=True)
        def sound() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=self.check, description="9 captions are <!channel>")

        return [raw_clips, llm_captions, sound]

    def run(self, asset: str, partition: str, checks: bool = True) -> str:
        """A run of one asset, as a job, the asset graph or a backfill makes it: its steps are the same."""
        key = dg.AssetKey(["freesound", "raw_clips"] if asset == "raw_clips" else [asset])
        selection: Any = dg.AssetSelection.assets(key)
        result = dg.materialize(
            self.assets(),
            selection=selection if checks else selection.without_checks(),
            partition_key=partition,
            instance=self.instance,
            raise_on_error=False,
        )
        return result.run_id

    def tick(self) -> list[dict[str, Any]]:
        """A tick of a new process, and the alerts that it sent."""
        before = len(self.server.asked)
        settings = AlertSettings.model_validate(
            {"webhook_url": f"{self.server.url}/hook", "ui_url": "http://ui"}
        )
        alerts.tick(self.instance, all_sources(Settings()), channels_of(settings))
        return [json.loads(asked.body) for asked in self.server.asked[before:]]


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def world(instance: dg.DagsterInstance) -> Iterator[World]:
    """The sensor was just switched on."""
    with rude_server() as server:
        server.answers["/hook"] = answer(b"ok")
        alerts.save(instance, alerts.begin(instance))
        made = World(instance, server)
        assert made.tick() == []
        yield made


def raises(error: BaseException, cause: BaseException | None = None) -> Callable[[], None]:
    def raise_it() -> None:
        raise error from cause

    return raise_it


def kinds(sent: Sequence[dict[str, Any]]) -> list[str]:
    return [alert["kind"] for alert in sent]


@pytest.mark.slow
def test_a_blocking_check_is_one_message_until_it_passes(world: World) -> None:
    world.check = False
    run = world.run("llm_captions", "freesound")
    world.run("llm_captions", "soundbible")
    (sent,) = world.tick()
    # The failed run is the check's, and no other alert.
    assert sent["kind"] == "failed_check" and sent["title"] == "Blocking check failed: llm_captions: sound"
    assert sent["where"] == ["llm_captions: sound [freesound]", "llm_captions: sound [soundbible]"]
    assert sent["url"] == f"http://ui/runs/{run}" and "<!channel>" in sent["what"]
    world.run("llm_captions", "freesound")
    assert world.tick() == []
    world.check = True
    world.run("llm_captions", "freesound")
    world.run("llm_captions", "soundbible")
    assert world.tick() == []
    world.check = False
    world.run("llm_captions", "soundbible")
    assert kinds(world.tick()) == ["failed_check"]


@pytest.mark.slow
def test_a_changed_protocol_is_one_message_for_all_partitions(world: World) -> None:
    changed = BadAnswer("expected 'results'; has the protocol changed?")
    world.crawls = dict.fromkeys(("2022-01", "2022-02"), raises(changed))
    # Some crawlers report it as a site that cannot be read now, with the reason as its cause.
    unavailable = Unavailable("3 pages in a row are not pages of sounds")
    unavailable.__cause__ = BadAnswer("it names no licence")
    down = HostDown("FreeSound cannot be read", utc_now() + timedelta(hours=1))
    world.crawls["2022-03"] = raises(down, unavailable)
    for month in MONTHS.get_partition_keys():
        world.run("raw_clips", month)
    (sent,) = world.tick()
    assert sent["kind"] == "changed_protocol" and len(sent["where"]) == 3
    assert sent["what"] == "expected 'results'; has the protocol changed?"
    world.crawls = {}
    for month in MONTHS.get_partition_keys():
        world.run("raw_clips", month)
    assert world.tick() == []
    world.crawls = {"2022-01": raises(changed)}
    world.run("raw_clips", "2022-01")
    assert kinds(world.tick()) == ["changed_protocol"]


@pytest.mark.slow
def test_pauses(world: World) -> None:
    later = utc_now() + timedelta(days=3)
    spent = BudgetExhausted("20 USD are spent", MONTH, later)
    world.captions = dict.fromkeys(("freesound", "soundbible"), raises(spent))
    world.crawls = {
        "2022-01": raises(QuotaExhausted("the quota is used up", later)),
        "2022-02": raises(HostDown("FreeSound does not respond", later)),
    }
    for source in ("freesound", "soundbible"):
        world.run("llm_captions", source, checks=False)
    for month in ("2022-01", "2022-02"):
        world.run("raw_clips", month)
    # The quota is no news, and the budget is one message for both sources.
    budget, outage = world.tick()
    assert (budget["kind"], outage["kind"]) == ("budget", "outage")
    assert len(budget["where"]) == 2 and "20 USD are spent" in budget["what"]
    assert outage["where"] == ["freesound/raw_clips [2022-02]"]
    # A run that pauses again has not worked.
    world.run("llm_captions", "freesound", checks=False)
    world.run("raw_clips", "2022-02")
    assert world.tick() == []


@pytest.mark.slow
def test_dead_runs_are_one_message(world: World) -> None:
    for month in ("2022-01", "2022-02"):
        tags = {"dagster/partition": month}
        job = dg.define_asset_job("crawl", ["freesound/raw_clips"], partitions_def=MONTHS)
        defs = dg.Definitions(world.assets()[:1], jobs=[job])
        run = world.instance.create_run_for_job(defs.resolve_job_def("crawl"), tags=tags)
        world.instance.report_run_failed(
            run, "Its process has died, for example in a restart of the machine."
        )
    (sent,) = world.tick()
    assert sent["kind"] == "failed_crawl" and "has died" in sent["what"]
    assert sent["where"] == ["freesound/raw_clips [2022-01]", "freesound/raw_clips [2022-02]"]
    for month in ("2022-01", "2022-02"):
        world.run("raw_clips", month)
    assert world.tick() == []
    assert not alerts.load(world.instance).causes  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_run_that_a_person_cancels_is_not_reported(world: World) -> None:
    def is_cancelled() -> None:
        (run,) = world.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        world.instance.report_run_canceling(run)
        raise DagsterExecutionInterruptedError

    world.crawls["2022-01"] = is_cancelled
    run = world.instance.get_run_by_id(world.run("raw_clips", "2022-01"))
    assert run is not None and run.status is dg.DagsterRunStatus.CANCELED
    assert world.tick() == []
    # What nobody has asked for is.
    world.crawls["2022-01"] = raises(DagsterExecutionInterruptedError())
    world.run("raw_clips", "2022-01")
    (sent,) = world.tick()
    assert sent["title"] == "Runs died" and "interrupted unexpectedly" in sent["what"]
    assert sent["where"] == ["freesound/raw_clips [2022-01]"]
    world.crawls.clear()
    world.run("raw_clips", "2022-01")
    assert world.tick() == []


def test_a_backfill_that_fails_without_runs_is_one_message(world: World) -> None:
    def add(name: str, status: BulkActionStatus) -> None:
        error = SerializableErrorInfo("the asset freesound/audio is no longer there", [], "DagsterError")
        made = PartitionBackfill(name, status, False, {}, 0.0, partition_names=["2022-01"], error=error)
        world.instance.add_backfill(made)

    add("old", BulkActionStatus.FAILED)
    alerts.save(world.instance, alerts.begin(world.instance))
    add("failed", BulkActionStatus.FAILED)
    # The runs of this one say what failed.
    add("with-runs", BulkActionStatus.COMPLETED_FAILED)
    (sent,) = world.tick()
    assert sent["kind"] == "failed_run" and sent["where"] == ["backfill failed"]
    assert sent["what"] == "the asset freesound/audio is no longer there"
    assert sent["url"] == "http://ui/runs/b/failed"
    assert world.tick() == []


@pytest.mark.slow
def test_what_is_not_delivered_is_sent_later_also_by_a_new_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.crawls = {"2022-01": raises(ValueError("planted"))}
    world.server.answers["/hook"] = answer(b"not now", "503 Service Unavailable")
    world.run("raw_clips", "2022-01")
    with pytest.raises(NotDelivered, match=r"responds with 503: not now\. 1 alerts wait"):
        world.tick()
    world.server.answers["/hook"] = answer(b"ok")
    assert world.tick() == []
    monkeypatch.setattr(alerts, "utc_now", lambda: utc_now() + timedelta(minutes=1))
    (sent,) = world.tick()
    assert sent["kind"] == "failed_crawl" and sent["what"] == "ValueError: planted"
    first, second = (asked.headers["idempotency-key"] for asked in world.server.asked)
    assert first == second


@pytest.mark.slow
def test_runs_that_were_removed_hide_no_later_ones(world: World) -> None:
    world.run("raw_clips", "2022-01")
    assert world.tick() == []
    for run in world.instance.get_runs():
        world.instance.delete_run(run.run_id)
    world.crawls = {"2022-01": raises(ValueError("one"))}
    world.run("raw_clips", "2022-01")
    assert kinds(world.tick()) == ["failed_crawl"]


def test_without_a_channel_nothing_is_noted(world: World) -> None:
    sensor = alerts.alerts_sensor([], AlertSettings())
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    with dg.build_sensor_context(world.instance) as context:
        assert "no channel is set" in str(sensor.evaluate_tick(context).skip_message)
