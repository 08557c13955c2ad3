"""The pools: every step that needs one has it, and no source starves the others, in Dagster's own queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from tests.support.paths import ROOT
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.common import PARTITION_TAG
from wavcaps_assets.defs.pools import (
    BACKFILL_TAG,
    DEFAULT_LIMIT,
    GPU,
    LANGUAGE_MODEL,
    LOOK_EVERY_S,
    WAITING_RUNS,
    crawl_pool,
    run_queue,
)
from wavcaps_assets.settings import Settings
from wavcaps_training.definitions import build as build_training
from wavcaps_training.executor.gpu_tags import GPU_TAG

REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("wavcaps_assets"), "__repository__")
INSTANCES = {"dagster_home/dagster.yaml": 6, "dagster_home/team/dagster.yaml": 9}
SITES = ("freesound", "bbc_sound_effects", "soundbible", "audioset_sl")


@pytest.mark.parametrize("path", INSTANCES)
def test_an_instance_has_these_limits(path: str) -> None:
    settings = yaml.safe_load((ROOT / path).read_text())
    found = settings["concurrency"]
    assert found["pools"] == {
        "default_limit": DEFAULT_LIMIT,
        "granularity": "op",
        "op_granularity_run_buffer": WAITING_RUNS,
    }
    assert found["runs"] == run_queue(INSTANCES[path])
    assert settings["run_coordinator"]["config"]["dequeue_interval_seconds"] == LOOK_EVERY_S


@pytest.mark.parametrize("path", INSTANCES)
def test_nothing_needs_the_daemons_that_are_off(path: str, definitions: dg.Definitions) -> None:
    settings = yaml.safe_load((ROOT / path).read_text())
    assert not settings["auto_materialize"]["enabled"] and not settings["freshness"]["enabled"]
    for made in (definitions, build_training(Settings())):
        specs = made.resolve_all_asset_specs()
        assert specs and not [
            spec.key for spec in specs if spec.automation_condition or spec.freshness_policy
        ]
        sensors = made.sensors or ()
        assert not [one for one in sensors if isinstance(one, dg.AutomationConditionSensorDefinition)]


def test_the_guide_names_every_pool() -> None:
    guide = (ROOT / "docs/operations.md").read_text()
    for pool in (GPU, LANGUAGE_MODEL, crawl_pool("<source>")):
        assert f"`{pool}`" in guide


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build(Settings())


def pools_of(definitions: dg.Definitions) -> dict[str, str | None]:
    return {
        asset.key.to_user_string(): asset.op.pool
        for asset in definitions.assets or ()
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable
    }


def test_every_step_that_needs_a_pool_has_it(definitions: dg.Definitions) -> None:
    pools = pools_of(definitions)
    assert {pools[f"{site}/{name}"] for site in SITES for name in ("raw_clips", "audio", "ledger")} == {
        crawl_pool(site) for site in SITES
    }
    assert {name for name, pool in pools.items() if pool == LANGUAGE_MODEL} >= {
        "llm_captions",
        "captions",
        "other_captions",
    }
    assert set(pools.values()) <= {None, LANGUAGE_MODEL, *map(crawl_pool, SITES)}
    for asset in build_training(Settings()).assets or ():
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            assert asset.op.pool == (GPU if GPU_TAG in asset.op.tags else None), asset.key


class Queue:
    """Runs that wait, and Dagster's choice of those that are launched."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        self.instance = instance
        self._repository = definitions.get_repository_def()
        self._jobs: dict[tuple[str, frozenset[dg.AssetKey]], dg.JobDefinition] = {}
        self._daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

    def add(self, job: str, partition: str, assets: tuple[str, ...] = (), **tags: str) -> None:
        """A run of a job; or one of the asset graph, of these assets."""
        keys = frozenset(map(dg.AssetKey.from_user_string, assets))
        found = self._job(job, keys)
        self.instance.create_run_for_job(
            found,
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=REPOSITORY.get_job_origin(found.name),
            tags={PARTITION_TAG: partition, **tags, **({} if assets else found.run_tags)},
            asset_selection=keys or None,
        )

    def _job(self, name: str, keys: frozenset[dg.AssetKey]) -> dg.JobDefinition:
        if (name, keys) not in self._jobs:
            found = self._repository.get_job("__ASSET_JOB" if keys else name)
            self._jobs[name, keys] = found.get_subset(asset_selection=keys) if keys else found
        return self._jobs[name, keys]

    def launched(self) -> Counter[str]:
        """Launches what Dagster chooses, whose first steps take their slots. How many, by the pool."""
        found: Counter[str] = Counter()
        config = self.instance.get_concurrency_config()
        for run in self._daemon._get_runs_to_dequeue(self.instance, config, None):
            self.instance.handle_run_event(run.run_id, dg.DagsterEvent("PIPELINE_START", run.job_name))
            pools = run.run_op_concurrency.root_key_counts if run.run_op_concurrency else {}
            for pool in pools:
                self.instance.event_log_storage.claim_concurrency_slot(pool, run.run_id, "step")
            found[next(iter(pools), "no pool")] += 1
        return found


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definitions: dg.Definitions) -> Iterator[Queue]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    # A run that has just started is taken to need its slots for seconds; here they are taken at once.
    monkeypatch.setenv("DAGSTER_OP_CONCURRENCY_KEYS_ALLOTTED_FOR_STARTED_RUN_SECONDS", "0")
    settings: dict[str, Any] = yaml.safe_load((ROOT / "dagster_home/dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.get() as instance:
        # Dagster knows a pool from the first step on that needs it.
        for pool in (LANGUAGE_MODEL, *map(crawl_pool, SITES)):
            instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
        yield Queue(instance, definitions)


@pytest.mark.slow
def test_a_backfill_does_not_starve_the_other_sources(queue: Queue) -> None:
    # From the asset graph, without the tags of a job.
    for number in range(4):
        queue.add("", f"2022-{number + 1:02}", ("freesound/raw_clips",), **{BACKFILL_TAG: "first"})
    queue.add("crawl_soundbible", "catalogue")
    # A second backfill, behind the first.
    queue.add("", "catalogue", ("bbc_sound_effects/raw_clips",), **{BACKFILL_TAG: "second"})
    for site in ("freesound", "soundbible"):
        queue.add("caption_source", site)
    assert queue.launched() == {
        # One takes the slot of the pool, and one waits for it.
        crawl_pool("freesound"): 1 + WAITING_RUNS,
        crawl_pool("soundbible"): 1,
        crawl_pool("bbc_sound_effects"): 1,
        # One run captions; the other would only wait for the language model.
        "no pool": 1,
    }
    assert queue.launched() == {}
