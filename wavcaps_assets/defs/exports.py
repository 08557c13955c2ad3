"""The exports of the set: an asset for each format, and a job for all of them."""

import json
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field, create_model

from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.exports.description import ExportDescription
from wavcaps_assets.exports.export import Export, export
from wavcaps_assets.exports.exported_set import CURRENT, open_set
from wavcaps_assets.exports.format import ExportFormat
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.show.previews import tally
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.tables import EXPORTS
from wavcaps_assets.tables.stage import Stage

GROUP = "exports"
VERSION = "the published version: a name such as v3-1a2b3c4d, a number, or `latest` (`wavcaps versions`)"
SLICE = f"only the clips that may be used for a purpose: {', '.join(USES)}; empty: the whole version"
LISTED = 50


def export_asset(fmt: ExportFormat[Any]) -> dg.AssetsDefinition:
    config_class: Any = create_model(
        "ExportConfig",
        __base__=(dg.Config, fmt.settings),
        version=(str, Field(CURRENT, description=VERSION)),
        slice=(str, Field("", description=SLICE)),
    )

    @dg.asset(
        key=["export", fmt.name],
        deps=["wavcaps"],
        group_name=GROUP,
        kinds=set(fmt.kinds),
        owners=OWNERS,
        description=fmt.description,
        metadata=schema_metadata(EXPORTS),
    )
    def exported(context: dg.AssetExecutionContext, config: config_class, store: StoreResource) -> Stage:
        values = config.model_dump()
        wanted = open_set(store.tables().store, values.pop("version"), values.pop("slice"))
        with logged_to(context):
            done = export(wanted, fmt, fmt.settings.model_validate(values), utc_now())
        context.add_output_metadata(export_metadata(done))
        return Stage(export_row(done), done.description.left_out_table())

    return exported


def export_row(done: Export) -> pa.Table:
    """The asset's table, `tables.EXPORTS`."""
    about = done.description
    row = about.model_dump(include={"format", "slice", "clips", "bytes", "created"})
    return EXPORTS.from_rows(
        [
            {
                **row,
                "set_version": about.version,
                "folder": done.folder,
                "settings": json.dumps(about.settings, sort_keys=True),
                "left_out": len(about.left_out),
                "files": len(about.files),
            }
        ]
    )


def export_metadata(done: Export) -> dict[str, dg.MetadataValue]:
    """What was exported, for the asset's page."""
    about = done.description
    return {
        "version": dg.MetadataValue.text(about.version),
        "clips": dg.MetadataValue.int(about.clips),
        "bytes": dg.MetadataValue.int(about.bytes),
        "files": dg.MetadataValue.int(len(about.files)),
        "left out (clips)": dg.MetadataValue.int(len(about.left_out)),
        "folder": dg.MetadataValue.path(done.place),
        "written now": dg.MetadataValue.bool(done.new),
        "notes": dg.MetadataValue.md(tally(about.notes, "number")),
        "largest files": dg.MetadataValue.md(_largest(about)),
    }


def _largest(about: ExportDescription) -> str:
    files = sorted(about.files, key=lambda file: -file.bytes)[:LISTED]
    return tally({file.name: file.bytes for file in files}, "bytes")


def definitions(_location: Location) -> dg.Definitions:
    job = dg.define_asset_job(
        "export_all",
        selection=dg.AssetSelection.groups(GROUP),
        description="Exports the current version of the set in every format. What is exported already is "
        "not written again.",
    )
    return dg.Definitions(assets=[export_asset(fmt) for fmt in all_formats().values()], jobs=[job])
