"""Runs of a `wavcaps run` that was killed: the next one ends them, and frees the pools that they hold.

Without a daemon nobody else does that, and a step would wait for its pool without end. Runs that machines
with a common database have on other machines are left alone: their locks cannot be seen from here.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

# On a run: which `wavcaps run` executes it, the id of its home and an id of its own.
LANE_TAG = "wavcaps/lane"
LOCK = ".lane-{owner}.lock"
# The id of a home: other machines have other homes.
HOME = ".lane-home"
ID_CHARS = 32


@contextmanager
def lane_of(instance: dg.DagsterInstance) -> Iterator[str]:
    """The name of this process for the tag of its runs. First ends the runs of processes that were killed.

    A run whose step was interrupted has ended, and still holds its pool: it is freed, too.

    The operating system releases the lock of a process that ends, for whatever reason.
    """
    folder = Path(instance.root_directory)
    end_killed(instance)
    free_ended(instance)
    owner = _home_id(folder) + uuid.uuid4().hex
    path = folder / LOCK.format(owner=owner)
    with FileLock(path):
        try:
            yield owner
        finally:
            path.unlink(missing_ok=True)


def end_killed(instance: dg.DagsterInstance) -> None:
    """Ends the runs of every `wavcaps run` of this home whose process no longer exists."""
    here = _home_id(Path(instance.root_directory))
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
    for run in instance.get_runs(unfinished):
        owner = run.tags.get(LANE_TAG, "")
        # A tag can have been typed, and becomes part of a path.
        if not owner.isalnum():
            continue
        # A person started it again in the web UI, which copies the tags.
        if run.parent_run_id:
            continue
        # Those of before homes had ids are of this one.
        if len(owner) > ID_CHARS and not owner.startswith(here):
            continue
        path = Path(instance.root_directory) / LOCK.format(owner=owner)
        if path.exists():
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                continue
            path.unlink(missing_ok=True)
        instance.report_run_failed(run, "Its process was killed; its work so far is kept.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _home_id(folder: Path) -> str:
    path = folder / HOME
    if not path.exists():
        new = path.with_name(f"{HOME}-{uuid.uuid4().hex}")
        new.write_text(uuid.uuid4().hex)
        # Another process may be faster.
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text()


def free_ended(instance: dg.DagsterInstance) -> None:
    """Frees the pools that runs hold which have ended."""
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
