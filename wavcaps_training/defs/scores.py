"""The scores of the checkpoints, and the paper's figures beside them."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source
from wavcaps_training.defs.checkpoints import OWNERS, device
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.tables import PAPER_COMPARISON, RETRIEVAL_SCORES


def score_assets(
    experiment: Experiment, sources: Sequence[Source], settings: Settings
) -> list[dg.AssetsDefinition]:
    @dg.asset(
        key=["scores", "retrieval"],
        ins={
            "training_manifest": dg.AssetIn(key=list(experiment.training_manifest)),
            "checkpoint": dg.AssetIn(key=["checkpoint", experiment.model, experiment.setting]),
        },
        group_name="scores",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        retry_policy=gpu_retries(settings.gpu_step_retries),
        description="Audio-language retrieval on the test split: R@k both ways (section IV.A, Table V), "
        "beside chance and beside the model before training.",
        metadata=schema_metadata(RETRIEVAL_SCORES),
    )
    def retrieval(
        context: dg.AssetExecutionContext,
        training_manifest: pa.Table,
        checkpoint: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_assets.show.plots import as_markdown, grouped_bars
        from wavcaps_training.evaluation.scores import score_checkpoint

        with final_errors():
            scores = score_checkpoint(training_manifest, checkpoint, store.tables().store, device())
        bars: dict[str, dict[str, float]] = {}
        for row in scores.to_pylist():
            way = "text to audio" if row["direction"] == "text_to_audio" else "audio to text"
            bars.setdefault(f"{way}\n{row['metric']}", {})[row["model"]] = row["value"]
        context.add_output_metadata(
            {"recall": dg.MetadataValue.md(as_markdown(grouped_bars(bars, "recall (%)")))}
        )
        return scores

    @dg.asset(
        ins={"wavcaps": dg.AssetIn(), "scores": dg.AssetIn(key=["scores", "retrieval"])},
        deps=[[source.name, "raw_clips"] for source in sources],
        group_name="scores",
        kinds={"parquet"},
        owners=OWNERS,
        description="The paper's Tables III and V beside what was measured, and what may not be compared.",
        metadata=schema_metadata(PAPER_COMPARISON),
    )
    def paper_comparison(wavcaps: pa.Table, scores: pa.Table, store: StoreResource) -> pa.Table:
        from wavcaps_training.paper.comparison import compare

        tables = store.tables()
        raw = {source.name: tables.read([source.name, "raw_clips"]) for source in sources}
        return compare(raw, wavcaps, scores)

    return [retrieval, paper_comparison]
