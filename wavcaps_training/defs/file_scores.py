"""Any checkpoint, scored by the path of its file."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables.asset_tables import WHOLE
from wavcaps_training.defs.common import OWNERS, Location, device
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.scoring.shown import as_lines
from wavcaps_training.tables import FILE_SCORES, FILE_SCORES_KEY


class FileConfig(dg.Config):
    """Which checkpoint is scored, and on what."""

    path: str = Field(
        "",
        description="a safetensors file of this project, the folder of a training run, or a released .pt "
        "file",
    )
    benchmarks: list[str] = Field([], description="benchmarks by name; none: all that are in the store")
    protocol: str = Field("", description="the protocol of the task, by its name; empty: its default")
    text_folder: str = Field(
        "",
        description="for a released file: a folder with bert-base-uncased's or bart-base's configuration and "
        "tokenizer",
    )
    settings: dict[str, Any] = Field(
        {}, description="for a released file of another size: settings of its model, nested"
    )


def definitions(location: Location) -> dg.Definitions:
    ids_of = {source.name: source.ids_of for source in location.sources if source.ids_of is not None}

    @dg.asset(
        key=list(FILE_SCORES_KEY),
        group_name="scores",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        pool=GPU,
        retry_policy=gpu_retries(location.gpus.gpu_step_retries),
        description="Checkpoints that were scored by the paths of their files: give `path` in the launchpad. "
        "Rows of the same weights are replaced, and others stay.",
        metadata={**schema_metadata(FILE_SCORES), **MAY_SHRINK},
    )
    def file_scores(context: dg.AssetExecutionContext, config: FileConfig, store: StoreResource) -> pa.Table:
        from wavcaps_training.scoring.files import Request, add_to, score_file

        tables = store.tables()
        text_folder = Path(config.text_folder) if config.text_folder else None
        request = Request(Path(config.path), config.benchmarks, config.protocol, text_folder, config.settings)
        with final_errors(), logged_to(context), progress_bar("scoring", 0, "benchmarks") as bar:
            found = score_file(request, tables, device(), ids_of, bar)
        for name, why in found.not_scored.items():
            context.log.warning(f"{name} was not scored: {why}")
        lines = [line for task, name, scores in found.scored for line in (*as_lines(task, name, scores), "")]
        context.add_output_metadata({"scores": dg.MetadataValue.md("\n".join(["```", *lines, "```"]))})
        there = tables.exists(FILE_SCORES_KEY, None)
        before = tables.read(FILE_SCORES_KEY, [WHOLE]) if there else FILE_SCORES.empty()
        return add_to(before, found)

    return dg.Definitions(
        assets=[file_scores],
        jobs=[
            dg.define_asset_job(
                "score_file",
                selection=dg.AssetSelection.assets(list(FILE_SCORES_KEY)),
                description="Scores any checkpoint by its path: give `path` in the launchpad.",
            )
        ],
    )
