"""A sensor that crawls the user's own folder of sounds again when a file in it changed."""

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import dagster as dg

from wavcaps_assets.defs.automation import made_all, newest_run, reason_to_wait, runs_of
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.jobs import crawl_job_name
from wavcaps_assets.sources.base import Source
from wavcaps_assets.sources.local_folder import CATALOGUE, LocalFolder

EVERY_S = 120


def state_of(folder: Path) -> str:
    """A hash of the names, sizes and times of the files of a folder and of those below."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            try:
                found = Path(parent, name).stat()
            except OSError:
                # It was removed meanwhile: the next look has another state.
                continue
            files.append((str(Path(parent, name).relative_to(folder)), found.st_size, found.st_mtime_ns))
    return hashlib.sha256(repr(sorted(files)).encode("utf-8", "surrogateescape")).hexdigest()


def changed_folder_sensor(source: Source, folder: Path) -> dg.SensorDefinition:
    """The sensor of a folder. Its cursor is the state that it requested last, and that of the last look."""
    job = crawl_job_name(source)
    crawl = [dg.AssetKey([source.name, name]) for name in ("raw_clips", "audio", "ledger")]

    @dg.sensor(
        name=f"{source.name}_changed",
        job_name=job,
        minimum_interval_seconds=EVERY_S,
        description="Crawls your folder of sounds when a file in it was added, changed or removed, and no "
        "file changed since the last look. A crawl that failed is started again, until three have failed. It "
        "costs nothing but time.",
    )
    def changed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        requested, _, seen = (context.cursor or "").partition(" ")
        if not folder.is_dir():
            return dg.SkipReason(f"{folder} is not there now")
        state = state_of(folder)
        records = runs_of(context.instance, job, crawl, CATALOGUE)
        if state == requested:
            if not records or made_all(records[0].dagster_run):
                return dg.SkipReason(f"nothing changed in {folder}")
            if wait := reason_to_wait(records, timedelta()):
                return dg.SkipReason(f"what changed in {folder} is not crawled yet: {wait}")
        elif state != seen:
            context.update_cursor(f"{requested} {state}")
            return dg.SkipReason(f"{folder} has changed: it is crawled when it is the same at the next look")
        # A folder can be again as it was before, and Dagster never starts a run with the same key twice.
        request = dg.RunRequest(partition_key=CATALOGUE, run_key=f"{state} after {newest_run(records)}")
        return dg.SensorResult([request], cursor=f"{state} {state}")

    return changed


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        sensors=[
            changed_folder_sensor(source, source.folder)
            for source in location.sources
            if isinstance(source, LocalFolder) and source.folder is not None
        ]
    )
