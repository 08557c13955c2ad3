"""Which checkpoints were trained on clips whose use was restricted since."""

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.show.previews import counts, tally
from wavcaps_assets.tables.asset_tables import WHOLE
from wavcaps_training.checkpoints.withdrawn import TrainedModel, by_checkpoint, find_withdrawn
from wavcaps_training.defs.common import OWNERS, Location
from wavcaps_training.tables import WITHDRAWN_CLIPS, WITHDRAWN_CLIPS_KEY


def definitions(location: Location) -> dg.Definitions:
    models = [
        TrainedModel(one.key, one.training_manifest == ("training_manifest",), one.start_key)
        for one in location.experiments
    ]

    @dg.asset(
        key=list(WITHDRAWN_CLIPS_KEY),
        deps=["wavcaps", *(list(model.key) for model in models)],
        group_name="training",
        kinds={"parquet"},
        owners=OWNERS,
        description=WITHDRAWN_CLIPS.description,
        metadata={**schema_metadata(WITHDRAWN_CLIPS), **MAY_SHRINK},
    )
    def withdrawn_clips(context: dg.AssetExecutionContext, store: StoreResource) -> pa.Table:
        table = find_withdrawn(store.tables(), models)
        context.add_output_metadata(
            {
                "clips by checkpoint": dg.MetadataValue.md(tally(by_checkpoint(table), "clips")),
                "changes": dg.MetadataValue.md(counts(table, "model", "setting", "change", "why")),
            }
        )
        return table

    @dg.asset_check(
        asset=list(WITHDRAWN_CLIPS_KEY),
        name="no_withdrawn_clips",
        description="No checkpoint was trained on a clip whose licence or preference does not permit a use "
        "any more, or which its source removed.",
    )
    def no_withdrawn_clips(store: StoreResource) -> dg.AssetCheckResult:
        counted = by_checkpoint(store.tables().read(WITHDRAWN_CLIPS_KEY, [WHOLE]))
        said = "; ".join(f"{name}: {number:,} clips" for name, number in counted.items())
        return dg.AssetCheckResult(
            passed=not counted,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{said}. Train again on a newer version, or ask the authors." if said else "none",
            metadata={name: dg.MetadataValue.int(number) for name, number in counted.items()},
        )

    return dg.Definitions(assets=[withdrawn_clips], asset_checks=[no_withdrawn_clips])
