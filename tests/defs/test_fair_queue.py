"""Two sources at once, launched in each way, with a real daemon and this project's own `dagster.yaml`.

One source's partitions are a backfill from the asset graph; the other ones come behind it, from the job's
page and from the asset graph. No pool ever has two steps, and the others are done before the backfill is.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.support.dagster_host import Host, host, wait_until
from tests.support.graphql import LAUNCH_BACKFILL, LAUNCH_RUN, execution
from tests.support.paths import ROOT
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus

pytestmark = [pytest.mark.soak, pytest.mark.alone]

MONTHS = [f"2022-{month:02}" for month in range(5, 11)]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    settings: dict[str, Any] = yaml.safe_load((ROOT / "dagster_home/dagster.yaml").read_text())
    # The daemon looks at the queue more often, and the test ends earlier.
    settings["run_coordinator"] = {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1},
    }
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("WAVCAPS_FREESOUND__FIRST_MONTH", MONTHS[0])
    monkeypatch.setenv("WAVCAPS_FREESOUND__LAST_MONTH", MONTHS[-1])
    with running_server(synthesised_corpus(tmp_path / "corpus", clips=18, scenes=2)) as url:
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        with host(home, yaml.safe_dump(settings)) as running:
            yield running


@contextmanager
def most_at_once(instance: dg.DagsterInstance) -> Iterator[Counter[str]]:
    """The most steps that were in each pool at once, looked at ten times a second."""
    most: Counter[str] = Counter()
    over = threading.Event()

    def look() -> None:
        storage = instance.event_log_storage
        while not over.wait(0.1):
            for pool in storage.get_concurrency_keys():
                most[pool] = max(most[pool], storage.get_concurrency_info(pool).active_slot_count)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield most
    finally:
        over.set()
        watch.join()


def launch(dagster: Host, job: str, *assets: list[str]) -> str:
    """The id of a run of a catalogue, as the web UI launches it."""
    selection: dict[str, Any] = {}
    if assets:
        selection = {"assetSelection": [{"path": path} for path in assets], "assetCheckSelection": None}
    sent = execution(job, {"dagster/partition": "catalogue"}, **selection)
    data = dagster.graphql(LAUNCH_RUN, params=sent)["launchPipelineExecution"]
    assert data["__typename"] == "LaunchRunSuccess", data
    found: str = data["run"]["runId"]
    return found


def test_a_backfill_leaves_room_for_the_others(started: Host) -> None:
    instance = started.instance
    months = [{"path": ["freesound", name]} for name in ("raw_clips", "audio", "ledger")]
    with most_at_once(instance) as most:
        launched = started.graphql(
            LAUNCH_BACKFILL, params={"assetSelection": months, "partitionNames": MONTHS}
        )
        backfill = launched["launchPartitionBackfill"]["backfillId"]
        of_backfill = dg.RunsFilter(tags={"dagster/backfill": backfill})
        wait_until(lambda: len(instance.get_runs(of_backfill)) == len(MONTHS), 120, instance.get_runs)
        others = [
            launch(started, "crawl_soundbible"),
            launch(started, "__ASSET_JOB", ["bbc_sound_effects", "raw_clips"]),
            # The same site once more, by its job, beside the run of the asset graph.
            launch(started, "crawl_bbc_sound_effects"),
        ]

        def ended(ids: list[str]) -> bool:
            return all(run.is_finished for run in instance.get_runs(dg.RunsFilter(run_ids=ids)))

        wait_until(lambda: ended(others), 600, instance.get_runs)
        still = [run for run in instance.get_runs(of_backfill) if not run.is_finished]
        assert still, "the others had to wait until the backfill was done"
        all_ids = [run.run_id for run in instance.get_runs()]
        wait_until(lambda: ended(all_ids), 900, instance.get_runs)
        time.sleep(1)
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    assert most == {"crawl_freesound": 1, "crawl_soundbible": 1, "crawl_bbc_sound_effects": 1}
