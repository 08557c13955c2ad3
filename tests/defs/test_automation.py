"""The sensors that carry new clips on, on a real instance: when they request a run, and what stops them."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.events import StepMaterializationData

from tests.simulation.stepped_clock import SteppedClock
from wavcaps_assets.alerts.message import Kind
from wavcaps_assets.clock import utc_now
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.pauses import PAUSED_TAG, paused
from wavcaps_assets.defs.run_outcomes import outcome_of
from wavcaps_assets.defs.status import pause_of
from wavcaps_assets.llm.reservations import BudgetExhausted
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources

SOURCE = "soundbible"
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
STARTED, CANCELED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELED


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path))
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build(Settings()).get_repository_def()


class Night:
    """What happens, and what the sensors say about it."""

    def __init__(self, instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> None:
        self.instance = instance
        self.repository = repository

    def materialize(self, *key: str, partition: str | None = None) -> None:
        event = dg.AssetMaterialization(dg.AssetKey(list(key)), partition=partition)
        self.instance.report_runless_asset_event(event)

    def run(
        self,
        status: dg.DagsterRunStatus,
        job: str = "caption_source",
        partition: str | None = SOURCE,
        asset: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """A run of a job; or of an asset, as the asset graph launches it."""
        of_partition = {"dagster/partition": partition} if partition else {}
        self.instance.add_run(
            dg.DagsterRun(
                job_name="__ASSET_JOB" if asset else job,
                asset_selection=frozenset([dg.AssetKey(asset)]) if asset else None,
                run_id=str(uuid.uuid4()),
                status=status,
                tags={**of_partition, **(tags or {})},
            )
        )

    def tick(self, name: str = f"process_{SOURCE}") -> str:
        """The partition that is requested, `a run` without one, or why none is."""
        sensor = self.repository.get_sensor_def(name)
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
        with dg.build_sensor_context(self.instance, repository_def=self.repository) as context:
            found = sensor.evaluate_tick(context)
        if not found.run_requests:
            return str(found.skip_message)
        (request,) = found.run_requests
        return request.partition_key or "a run"


@pytest.fixture
def night(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> Night:
    return Night(instance, repository)


class Clock:
    """Begins at the present, which Dagster's own records have."""

    def __init__(self, environment: pytest.MonkeyPatch) -> None:
        self._clock = SteppedClock(datetime.now(UTC), environment)

    def forward(self, by: timedelta) -> None:
        self._clock.set(self._clock.now() + by)


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def crawled(night: Night) -> Night:
    night.materialize(SOURCE, "raw_clips", partition="catalogue")
    night.materialize(SOURCE, "audio", partition="catalogue")
    return night


def test_new_clips_are_processed_once(night: Night) -> None:
    assert "nothing of SoundBible is crawled" in night.tick()
    night.materialize(SOURCE, "audio", partition="catalogue")
    assert night.tick() == SOURCE
    night.materialize("manifest", partition=SOURCE)
    assert "newer than its newest clips" in night.tick()
    # Another source's manifest says nothing about this one.
    night.materialize(SOURCE, "audio", partition="catalogue")
    night.materialize("manifest", partition="freesound")
    assert night.tick() == SOURCE


def test_nothing_is_requested_with_a_prompt_that_does_not_exist(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_PROMPT", "nope")
    night = Night(instance, build(Settings()).get_repository_def())
    night.materialize(SOURCE, "audio", partition="catalogue")
    assert "wait: WAVCAPS_PROMPT: there is no prompt preset 'nope'; there are: long, paper" in night.tick()


@pytest.mark.parametrize("asset", [None, "captions"])
def test_a_run_in_progress_is_waited_for_launched_in_any_way(crawled: Night, asset: str | None) -> None:
    crawled.run(STARTED, asset=asset)
    assert "in progress" in crawled.tick()


def test_a_run_of_another_source_is_not_waited_for(crawled: Night) -> None:
    crawled.run(STARTED, partition="freesound")
    assert crawled.tick() == SOURCE


def test_at_most_one_run_a_day(crawled: Night, stepped: Clock) -> None:
    crawled.run(SUCCESS)
    assert "at most one run in 24 hours" in crawled.tick()
    stepped.forward(timedelta(hours=24, minutes=1))
    assert crawled.tick() == SOURCE


def test_a_pause_that_has_expired_goes_on_at_once(crawled: Night, stepped: Clock) -> None:
    until = utc_now() + timedelta(hours=2)
    crawled.run(SUCCESS, tags={PAUSED_TAG: until.isoformat(timespec="seconds")})
    assert "paused until" in crawled.tick()
    stepped.forward(timedelta(hours=2, minutes=1))
    assert crawled.tick() == SOURCE


def test_what_fails_again_and_again_is_left_to_a_person(crawled: Night, stepped: Clock) -> None:
    for _ in range(3):
        assert crawled.tick() == SOURCE
        crawled.run(FAILURE)
        stepped.forward(timedelta(hours=25))
    assert "3 runs have failed" in crawled.tick()


def test_what_a_person_cancelled_is_not_started_again(crawled: Night, stepped: Clock) -> None:
    crawled.run(CANCELED)
    stepped.forward(timedelta(hours=25))
    assert "was cancelled by a person" in crawled.tick()


def test_crawls_that_go_on_do_not_start_again_what_failed_or_was_cancelled(
    crawled: Night, stepped: Clock
) -> None:
    for _ in range(3):
        crawled.run(FAILURE)
    crawled.materialize(SOURCE, "audio", partition="catalogue")
    stepped.forward(timedelta(hours=25))
    assert "3 runs have failed" in crawled.tick()
    crawled.run(CANCELED)
    crawled.materialize(SOURCE, "audio", partition="catalogue")
    stepped.forward(timedelta(hours=25))
    assert "was cancelled by a person" in crawled.tick()
    crawled.run(SUCCESS)
    stepped.forward(timedelta(hours=25))
    assert crawled.tick() == SOURCE


def test_a_pause_before_a_run_that_was_made_is_over(crawled: Night, stepped: Clock) -> None:
    # The budget of the month was raised, and the job started by hand.
    until = utc_now() + timedelta(days=20)
    crawled.run(SUCCESS, tags={PAUSED_TAG: until.isoformat(timespec="seconds")})
    crawled.run(SUCCESS)
    stepped.forward(timedelta(hours=25))
    assert crawled.tick() == SOURCE


def test_a_paused_run_that_was_started_again_is_no_pause(crawled: Night) -> None:
    """A person raised the budget. In the web UI, the new run has the tags of the one before."""
    budget = [0]

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([SOURCE]), output_required=False)
    def llm_captions(context: dg.AssetExecutionContext) -> Iterator[Any]:
        if budget[0]:
            yield dg.Output(None)
        else:
            until = utc_now() + timedelta(days=20)
            yield from paused(
                context, BudgetExhausted("all is spent", "WAVCAPS_LLM__BUDGET_MONTH_USD", until)
            )

    job = dg.define_asset_job("caption_source", [llm_captions])
    definitions = dg.Definitions(assets=[llm_captions], jobs=[job], executor=dg.in_process_executor)

    def run(tags: dict[str, str]) -> dg.DagsterRun:
        resolved = definitions.resolve_job_def(job.name)
        made = resolved.execute_in_process(instance=crawled.instance, partition_key=SOURCE, tags=tags)
        run = crawled.instance.get_run_by_id(made.run_id)
        assert run is not None
        return run

    first = run({})
    assert "paused until" in crawled.tick()
    sources = all_sources(Settings())
    assert [found.kind for found in outcome_of(crawled.instance, first, sources).findings] == [Kind.BUDGET]
    budget[0] = 1
    again = run(dict(first.tags))
    assert again.tags[PAUSED_TAG] == first.tags[PAUSED_TAG]
    assert "at most one run in 24 hours" in crawled.tick()
    assert outcome_of(crawled.instance, again, sources).findings == []
    source = next(source for source in sources if source.name == SOURCE)
    assert pause_of(crawled.instance, source) is None


@pytest.mark.slow
@pytest.mark.parametrize("asset", [None, "wavcaps"])
def test_many_crawls_do_not_hide_a_run(night: Night, stepped: Clock, asset: str | None) -> None:
    night.materialize("manifest", partition=SOURCE)
    night.run(CANCELED, "publish", partition=None, asset=asset)
    stepped.forward(timedelta(hours=25))
    for _ in range(101):
        night.run(SUCCESS, "crawl_soundbible", "catalogue", asset="audio" if asset else None)
    assert "was cancelled by a person" in night.tick("publish_new_version")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sensor", "new", "reads", "makes", "partition"),
    [
        (f"process_{SOURCE}", (SOURCE, "audio"), "filtered_clips", "manifest", SOURCE),
        ("publish_new_version", ("manifest",), "wavcaps", "wavcaps", None),
    ],
)
def test_what_came_while_a_run_was_in_progress_is_not_forgotten(
    night: Night,
    stepped: Clock,
    sensor: str,
    new: tuple[str, ...],
    reads: str,
    makes: str,
    partition: str | None,
) -> None:
    def comes() -> None:
        night.materialize(*new, partition="catalogue" if len(new) > 1 else SOURCE)

    def run(during: Callable[[], None]) -> None:
        made = dg.materialize(
            [_reading(reads, partition, during)], instance=night.instance, partition_key=partition
        )
        assert made.success
        if makes != reads:
            night.materialize(makes, partition=partition)

    comes()
    run(lambda: None)
    assert "newer than" in night.tick(sensor)
    comes()
    assert night.tick(sensor) == (partition or "a run")
    run(comes)
    assert night.tick(sensor) == (partition or "a run")
    run(lambda: None)
    assert "newer than" in night.tick(sensor)


def test_a_crawl_on_a_machine_whose_clock_is_behind_is_not_forgotten(
    repository: dg.RepositoryDefinition,
) -> None:
    """In a database that machines share. The crawl ends while its source is captioned."""
    with dg.DagsterInstance.ephemeral() as instance:
        night = Night(instance, repository)

        def crawl_ends() -> None:
            data = StepMaterializationData(
                dg.AssetMaterialization(dg.AssetKey([SOURCE, "audio"]), partition="catalogue")
            )
            event = dg.DagsterEvent(
                dg.DagsterEventType.ASSET_MATERIALIZATION.value, "", event_specific_data=data
            )
            instance.report_dagster_event(event, "", timestamp=datetime.now(UTC).timestamp() - 300)

        crawl_ends()
        for during, said in ((crawl_ends, SOURCE), (lambda: None, "newer than")):
            filtered = _reading("filtered_clips", SOURCE, during)
            assert dg.materialize([filtered], instance=instance, partition_key=SOURCE).success
            night.materialize("manifest", partition=SOURCE)
            assert said in night.tick()


def _reading(name: str, partition: str | None, during: Callable[[], None]) -> dg.AssetsDefinition:
    """An asset that has read its inputs when something happens."""
    partitions = dg.StaticPartitionsDefinition([partition]) if partition else None

    @dg.asset(name=name, partitions_def=partitions)
    def asset() -> None:
        during()

    return asset


def test_new_manifests_are_published_when_no_source_is_in_progress(night: Night) -> None:
    publish = "publish_new_version"
    assert "no source has a manifest" in night.tick(publish)
    night.materialize("manifest", partition=SOURCE)
    night.run(STARTED, partition="freesound", asset="llm_captions")
    assert "in progress: FreeSound" in night.tick(publish)
    for record in night.instance.get_runs():
        night.instance.report_run_canceled(record)
    assert night.tick(publish) == "a run"
    night.materialize("wavcaps")
    assert "newer than every manifest" in night.tick(publish)


@pytest.mark.parametrize(
    ("asset", "name", "partition", "processed", "published"),
    [
        (["captions"], "schema", SOURCE, SOURCE, "captions: schema"),
        ([SOURCE, "audio"], "schema", "catalogue", "soundbible/audio: schema", "soundbible/audio: schema"),
        ([SOURCE, "audio"], "schema", "1999-01", SOURCE, "a run"),
        # It concerns the set that is there, and not the next one.
        (["wavcaps"], "schema", None, SOURCE, "a run"),
    ],
)
def test_what_a_blocking_check_found_is_neither_captioned_nor_published_until_it_passes(
    crawled: Night, asset: list[str], name: str, partition: str | None, processed: str, published: str
) -> None:
    def evaluated(passed: bool, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR) -> None:
        key, run = dg.AssetKey(asset), str(uuid.uuid4())
        made = dg.AssetCheckEvaluation(
            key, name, passed, {}, severity=severity, partition=partition, blocking=True
        )
        subset = DefaultPartitionsSubset({partition}) if partition else None
        planned = AssetCheckEvaluationPlanned(asset_key=key, check_name=name, partitions_subset=subset)
        for kind, data in (("ASSET_CHECK_EVALUATION_PLANNED", planned), ("ASSET_CHECK_EVALUATION", made)):
            event = dg.DagsterEvent(kind, "job", event_specific_data=data)
            crawled.instance.report_dagster_event(event, run)

    evaluated(False)
    assert processed in crawled.tick()
    crawled.materialize("manifest", partition="freesound")
    assert published in crawled.tick("publish_new_version")
    evaluated(False, dg.AssetCheckSeverity.WARN)
    assert (crawled.tick(), crawled.tick("publish_new_version")) == (SOURCE, "a run")
    evaluated(False)
    evaluated(True)
    assert (crawled.tick(), crawled.tick("publish_new_version")) == (SOURCE, "a run")


def test_a_source_that_is_always_in_progress_does_not_hold_up_the_others(
    night: Night, stepped: Clock
) -> None:
    publish = "publish_new_version"
    night.materialize("wavcaps")
    night.materialize("manifest", partition=SOURCE)
    night.run(STARTED, partition="freesound")
    stepped.forward(timedelta(hours=47))
    # Each of its runs writes a manifest, so the newest is always young.
    night.materialize("manifest", partition="freesound")
    assert night.tick(publish) == "in progress: FreeSound"
    stepped.forward(timedelta(hours=1, minutes=1))
    assert night.tick(publish) == "a run"
    night.materialize("wavcaps")
    assert "newer than every manifest" in night.tick(publish)


def test_a_manifest_that_is_being_written_is_waited_for(night: Night, stepped: Clock) -> None:
    publish = "publish_new_version"
    night.materialize("manifest", partition=SOURCE)
    stepped.forward(timedelta(hours=49))
    found = []
    lane = [
        _reading(name, SOURCE, lambda: found.append(night.tick(publish)))
        for name in ("filtered_clips", "manifest")
    ]
    job = dg.define_asset_job("caption_source")
    definitions = dg.Definitions(assets=lane, jobs=[job], executor=dg.in_process_executor)
    definitions.resolve_job_def(job.name).execute_in_process(instance=night.instance, partition_key=SOURCE)
    assert sorted(found) == ["a manifest is being written: SoundBible", "a run"]


class Folder:
    """A person's folder of sounds, and what its sensor says about it."""

    def __init__(self, night: Night, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (path / "dogs").mkdir(parents=True)
        (path / "clips.csv").write_text("file,description\n")
        monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(path))
        self.bark = path / "dogs" / "bark.wav"
        self.skipped = ""
        self._night = night
        self._repository = build(Settings()).get_repository_def()
        self._cursor: str | None = None
        self._keys: set[str | None] = set()

    def look(self) -> int:
        """How many runs are started: Dagster starts none with a key that a run has had."""
        sensor = self._repository.get_sensor_def("local_folder_changed")
        with dg.build_sensor_context(
            self._night.instance, cursor=self._cursor, repository_def=self._repository
        ) as context:
            found = sensor.evaluate_tick(context)
        self._cursor, self.skipped = found.cursor, found.skip_message or ""
        started = {request.run_key for request in found.run_requests or []} - self._keys
        self._keys |= started
        return len(started)

    def crawl_ends(self, status: dg.DagsterRunStatus) -> None:
        self._night.run(status, "crawl_local_folder", "catalogue")


@pytest.fixture
def folder(night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(night, tmp_path / "sounds", monkeypatch)


def test_a_changed_folder_is_crawled_once_when_it_is_quiet(folder: Folder) -> None:
    look = folder.look
    assert [look(), look(), look()] == [0, 1, 0]
    folder.crawl_ends(SUCCESS)
    assert look() == 0
    folder.bark.write_bytes(b"half")
    assert look() == 0
    folder.bark.write_bytes(b"half and the rest")
    # It was still being copied.
    assert [look(), look(), look()] == [0, 1, 0]
    folder.crawl_ends(SUCCESS)
    folder.bark.unlink()
    # It is as it was at first.
    assert [look(), look(), look()] == [0, 1, 0]
    folder.crawl_ends(SUCCESS)
    assert look() == 0
    assert "nothing changed" in folder.skipped


def test_a_folder_whose_crawl_failed_is_crawled_again(folder: Folder) -> None:
    assert [folder.look(), folder.look()] == [0, 1]
    for _ in range(2):
        folder.crawl_ends(FAILURE)
        assert folder.look() == 1
    folder.crawl_ends(FAILURE)
    assert folder.look() == 0
    assert "3 runs have failed" in folder.skipped
    # A person repairs it.
    folder.bark.write_bytes(b"a sound")
    assert [folder.look(), folder.look()] == [0, 1]
    folder.crawl_ends(CANCELED)
    assert folder.look() == 0
    assert "was cancelled by a person" in folder.skipped
