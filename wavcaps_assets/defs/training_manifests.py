"""The training sets of the paper's experiments, one asset each."""

import json
from collections.abc import Sequence
from functools import partial

import dagster as dg

from wavcaps_assets.benchmark_sets.compose import compose
from wavcaps_assets.benchmark_sets.decontaminate import OverlapSettings
from wavcaps_assets.benchmark_sets.sets import SETS, TrainingSet
from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.checks.splits import check_evaluation_apart
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.previews import counts, preview
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.stage import Stage

# Overlaps inside a benchmark are few; the table of dropped clips has all that were removed.
SHOWN_OVERLAPS = 50


class OverlapConfig(dg.Config, OverlapSettings):
    """How clips that are in two splits are treated."""


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
    def training_manifest(
        context: dg.AssetExecutionContext, config: OverlapConfig, store: StoreResource
    ) -> Stage:
        composed = compose(training_set, store.tables(), config)
        if composed.overlaps.num_rows:
            context.log.warning(
                f"{composed.overlaps.num_rows} clips are in two splits, by their ids. The page of this "
                f"materialization names them; the setting `overlaps` is {config.overlaps.value}."
            )
        context.add_output_metadata(
            {
                "clips by split and source": dg.MetadataValue.md(
                    counts(composed.stage.kept, "split", "source")
                ),
                "clips in two splits": dg.MetadataValue.md(preview(composed.overlaps, rows=SHOWN_OVERLAPS)),
            }
        )
        return composed.stage

    return training_manifest


def training_manifest_checks() -> Sequence[dg.AssetChecksDefinition]:
    return [
        table_checks(
            ["training_manifest", name],
            None,
            evaluation_apart=(
                "No clip of the train split has the id of a validation or test clip.",
                partial(_evaluation_apart, name),
            ),
        )
        for name in SETS
    ]


def _evaluation_apart(name: str, tables: TableStore, _partition: str | None) -> CheckOutcome:
    key = ["training_manifest", name]
    settings = json.loads(tables.settings_of(key, WHOLE) or "{}")
    return check_evaluation_apart(tables.read(key, [WHOLE]), settings.get("overlaps"))


def definitions(location: Location) -> dg.Definitions:
    # The demo has no AudioCaps and no Clotho, which these are made with.
    if not location.live:
        return dg.Definitions()
    return dg.Definitions(assets=training_manifest_assets(), asset_checks=training_manifest_checks())
