"""What a change of the data is worth."""

from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field, ValidationError

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.plots import as_markdown
from wavcaps_assets.show.previews import tally
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables.set_versions import DamagedSetVersion, UnknownSetVersion
from wavcaps_training.defs.common import OWNERS, Location, device, encoder_scope
from wavcaps_training.defs.embeddings import credit
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.tables import WORTH, WORTH_KEY
from wavcaps_training.worth.sides import BadSide, Each

# Errors that a retry only repeats, since a person asked for what there is not.
WRONG_QUESTIONS = (BadSide, DamagedSetVersion, UnknownSetVersion, ValidationError)


class WorthConfig(dg.Config):
    """What is compared with what."""

    before: str = Field(
        "",
        description="a version (`v3`), or a stage (`before_stage_1`, `after_stage_1`); then, if you like, "
        "`without source=freesound` (or licence, model, prompt, filter), and `with captions=raw`. Empty: the "
        "version before the newest one",
    )
    after: str = Field("", description="as `before`; empty: the newest version")
    each: Each = Field(
        Each.none,
        description="compare `after` with itself without each of its sources, filters, …, in a loop",
    )
    seeds: int = Field(8, description="how many seeds each side is trained with; at least two")
    references: str = Field(
        "before",
        description="whose captions the test clips are searched by: `before`, `after`, or another side. Both "
        "sides have the same ones",
    )
    settings: dict[str, Any] = Field(
        {}, description="settings of the model and its training to override, such as `{epochs: 30}`"
    )


def definitions(location: Location) -> dg.Definitions:
    @dg.asset(
        key=list(WORTH_KEY),
        deps=["wavcaps", *_embeddings(location)],
        group_name="scores",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        pool=GPU,
        retry_policy=gpu_retries(location.gpus.gpu_step_retries),
        description=f"{WORTH.description} Its page is in the store's folder worth/.",
        metadata={**schema_metadata(WORTH), **MAY_SHRINK, **credit(DEMO_EXPERIMENT)},
    )
    @scoped(encoder_scope(DEMO_EXPERIMENT))
    def worth(context: dg.AssetExecutionContext, config: WorthConfig, store: StoreResource) -> pa.Table:
        from wavcaps_training.worth.comparing import model_of
        from wavcaps_training.worth.job import Request, what_is_it_worth
        from wavcaps_training.worth.page import figure
        from wavcaps_training.worth.seed_runs import Machine

        tables = store.tables()
        request = Request(config.before, config.after, config.each.kind, config.references)
        machine = Machine(Settings().state / "worth", device())
        with final_errors(), logged_to(context), progress_bar("training", 0, "seeds") as bar:
            try:
                model = model_of(config.settings, config.seeds)
                found = what_is_it_worth(request, model, tables, machine, bar)
            except WRONG_QUESTIONS as error:
                raise dg.Failure(str(error), allow_retries=False) from error
        trained = [row for one in found.shown for row in one.deciding if row["seeds"]]
        first = found.shown[0]
        context.add_output_metadata(
            {
                "answer": dg.MetadataValue.text("\n".join(one.headline for one in found.shown)),
                "page": dg.MetadataValue.path(tables.store.describe(found.page)),
                "changed": dg.MetadataValue.md(tally(first.counts, "clips")),
                **({"differences": dg.MetadataValue.md(as_markdown(figure(trained)))} if trained else {}),
                **{
                    f"{row['metric']}, difference": dg.MetadataValue.float(row["difference"])
                    for row in first.deciding
                    if row["seeds"]
                },
                "what to know": dg.MetadataValue.text(
                    "\n".join((*first.cautions, *first.comparison.notes)) or "nothing was trained"
                ),
            }
        )
        return found.table

    return dg.Definitions(assets=[worth])


def _embeddings(location: Location) -> list[list[str]]:
    """The asset with the features of the clips, if there is one."""
    keys = {one.embeddings_key for one in location.experiments}
    return [list(key) for key in keys if key is not None and key == DEMO_EXPERIMENT.embeddings_key]
