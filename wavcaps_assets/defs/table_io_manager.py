"""Writes the tables of assets to the store and reads them, and describes and versions them for the UI."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode

from wavcaps_assets.defs.partitions import partition_of
from wavcaps_assets.defs.processes import tag_run
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.publishing.manifests import require_all_sources
from wavcaps_assets.show.previews import preview, reasons
from wavcaps_assets.store.errors import MissingFile
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.tables import schema_of
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.data_version import data_version
from wavcaps_assets.tables.shrinking import FarFewerRows, require_rows
from wavcaps_assets.tables.stage import Stage

# On a run, with any value: its tables may have far fewer rows than those that they replace.
ALLOW_FEWER_ROWS = "wavcaps/allow_fewer_rows"
# In an asset's metadata: its table may have far fewer rows in any run, since it is what is left of others.
MAY_SHRINK: Mapping[str, Any] = {"wavcaps/may_shrink": True}


class TableIOManager(dg.ConfigurableIOManager):
    """Keeps a `pyarrow.Table`, or a `Stage` of two, as Parquet under the asset's key and partition."""

    store: dg.ResourceDependency[StoreResource]
    smallest_share: float = 0.0

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Records where the run's process is, once per process; see `dead_runs`."""
        if context.run is not None and context.instance is not None:
            tag_run(context.instance, context.run.run_id)

    def handle_output(self, context: dg.OutputContext, obj: pa.Table | Stage) -> None:
        key = context.asset_key.path
        partition = partition_of(key, _node(context).partitions_def, context)
        tables = self.store.tables()
        assert context.step_context is not None
        if not MAY_SHRINK.items() <= (context.definition_metadata or {}).items():
            refuse_far_fewer_rows(
                context.step_context.dagster_run, tables, (key, partition), obj, self.smallest_share
            )
        size = tables.write(key, partition, obj)
        context.add_output_metadata({**outcome_metadata(obj), "size (bytes)": dg.MetadataValue.int(size)})
        context.add_output_metadata(_lineage(context))
        _set_data_version(context, obj)

    def load_input(self, context: dg.InputContext) -> pa.Table:
        partitions = context.asset_partition_keys if context.has_asset_partitions else [WHOLE]
        tables, key = self.store.tables(), context.asset_key.path
        if context.has_asset_partitions and not context.has_partition_key:
            # Of the sources: no asset without partitions has months as its input.
            require_all_sources(tables, key, list(partitions))
        try:
            return tables.read(key, partitions)
        except MissingFile as error:
            # A retry starts a process for seconds, and the table is still not there.
            raise dg.Failure(str(error), allow_retries=False) from error


def refuse_far_fewer_rows(
    run: dg.DagsterRun,
    tables: TableStore,
    place: tuple[Sequence[str], str | None],
    outcome: pa.Table | Stage,
    smallest_share: float,
) -> None:
    """Fails the step if its table has far fewer rows than the one that it replaces, unless the run says so.

    Args:
        place: the asset's key, and its partition.
        smallest_share: the least share of the old table's rows that is accepted (0 to 1).
    """
    if ALLOW_FEWER_ROWS in run.tags:
        return
    kept = outcome.kept if isinstance(outcome, Stage) else outcome
    try:
        require_rows(tables, *place, kept.num_rows, smallest_share)
    except FarFewerRows as error:
        raise refusal(error, outcome.dropped if isinstance(outcome, Stage) else None) from error


def refusal(error: FarFewerRows, dropped: pa.Table | None = None) -> dg.Failure:
    """The failure of a step whose table has far fewer rows, which says what a person can do."""
    return dg.Failure(
        f"{error} If the loss is right, run this again with the tag {ALLOW_FEWER_ROWS} (launchpad: "
        "Edit tags; command line: --tags), or set WAVCAPS_SMALLEST_SHARE.",
        {"dropped by reason": dg.MetadataValue.md(reasons(dropped))} if dropped is not None else {},
        allow_retries=False,
    )


def outcome_metadata(outcome: pa.Table | Stage) -> dict[str, dg.MetadataValue]:
    """Counts and the first rows."""
    kept = outcome.kept if isinstance(outcome, Stage) else outcome
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(kept.num_rows),
        "preview": dg.MetadataValue.md(preview(kept)),
    }
    if isinstance(outcome, Stage):
        metadata["dropped"] = dg.MetadataValue.int(outcome.dropped.num_rows)
        metadata["dropped by reason"] = dg.MetadataValue.md(reasons(outcome.dropped))
    return metadata


def schema_metadata(schema: TableSchema) -> dict[str, Any]:
    """A table's columns, for the asset's definition."""
    return {"dagster/column_schema": _columns(schema)}


@cache
def _columns(schema: TableSchema) -> dg.TableSchema:
    columns = [
        dg.TableColumn(
            name=column.name,
            type=str(column.type),
            description=column.description,
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable, unique=schema.key == (column.name,)
            ),
        )
        for column in schema.columns
    ]
    return dg.TableSchema(columns=columns)


def _set_data_version(context: dg.OutputContext, outcome: pa.Table | Stage) -> None:
    """Of the materialization of this output, unless its asset set one itself."""
    step, key = context.step_context, context.asset_key
    assert step is not None
    if not step.has_data_version(key):
        step.set_data_version(key, dg.DataVersion(data_version(key.path, outcome)))


def _node(context: dg.OutputContext) -> BaseAssetNode:
    assert context.step_context is not None
    return context.step_context.job_def.asset_layer.get(context.asset_key)


def _lineage(context: dg.OutputContext) -> Mapping[str, Any]:
    parents = sorted(_node(context).parent_keys)
    deps = {
        column.name: [
            dg.TableColumnDep(asset_key=parent, column_name=origin)
            for parent in parents
            for origin in column.origins
            if origin in schema_of(parent.path).arrow.names
        ]
        for column in schema_of(context.asset_key.path).columns
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=deps)}
