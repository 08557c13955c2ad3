"""The import of a set from the launchpad. Its sources are in the graph once it is loaded again."""

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.importing.importing import import_from
from wavcaps_assets.importing.settings import ImportSettings
from wavcaps_assets.importing.summary import summary
from wavcaps_assets.settings import Settings
from wavcaps_assets.tables import IMPORTED_SETS


class ImportConfig(dg.Config, ImportSettings):
    """The set to import: set `path` in the launchpad."""


@dg.asset(
    group_name="import",
    kinds={"parquet"},
    owners=OWNERS,
    description="The released WavCaps, or another set, as sources with their captions (docs/import.md). Run "
    "it by hand, with `path` in the launchpad; it is in no job. Then reload the code location: the sources "
    "appear. The same as `wavcaps import`.",
    metadata=schema_metadata(IMPORTED_SETS),
)
def imported_set(context: dg.AssetExecutionContext, config: ImportConfig, store: StoreResource) -> pa.Table:
    with logged_to(context):
        built, table = import_from(config, store.tables(), Settings().state)
    context.add_output_metadata({"what it has": dg.MetadataValue.text(summary(built))})
    return table


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=[imported_set])
