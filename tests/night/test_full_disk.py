"""The disk of a single machine is full: of its store, its state, and Dagster's own databases."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.test_backfills import Pipeline, paths
from tests.night.sites import serving_sites
from tests.support.dagster_host import host, wait_until
from tests.support.graphql import LAUNCH_RUN, execution
from wavcaps_assets.demo.synthesis import synthesised_corpus

pytestmark = [pytest.mark.soak, pytest.mark.alone]

SIZE_MB = 64
# What the system and SQLite say.
FULL = ("No space left on device", "disk is full")
CRAWL = ("raw_clips", "audio", "ledger")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "none", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a disk for the test cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fills a disk, but for this much (bytes). Returns the file that does it."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - leave)
    return ballast


def test_a_crawl_fails_says_so_and_goes_on_when_there_is_room(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = synthesised_corpus(tmp_path / "corpus", clips=60, scenes=2)
    few = [clip for clip in corpus.clips if clip.origin < "synthesised/009"]
    home = disk / "home"
    home.mkdir()
    with serving_sites(corpus.model_copy(update={"clips": tuple(few)})) as sites:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        monkeypatch.setenv("WAVCAPS_STORE", str(home / "store"))
        monkeypatch.setenv("WAVCAPS_STATE", str(home / "state"))
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", str(sites.port))
        # As a terminal or the journal, which is not on this disk.
        log = tmp_path / "daemon.log"
        with host(home, log=log) as dagster:
            pipeline = Pipeline(dagster)

            def start() -> str:
                keys = paths(*(["soundbible", name] for name in CRAWL))
                tags = {"dagster/partition": "catalogue"}
                sent = execution("__ASSET_JOB", tags, assetSelection=keys, assetCheckSelection=[])
                started = dagster.graphql(LAUNCH_RUN, params=sent)["launchPipelineExecution"]
                return str(started["run"]["runId"])

            assert pipeline.ended(start()).status is dg.DagsterRunStatus.SUCCESS, pipeline.failures()
            tables = {name: pipeline.tables.read(["soundbible", name]) for name in CRAWL}
            sites.show(corpus)
            before = len(log.read_text(errors="replace"))
            ballast = fill(disk, 400_000)
            run_id = start()

            def said() -> str:
                return log.read_text(errors="replace")[before:]

            wait_until(lambda: any(words in said() for words in FULL), 240, said)
            # What was there is there.
            for name, table in tables.items():
                assert pipeline.tables.read(["soundbible", name]).num_rows >= table.num_rows
            ballast.unlink()
            # It failed, or could not say so: then `end_dead_runs` does.
            assert pipeline.ended(run_id).status is dg.DagsterRunStatus.FAILURE
            assert pipeline.ended(start()).status is dg.DagsterRunStatus.SUCCESS, pipeline.failures()
            stored = pipeline.tables.read(["soundbible", "audio"])
            assert stored.num_rows == len([clip for clip in corpus.clips if clip.source == "soundbible"])
            # Only what could not be written was sent again.
            assert max(sites.sounds.values()) <= 2
            assert sum(times == 2 for times in sites.sounds.values()) <= 4
