"""Slices of the set by licence, consent and use: one asset for each intended use."""

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.show.previews import counts, tally
from wavcaps_assets.slices.attributions import write_attributions
from wavcaps_assets.slices.counts import clips_by_class
from wavcaps_assets.slices.select import EmptySlice, UnknownSource, make_slice, measures_of
from wavcaps_assets.slices.settings import SliceSettings
from wavcaps_assets.slices.uses import USES, IntendedUse
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE
from wavcaps_assets.tables.stage import Stage

GROUP = "slices"
PREFIX = "slice"


class SliceConfig(dg.Config, SliceSettings):
    """What a slice has besides its intended use."""


def slice_asset(use: IntendedUse) -> dg.AssetsDefinition:
    @dg.asset(
        key=[PREFIX, use.name],
        group_name=GROUP,
        kinds={"parquet"},
        owners=OWNERS,
        description=f"The clips that may be used for {use.title}, by their licences and their authors' "
        f"wishes, and why the others may not; with the credit lines as CSV and text. That is: "
        f"{use.description}. The rules are in docs/slices.md. They are no legal advice.",
        metadata={**schema_metadata(MANIFEST), **MAY_SHRINK},
    )
    def slice_of_set(
        context: dg.AssetExecutionContext, config: SliceConfig, wavcaps: pa.Table, store: StoreResource
    ) -> Stage:
        tables = store.tables()
        sources = pc.unique(wavcaps.column("source")).to_pylist()
        measures = measures_of(tables, sources) if config.needs_measures else None
        try:
            stage = make_slice(wavcaps, use, config, measures)
        except (EmptySlice, UnknownSource) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        files = write_attributions(tables.store, use.name, stage.kept)
        context.add_output_metadata(
            {
                "clips by class of licence": dg.MetadataValue.md(tally(clips_by_class(stage.kept), "clips")),
                "clips by source": dg.MetadataValue.md(counts(stage.kept, "source")),
                "attributions": dg.MetadataValue.path(tables.store.describe(files[0])),
                "attributions as text": dg.MetadataValue.path(tables.store.describe(files[1])),
            }
        )
        return stage

    return slice_of_set


def definitions(_location: Location) -> dg.Definitions:
    return dg.Definitions(
        assets=[slice_asset(use) for use in USES.values()],
        asset_checks=[
            table_checks(
                [PREFIX, use], None, lambda tables, _: tables.read(["wavcaps"], [WHOLE], ["clip_id"])
            )
            for use in USES
        ],
        jobs=[
            dg.define_asset_job(
                "slice",
                selection=dg.AssetSelection.groups(GROUP),
                description="Makes the slices of the set: which clips may be used for what.",
            )
        ],
    )
