"""The room that the store takes, and the job that removes what nothing refers to any more."""

import time

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.run_records import UNFINISHED
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.retention.disk_use import disk_use as measure
from wavcaps_assets.retention.settings import RemovalSettings
from wavcaps_assets.retention.unused import find_unused
from wavcaps_assets.show.previews import cell, preview
from wavcaps_assets.tables.operations import DISK_USE

DAY_S = 86_400
LISTED = 50
# Files that are removed before it is looked again whether a run has begun.
AT_ONCE = 1000


class RemovalConfig(dg.Config, RemovalSettings):
    """The settings of the removal."""


@dg.asset(
    group_name="operations",
    kinds={"parquet"},
    owners=OWNERS,
    description=DISK_USE.description + " The job `remove_unused_files` removes it.",
    metadata=schema_metadata(DISK_USE),
)
def disk_use(context: dg.AssetExecutionContext, store: StoreResource) -> pa.Table:
    files = store.tables().store
    listed = list(files.files())
    table = measure(listed, find_unused(files, listed, time.time()))
    context.add_output_metadata(
        {
            "table": dg.MetadataValue.md(preview(table, rows=LISTED)),
            "stored (bytes)": dg.MetadataValue.int(sum(table.column("bytes").to_pylist())),
            "unused (bytes)": dg.MetadataValue.int(sum(table.column("unused_bytes").to_pylist())),
        }
    )
    return table


@dg.op(
    description="Removes audio and checkpoints that no table refers to, and old versions of the set. By "
    "default it only lists them: set `dry_run` to false to remove them."
)
def remove_unused(context: dg.OpExecutionContext, config: RemovalConfig, store: StoreResource) -> None:
    newest = _newest_run(context.instance)
    others = [
        run
        for run in context.instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)))
        if run.run_id != context.run_id
    ]
    if others and not config.dry_run:
        raise dg.Failure(
            f"{len(others)} runs are queued or in progress, first {others[0].run_id[:8]} "
            f"({others[0].job_name}), and may use these files. Nothing was removed. Start this job again "
            "when they have ended.",
            allow_retries=False,
        )
    files = store.tables().store
    listed = list(files.files())
    before = time.time() - config.unused_for_days * DAY_S
    unused = find_unused(files, listed, before, config.keep_versions)
    for first in range(0, 0 if config.dry_run else len(unused), AT_ONCE):
        # Reading the tables of a large store takes long. A clip that comes back uses the file that it had.
        if _newest_run(context.instance) != newest:
            raise dg.Failure(
                f"a run has begun since, and may use these files. {first} of {len(unused)} files were "
                "removed. Start this job again when no run is in progress.",
                allow_retries=False,
            )
        files.remove_files([file.path for file in unused[first : first + AT_ONCE]])
    done = "would be removed" if config.dry_run else "removed"
    size = sum(file.size for file in unused)
    context.log.info(f"{len(unused)} files, {size / 1e6:,.1f} MB, {done}")
    lines = [
        "| file | bytes |",
        "| --- | ---: |",
        *(f"| {cell(f.path)} | {f.size} |" for f in unused[:LISTED]),
    ]
    context.add_output_metadata(
        {
            f"files {done}": dg.MetadataValue.int(len(unused)),
            f"{done} (bytes)": dg.MetadataValue.int(size),
            "by folder": dg.MetadataValue.md(preview(measure(unused, unused), rows=LISTED)),
            f"the first {LISTED} files": dg.MetadataValue.md("\n".join(lines) if unused else "*none*"),
        }
    )


def _newest_run(instance: dg.DagsterInstance) -> int:
    """The number of the newest run, which grows with each."""
    return instance.get_run_records(limit=1)[0].storage_id


@dg.job(
    description="Removes what nothing refers to: audio of clips that are gone, checkpoints that were "
    "replaced, and old versions of the set. It lists them first; to remove them, set `dry_run` to false in "
    "the launchpad.",
    executor_def=dg.in_process_executor,
)
def remove_unused_files() -> None:
    remove_unused()


def definitions(_location: Location) -> dg.Definitions:
    return dg.Definitions(assets=[disk_use], jobs=[remove_unused_files])
