"""Human validation: a study is sampled, people rate it, and their answers are scored."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.plots import as_markdown
from wavcaps_assets.show.previews import counts, preview, tally
from wavcaps_assets.tables import VALIDATION_RATINGS, VALIDATION_SCORES, VALIDATION_STUDY
from wavcaps_assets.validation.figures import plot_scores, problems, raters_table, reasons_table, scores_table
from wavcaps_assets.validation.scores import score_study
from wavcaps_assets.validation.settings import RatingsSettings, ScoreSettings, StudySettings
from wavcaps_assets.validation.study_files import read_answers, write_study


class StudyConfig(dg.Config, StudySettings):
    """What the raters are shown."""


class RatingsConfig(dg.Config, RatingsSettings):
    """The folder of the raters' files."""


class ScoreConfig(dg.Config, ScoreSettings):
    """How scores are computed from the answers."""


def validation_assets() -> Sequence[dg.AssetsDefinition]:
    @dg.asset(
        group_name="validation",
        kinds={"html", "parquet"},
        owners=OWNERS,
        description="A sample of clips for people to rate, and the page for rating them (section III.D). "
        "Materialize it by hand; it is in no job.",
        metadata=schema_metadata(VALIDATION_STUDY),
    )
    def validation_study(
        context: dg.AssetExecutionContext, config: StudyConfig, wavcaps: pa.Table, store: StoreResource
    ) -> pa.Table:
        files = store.tables().store
        written = write_study(wavcaps, config, files)
        study = written.study
        shown = ["source", "duration_s", "caption", "second_caption"]
        metadata: dict[str, dg.MetadataValue] = {
            "page": dg.MetadataValue.path(files.describe(written.page)),
            "page size (bytes)": dg.MetadataValue.int(written.page_bytes),
            "study": dg.MetadataValue.text(study.study_id),
            "clips": dg.MetadataValue.int(study.key.num_rows),
            "clips by source": dg.MetadataValue.md(counts(study.key, "source")),
            "drawn": dg.MetadataValue.md(preview(study.key, shown, rows=20)),
            "not drawn": dg.MetadataValue.md(tally(study.excluded, "clips")),
            "without usable audio": dg.MetadataValue.md(problems(study.unusable)),
        }
        if written.second is not None:
            metadata["clips with second captions"] = dg.MetadataValue.int(len(written.second.by_clip))
            metadata["rows without a second caption"] = dg.MetadataValue.int(written.second.empty)
        context.add_output_metadata(metadata)
        return study.key

    @dg.asset(
        group_name="validation",
        kinds={"json", "parquet"},
        owners=OWNERS,
        description="The answers of all raters, from the files that they saved, with a reason for those that "
        "do not count. Materialize it by hand; it is in no job.",
        metadata=schema_metadata(VALIDATION_RATINGS),
    )
    def validation_ratings(
        context: dg.AssetExecutionContext,
        config: RatingsConfig,
        validation_study: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        answers = read_answers(validation_study, config, store.tables().store)
        context.add_output_metadata(
            {
                "raters": dg.MetadataValue.md(raters_table(answers.raters)),
                "not counted": dg.MetadataValue.md(reasons_table(answers.ratings)),
            }
        )
        return answers.ratings

    @dg.asset(
        group_name="validation",
        kinds={"parquet"},
        owners=OWNERS,
        description="Mean opinion score, shares of the options and agreement of the raters, with the paper's "
        "(section III.D, Figure 4). Materialize it by hand; it is in no job.",
        metadata=schema_metadata(VALIDATION_SCORES),
    )
    def validation_scores(
        context: dg.AssetExecutionContext, config: ScoreConfig, validation_ratings: pa.Table
    ) -> pa.Table:
        scores = score_study(validation_ratings, config)
        context.add_output_metadata(
            {
                "figure": dg.MetadataValue.md(as_markdown(plot_scores(scores))),
                "scores": dg.MetadataValue.md(scores_table(scores)),
            }
        )
        return scores

    return [validation_study, validation_ratings, validation_scores]


def validation_checks() -> Sequence[dg.AssetChecksDefinition]:
    return [
        table_checks(["validation_study"], None),
        *(table_checks([name], None, unique=False) for name in ("validation_ratings", "validation_scores")),
    ]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=validation_assets(), asset_checks=validation_checks())
