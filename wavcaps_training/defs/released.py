"""The checkpoints that the paper's authors released: `checkpoint/released/<name>`."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_training.defs.common import OWNERS, Location, encoder_scope
from wavcaps_training.defs.retries import final_errors
from wavcaps_training.paper.released import SOURCE, ReleasedModel
from wavcaps_training.paper.tables.reported import reported_figures
from wavcaps_training.settings.released import VARIABLE, ReleasedSettings
from wavcaps_training.tables import CHECKPOINT


class ReleasedConfig(dg.Config):
    """Where a released checkpoint is."""

    folder: str = Field("", description=f"folder of the released files; empty: that of {VARIABLE}")
    file: str = Field("", description="the name of the file; empty: the name that it was released under")
    text_folder: str = Field(
        "",
        description="folder with the configuration and the tokenizer of bert-base-uncased, or of bart-base "
        "for a captioner; empty: the folder of that name beside the file, or else bert-base-uncased's",
    )
    settings: dict[str, Any] = Field(
        {},
        description="settings of the model that differ from the released ones, nested as in the checkpoint's "
        "settings",
    )


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=[_checkpoint(released) for released in location.released])


def _checkpoint(released: ReleasedModel) -> dg.AssetsDefinition:
    @dg.asset(
        key=list(released.key),
        group_name="training",
        kinds={"pytorch", "safetensors"},
        owners=OWNERS,
        description=f"{released.description}. It is read from the file {released.file}, without running any "
        "code in it, and copied into the store. Then it is scored and searched like a checkpoint of an own "
        "training.",
        metadata={
            **schema_metadata(CHECKPOINT),
            "the paper's": dg.MetadataValue.md(reported_figures(released.reported_in, released.reported_on)),
            "source": dg.MetadataValue.url(SOURCE),
        },
    )
    @scoped(encoder_scope(released))
    def released_checkpoint(
        context: dg.AssetExecutionContext, config: ReleasedConfig, store: StoreResource
    ) -> pa.Table:
        from wavcaps_training.scoring.released import register_released, released_file

        opened = store.tables().store
        with final_errors(), logged_to(context):
            folder = config.folder or ReleasedSettings().released_checkpoints
            file = released_file(released, folder, config.file)
            text_folder = Path(config.text_folder) if config.text_folder else None
            table = register_released(released, file, opened, text_folder, config.settings)
        (row,) = table.to_pylist()
        context.add_output_metadata(
            {
                "file": dg.MetadataValue.path(str(file)),
                "weights": dg.MetadataValue.path(opened.describe(row["weights_path"])),
                "parameters": row["parameters"],
                "epoch": row["best_epoch"],
            }
        )
        return table

    return released_checkpoint
