"""The training manifest: the set, split so that every recording is in one part only."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.checks.splits import check_recordings_apart, check_split_kept
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import NetworkResource, StoreResource
from wavcaps_assets.defs.table_io_manager import ALLOW_FEWER_ROWS, refusal, schema_metadata
from wavcaps_assets.publishing.recordings import all_recordings, read_recordings, unknown_recordings
from wavcaps_assets.publishing.splits import (
    ASSIGNMENTS_KEY,
    SplitSettings,
    read_assignments,
    require_train,
    split_by_recording,
)
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.previews import counts, preview
from wavcaps_assets.tables import RECORDINGS, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE
from wavcaps_assets.tables.shrinking import FarFewerRows

# The table `split_assignments` has all clips that moved.
SHOWN_MOVES = 50


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
        description="The set with a fixed train, validation and test split by recording. Clips stay in "
        "their part of the split: the table `split_assignments` has it for every clip ever published.",
        metadata=schema_metadata(TRAINING_MANIFEST),
    )
    def training_manifest(
        context: dg.AssetExecutionContext,
        config: SplitConfig,
        wavcaps: pa.Table,
        recordings: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        tables = store.tables()
        with logged_to(context):
            assigned = read_assignments(tables, config.seed)
        split = split_by_recording(wavcaps, recordings, config, assigned, utc_now())
        if ALLOW_FEWER_ROWS not in context.run.tags:
            try:
                require_train(split, settings.smallest_share)
            except FarFewerRows as error:
                raise refusal(error) from error
        # Before the manifest: a run that is killed in between leaves clips that stay where they are.
        tables.write(ASSIGNMENTS_KEY, None, split.assignments)
        if split.moved.num_rows:
            context.log.warning(
                f"{split.moved.num_rows} clips moved to another part of the split, because they share a "
                "recording with clips there. Models that were trained before may have been trained on them."
            )
        unknown = unknown_recordings(split.manifest, recordings)
        if unknown:
            context.log.warning(unknown)
        context.add_output_metadata(
            {
                "clips by split and source": dg.MetadataValue.md(counts(split.manifest, "split", "source")),
                "unknown recordings": dg.MetadataValue.text(unknown or "none"),
                "recordings by split": dg.MetadataValue.md(
                    counts(split.manifest, "split", distinct="recording")
                ),
                "moved": dg.MetadataValue.int(split.moved.num_rows),
                "moved clips": dg.MetadataValue.md(preview(split.moved, rows=SHOWN_MOVES)),
            }
        )
        return split.manifest

    return [recordings, training_manifest]


def training_set_checks() -> Sequence[dg.AssetChecksDefinition]:
    return [
        table_checks(
            ["training_manifest"],
            None,
            lambda tables, _: tables.read(["wavcaps"], [WHOLE], ["clip_id"]),
            recordings_apart=(
                "No recording, and no identical audio, is in two parts of the split.",
                lambda tables, _: check_recordings_apart(
                    tables.read(["training_manifest"], [WHOLE], ["clip_id", "split"]),
                    tables.read(["recordings"], [WHOLE]),
                    tables.read(["wavcaps"], [WHOLE], ["clip_id", "samples_sha256"]),
                ),
            ),
            split_is_kept=(
                "Every clip is in the part of the split that is written down for it.",
                lambda tables, _: check_split_kept(
                    tables.read(["training_manifest"], [WHOLE], ["clip_id", "split"]),
                    tables.read(ASSIGNMENTS_KEY, [WHOLE], ["clip_id", "seed", "split"]),
                ),
            ),
        )
    ]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=training_set_assets(location.settings), asset_checks=training_set_checks())
