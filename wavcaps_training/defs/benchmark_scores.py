"""The scores of every checkpoint on every benchmark: `scores/<task>/<benchmark>/<model>/<setting>`."""

from collections.abc import Iterator, Mapping

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.tables.asset_tables import WHOLE
from wavcaps_training.defs.common import OWNERS, Location, benchmark_scores_of, device, encoder_scope
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.scoring.shown import numbers_of, said_of
from wavcaps_training.scoring.task import BenchmarkScores, ScoringTask
from wavcaps_training.scoring.tasks import known_tasks


class ScoringConfig(dg.Config):
    """How a checkpoint is scored."""

    protocol: str = Field("", description="the protocol of the task, by its name; empty: its default")


def definitions(location: Location) -> dg.Definitions:
    tasks = known_tasks()
    ids_of = {source.name: source.ids_of for source in location.sources if source.ids_of is not None}
    return dg.Definitions(
        assets=[
            _scores(experiment, task, benchmark, ids_of, location.gpus.gpu_step_retries)
            for experiment, task, benchmark in benchmark_scores_of(location)
        ],
        jobs=[
            dg.define_asset_job(
                f"score_{task.name}_{benchmark}",
                selection=dg.AssetSelection.key_prefixes(["scores", task.name, benchmark]),
                description=f"Scores every checkpoint that there is on {benchmark}. {task.title}.",
            )
            for task in tasks
            for benchmark in task.benchmarks_for(location.settings.sources)
        ],
    )


def _scores(
    experiment: Experiment, task: ScoringTask, benchmark: str, ids_of: Mapping[str, str], retries: int
) -> dg.AssetsDefinition:
    started_from = [list(experiment.start_key)] if experiment.start_key else []

    @dg.asset(
        key=list(task.scores_key(benchmark, experiment.name)),
        ins={"clips": dg.AssetIn(key=["benchmark", benchmark])},
        deps=[list(experiment.key), *started_from, list(experiment.training_manifest)],
        group_name=f"scores_{task.name}",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        retry_policy=gpu_retries(retries),
        output_required=False,
        description=f"{task.title}: {experiment.name} on the test split of {benchmark}, with intervals, and "
        "whether it was trained on this benchmark. In a run with other assets, it is passed over if there is "
        "no such checkpoint yet.",
        metadata=schema_metadata(task.schema),
    )
    @scoped(encoder_scope(experiment))
    def benchmark_scores(
        context: dg.AssetExecutionContext, config: ScoringConfig, clips: pa.Table, store: StoreResource
    ) -> Iterator[dg.Output[pa.Table]]:
        from wavcaps_training.scoring.of_experiment import checkpoint_of
        from wavcaps_training.scoring.score import score_on_benchmark

        tables = store.tables()
        asked_for = context.run.asset_selection or ()
        if len(asked_for) != 1 and not tables.rows(experiment.key, WHOLE):
            context.log.warning(f"There is no checkpoint {experiment.name} yet: it is not scored.")
            return
        with final_errors(), logged_to(context), checkpoint_of(experiment, tables, ids_of) as subject:
            scores = score_on_benchmark(
                task, subject, (benchmark, clips), (tables.store, device()), config.protocol
            )
        if scores.partial:
            context.log.warning(f"The scores are {scores.partial}.")
        yield dg.Output(scores.table, metadata=scores_metadata(task, scores))

    return benchmark_scores


def scores_metadata(task: ScoringTask, scores: BenchmarkScores) -> Mapping[str, dg.MetadataValue]:
    """What the page of a materialization shows: figures, numbers that the UI plots over time, and of what."""
    numbers = {
        name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)
        for name, value in numbers_of(task, scores.table).items()
    }
    return {
        **{title: dg.MetadataValue.md(figure) for title, figure in scores.figures.items()},
        **numbers,
        **{name: dg.MetadataValue.text(text) for name, text in said_of(scores.table).items()},
        "how much of the benchmark": dg.MetadataValue.text(scores.partial or "all of it"),
    }
