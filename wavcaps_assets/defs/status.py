"""The state of every source, as a table: an asset, a schedule that makes it each morning."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

import wavcaps_assets.defs
from wavcaps_assets.captioning.kinds import require_known
from wavcaps_assets.captioning.presets import choose_settings, wrong_setting
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.automation import left_to_a_person, runs_of
from wavcaps_assets.defs.code_versions import Scope, scoped
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.crawl_times import freshness_of, pace_of
from wavcaps_assets.defs.failing_checks import blocking_checks, by_source, failing
from wavcaps_assets.defs.jobs import LANE, LANE_JOB, STATUS_JOB
from wavcaps_assets.defs.loading import load_folder
from wavcaps_assets.defs.own_tags import own_tag
from wavcaps_assets.defs.pauses import PAUSE_CAUSE_TAG, Cause, paused_run, until_of
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.schedules import newest_crawls
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.llm.month import left_of_month
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.previews import cell
from wavcaps_assets.sources.base import Source
from wavcaps_assets.status.disk import disk_left
from wavcaps_assets.status.table import HEADS, Pause, Room, SourceState, lines, status_table
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.operations import STATUS

# Whether a prompt or a kind of captions exists is in the table. What is in it is not.
CAPTIONING = tuple(
    f"{one.__module__}.{one.__qualname__}" for one in (choose_settings, load_prompt, require_known)
)
LANE_KEYS = [dg.AssetKey(name) for name in LANE]


def status_of(
    instance: dg.DagsterInstance,
    graph: BaseAssetGraph,
    tables: TableStore,
    sources: Sequence[Source],
    settings: Settings,
) -> tuple[pa.Table, Room]:
    """The state of each source now, `tables.operations.STATUS`, and what all sources share.

    Raises:
        StoreError: the store cannot be read.
    """
    now = utc_now()
    room = room_of(tables.store, settings, Path(instance.root_directory))
    failed = by_source(failing(instance, blocking_checks(graph)), sources)
    states = [
        SourceState(
            source.name,
            source.title,
            freshness_of(instance, tables, source, now),
            pace_of(instance, source, now),
            pause_of(instance, source),
            [
                *filter(None, [wrong_setting(source.name, source.as_given, settings)]),
                *filter(None, [_stopped(instance, source)]),
                *failed[source.name],
            ],
        )
        for source in sources
    ]
    return status_table(states, room, now), room


def room_of(store: Store, settings: Settings, home: Path) -> Room:
    """What is left of the month's budget and of the disks.

    Args:
        home: of the instance: its runs and events, or at least what runs print.
    """
    folders = [settings.state, home, *([Path(store.root)] if store.is_folder else [])]
    model = settings.llm
    limit = model.budget_month_usd or None
    return Room(limit, left_of_month(store, model, utc_now()), disk_left(folders))


def pause_of(instance: dg.DagsterInstance, source: Source) -> Pause | None:
    """What a source waits for: its crawls, or its captions. Of both, the one that goes on later."""
    crawl = paused_run(newest_crawls(instance, source))
    records = runs_of(instance, LANE_JOB, LANE_KEYS, source.name)
    # A run that went on after the pause ended it.
    captions = paused_run([record.dagster_run for record in records[:1]])
    found = [
        Pause(until_of(run), f"{what}: {own_tag(run, PAUSE_CAUSE_TAG) or Cause.OTHER.value}")
        for what, run in (("crawl", crawl), ("captions", captions))
        if run is not None
    ]
    return max(found, key=lambda pause: pause.until, default=None)


def _stopped(instance: dg.DagsterInstance, source: Source) -> str:
    """Why no sensor captions a source any more, until a person starts that; empty: they do."""
    runs = [record.dagster_run for record in runs_of(instance, LANE_JOB, LANE_KEYS, source.name)]
    waits = left_to_a_person(runs)
    return f"captions: {waits}" if waits else ""


def as_markdown(table: pa.Table) -> str:
    """The table for people."""
    if not table.num_rows:
        return "*no source takes part*"
    heads = "| " + " | ".join(HEADS.values()) + " |\n|" + " --- |" * len(HEADS)
    rows = ("| " + " | ".join(cell(line[name]) for name in HEADS) + " |" for line in lines(table))
    return "\n".join([heads, *rows])


def status_asset(location: Location) -> dg.AssetsDefinition:
    @dg.asset(
        group_name="operations",
        kinds={"parquet"},
        owners=OWNERS,
        description=f"{STATUS.description} `wavcaps status` prints the same; the schedule "
        "`status_each_morning` makes it once a day.",
        metadata=schema_metadata(STATUS),
    )
    @scoped(Scope(without=CAPTIONING))
    def status(
        context: dg.AssetExecutionContext, language_model: LanguageModelResource, store: StoreResource
    ) -> pa.Table:
        settings = location.settings.model_copy(update={"llm": language_model.settings()})
        # The step's own graph has the assets of its run only.
        graph = load_folder(wavcaps_assets.defs, location).resolve_asset_graph()
        table, room = status_of(context.instance, graph, store.tables(), location.sources, settings)
        context.add_output_metadata(
            {
                "sources tonight": dg.MetadataValue.md(as_markdown(table)),
                "budget left": dg.MetadataValue.text(room.budget),
                "disk left": dg.MetadataValue.text(room.disk),
            }
        )
        return table

    return status


def definitions(location: Location) -> dg.Definitions:
    job = dg.define_asset_job(
        STATUS_JOB,
        selection=dg.AssetSelection.assets("status"),
        description="Makes the table of the state of each source.",
        executor_def=dg.in_process_executor,
    )
    schedule = dg.ScheduleDefinition(
        name="status_each_morning",
        job=job,
        cron_schedule="30 5 * * *",
        execution_timezone="UTC",
        description="Makes the asset `status` each morning at 05:30 UTC. It costs a few seconds of one core.",
    )
    return dg.Definitions(assets=[status_asset(location)], jobs=[job], schedules=[schedule])
