"""The labelled sound events of the published clips."""

import dagster as dg
import pyarrow as pa

from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.checks.tables import check_only_published
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.publishing.strong_labels import frequent_labels, label_rows
from wavcaps_assets.show.previews import tally
from wavcaps_assets.tables import STRONG_LABELS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

KEY = ["strong_labels"]


def strong_labels_asset() -> dg.AssetsDefinition:
    @dg.asset(
        group_name="publish",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description="AudioSet's strong labels of the published clips, one row for each event: clip, start "
        "and end (s), class. Join it with the set by `clip_id`.",
        metadata=schema_metadata(STRONG_LABELS),
    )
    def strong_labels(context: dg.AssetExecutionContext, wavcaps: pa.Table) -> pa.Table:
        rows = label_rows(wavcaps)
        context.add_output_metadata(
            {
                "clips with events": len(rows.column("clip_id").unique()),
                "most frequent classes": dg.MetadataValue.md(tally(frequent_labels(rows), "events")),
            }
        )
        return rows

    return strong_labels


def _only_published(tables: TableStore, _: str | None) -> CheckOutcome:
    labels = tables.read(KEY, [WHOLE], ["clip_id"])
    return check_only_published(labels, tables.read(["wavcaps"], [WHOLE], ["clip_id"]))


def definitions(location: Location) -> dg.Definitions:
    checks = table_checks(
        KEY,
        None,
        unique=False,
        only_published=("Every event belongs to a clip of the published set.", _only_published),
    )
    return dg.Definitions(assets=[strong_labels_asset()], asset_checks=[checks])
