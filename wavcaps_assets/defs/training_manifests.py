"""The training sets of the paper's experiments, one asset each."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.benchmark_sets.compose import compose
from wavcaps_assets.benchmark_sets.sets import SETS, TrainingSet
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.previews import counts, tally
from wavcaps_assets.tables import TRAINING_MANIFEST


def training_manifest_assets() -> Sequence[dg.AssetsDefinition]:
    return [_training_manifest(training_set) for training_set in SETS.values()]


def _training_manifest(training_set: TrainingSet) -> dg.AssetsDefinition:
    @dg.asset(
        key=["training_manifest", training_set.name],
        deps=[list(key) for key in training_set.upstream],
        group_name="training_sets",
        kinds={"parquet"},
        owners=OWNERS,
        description=f"{training_set.description}. No job materializes it; do it by hand.",
        metadata=schema_metadata(TRAINING_MANIFEST),
    )
    def training_manifest(context: dg.AssetExecutionContext, store: StoreResource) -> pa.Table:
        composed = compose(training_set, store.tables())
        context.add_output_metadata(
            {
                "clips by split and source": dg.MetadataValue.md(
                    counts(composed.manifest, "split", "source")
                ),
                "excluded, because they are in a benchmark": dg.MetadataValue.md(
                    tally(composed.excluded, "clips")
                ),
            }
        )
        return composed.manifest

    return training_manifest


def training_manifest_checks() -> Sequence[dg.AssetChecksDefinition]:
    return [table_checks(["training_manifest", name], None) for name in SETS]


def definitions(location: Location) -> dg.Definitions:
    # The demo has no AudioCaps and no Clotho, which these are made with.
    if not location.live:
        return dg.Definitions()
    return dg.Definitions(assets=training_manifest_assets(), asset_checks=training_manifest_checks())
