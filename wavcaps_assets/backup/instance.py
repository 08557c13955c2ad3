"""Dagster's instance in a backup: its runs, events and ticks, and what steps printed.

Everything is read in the reverse of the order in which Dagster writes it: ticks, runs, events. So a backup
never says that a tick has requested a run that it does not have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from wavcaps_assets.backup.archive import ArchiveWriter
from wavcaps_assets.backup.layout import INSTANCE, BackupError, InstanceKind
from wavcaps_assets.backup.postgres import dump
from wavcaps_assets.backup.state_files import add_sqlite

SCHEDULES, RUNS, EVENTS, OUTPUT = (f"{INSTANCE}/{name}" for name in ("schedules", "runs", "events", "output"))
DUMP = f"{INSTANCE}/postgres.dump"
COMPUTE_LOGS = "compute_logs"
DATABASE = ".db"
# Of all runs' events; the other databases have those of one run each.
INDEX = "index.db"
# A run in one of these has a process, which nobody restores.
IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Place:
    """Where the instance of a DAGSTER_HOME keeps what a backup has.

    Attributes:
        home: the folder.
        kind: SQLite or Postgres.
        databases: the folders of SQLite's files, by the name in a backup.
        output: the folder of what steps printed; None: it is not on this machine.
    """

    home: Path
    kind: InstanceKind
    databases: Mapping[str, Path]
    output: Path | None

    def target(self, name: str) -> Path | None:
        """The path of a backup's file; None: it is none of the instance."""
        folder, _, file = name.rpartition("/")
        if folder in self.databases and file.endswith(DATABASE):
            return self.databases[folder] / file
        if name.startswith(f"{OUTPUT}/") and self.output is not None:
            return self.output / name.removeprefix(f"{OUTPUT}/")
        return None


def place_of(home: Path) -> Place:
    """Reads the configuration of an instance. Opens and makes nothing.

    Raises:
        BackupError: it keeps its runs in another database than SQLite or Postgres.
    """
    try:
        ref = InstanceRef.from_dir(str(home))
    except Exception as error:
        raise BackupError(f"the configuration of the instance in {home} cannot be read: {error}") from error
    logs = ref.compute_logs_data
    own_output = logs.class_name == "LocalComputeLogManager"
    output = Path(logs.config_dict["base_dir"]) if own_output else None
    parts = (ref.schedule_storage_data, ref.run_storage_data, ref.event_storage_data)
    names = {part.class_name for part in parts if part is not None}
    if names == {"PostgresScheduleStorage", "PostgresRunStorage", "PostgresEventLogStorage"}:
        return Place(home, InstanceKind.POSTGRES, {}, output)
    if names == {"SqliteScheduleStorage", "SqliteRunStorage", "SqliteEventLogStorage"}:
        folders = [Path(part.config_dict["base_dir"]) for part in parts if part is not None]
        databases = dict(zip((SCHEDULES, RUNS, EVENTS), folders, strict=True))
        return Place(home, InstanceKind.SQLITE, databases, output)
    raise BackupError(
        f"the instance in {home} is neither in Postgres nor in SQLite with a fixed folder "
        f"({', '.join(sorted(names)) or 'its folder is a variable'}): use that database's own tools"
    )


def is_there(place: Place) -> bool:
    """Whether there is an instance: Postgres always is; SQLite if it has a file."""
    return place.kind is InstanceKind.POSTGRES or any(True for _ in _databases(place))


def back_up_instance(place: Place, archive: ArchiveWriter) -> None:
    """Adds an instance to a backup.

    Raises:
        BackupError: it cannot be read.
    """
    if place.kind is InstanceKind.POSTGRES:
        dump(place.home, archive, DUMP)
    for name, path in _databases(place):
        # The job that removes old runs may be at work.
        if path.exists():
            add_sqlite(archive, name, path)
    if place.output is not None and place.output.is_dir():
        for path in sorted(place.output.glob(f"*/{COMPUTE_LOGS}/*")):
            if path.is_file():
                archive.add_file(f"{OUTPUT}/{path.relative_to(place.output).as_posix()}", path)


def _databases(place: Place) -> Iterator[tuple[str, Path]]:
    for name, folder in place.databases.items():
        # The index of all events before the events of single runs: the index is written last.
        for path in sorted(folder.glob(f"*{DATABASE}"), key=lambda path: (path.name != INDEX, path.name)):
            yield f"{name}/{path.name}", path


def end_runs(home: Path, message: str) -> list[str]:
    """Ends the runs that were in progress in a backup. Returns their ids.

    Nobody works on them any more, and their sources would wait for them. What they have stored is used by the
    next run. Runs that wait in the queue stay there.
    """
    os.environ["DAGSTER_HOME"] = str(home)
    ended = []
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)):
            if run.status is dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, message)
            else:
                instance.report_run_failed(run, message)
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended
