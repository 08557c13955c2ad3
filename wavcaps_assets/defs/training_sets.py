"""The training manifest: the set, split so that every recording is in one part only."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.checks.splits import check_recordings_apart
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import NetworkResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.publishing.splits import (
    SplitSettings,
    all_recordings,
    read_recordings,
    split_by_recording,
    unknown_recordings,
)
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.previews import counts
from wavcaps_assets.tables import RECORDINGS, TRAINING_MANIFEST


class SplitConfig(dg.Config, SplitSettings):
    """The sizes of the parts of the split."""


def training_set_assets(settings: Settings) -> Sequence[dg.AssetsDefinition]:
    @dg.asset(
        group_name="publish",
        kinds={"csv", "parquet"},
        owners=OWNERS,
        description="Clips that are known to come from the same recording: by the list of "
        "WAVCAPS_RECORDINGS_URL, and by their sources.",
        metadata=schema_metadata(RECORDINGS),
    )
    def recordings(wavcaps: pa.Table, network: NetworkResource) -> pa.Table:
        with network.client() as client:
            return all_recordings(read_recordings(settings.recordings_url, client), wavcaps)

    @dg.asset(
        group_name="publish",
        kinds={"parquet"},
        owners=OWNERS,
        description="The set with a fixed train, validation and test split by recording.",
        metadata=schema_metadata(TRAINING_MANIFEST),
    )
    def training_manifest(
        context: dg.AssetExecutionContext, config: SplitConfig, wavcaps: pa.Table, recordings: pa.Table
    ) -> pa.Table:
        table = split_by_recording(wavcaps, recordings, config)
        unknown = unknown_recordings(table, recordings)
        if unknown:
            context.log.warning(unknown)
        context.add_output_metadata(
            {
                "clips by split and source": dg.MetadataValue.md(counts(table, "split", "source")),
                "unknown recordings": dg.MetadataValue.text(unknown or "none"),
                "recordings by split": dg.MetadataValue.md(counts(table, "split", distinct="recording")),
            }
        )
        return table

    return [recordings, training_manifest]


def training_set_checks() -> Sequence[dg.AssetChecksDefinition]:
    return [
        table_checks(
            ["training_manifest"],
            None,
            lambda tables, _: tables.read(["wavcaps"]),
            recordings_apart=(
                "No recording, and no identical audio, is in two parts of the split.",
                lambda tables, _: check_recordings_apart(
                    tables.read(["training_manifest"]), tables.read(["recordings"]), tables.read(["wavcaps"])
                ),
            ),
        )
    ]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=training_set_assets(location.settings), asset_checks=training_set_checks())
