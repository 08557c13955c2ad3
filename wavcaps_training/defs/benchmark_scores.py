"""The scores of every checkpoint on every benchmark: `scores/<task>/<benchmark>/<model>/<setting>`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.code_versions import Scope, scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_training.defs.common import OWNERS, Location, benchmark_scores_of, device, encoder_scope
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.executor.passing_over import is_there, needs_table
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.paper.released import ReleasedModel
from wavcaps_training.scoring.shown import numbers_of, said_of
from wavcaps_training.scoring.task import BenchmarkScores, ScoringTask
from wavcaps_training.scoring.tasks import known_tasks


class ScoringConfig(dg.Config):
    """How a checkpoint is scored."""

    protocol: str = Field("", description="the protocol of the task, by its name; empty: its default")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that gets scores.

    Attributes:
        key: of its asset.
        scope: the code of its audio encoder.
        made_of: the keys of the assets that say what it was trained on.
    """

    key: tuple[str, ...]
    scope: Scope
    made_of: tuple[tuple[str, ...], ...] = ()

    @property
    def name(self) -> str:
        """Its model and its setting, such as `htsat_bert/zero_shot`."""
        return "/".join(self.key[1:])


def definitions(location: Location) -> dg.Definitions:
    tasks = known_tasks()
    ids_of = {source.name: source.ids_of for source in location.sources if source.ids_of is not None}
    return dg.Definitions(
        assets=[
            _scores(checkpoint, task, benchmark, ids_of, location.gpus.gpu_step_retries)
            for checkpoint, task, benchmark in _scored(location)
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


def _scored(location: Location) -> Iterator[tuple[Checkpoint, ScoringTask, str]]:
    """What is scored: a checkpoint, at a task, on a benchmark."""
    checkpoints: dict[tuple[str, ...], Checkpoint] = {}
    for scored, task, benchmark in benchmark_scores_of(location):
        if scored.key not in checkpoints:
            checkpoints[scored.key] = _checkpoint(scored)
        yield checkpoints[scored.key], task, benchmark


def _checkpoint(scored: Experiment | ReleasedModel) -> Checkpoint:
    made_of: tuple[tuple[str, ...], ...] = ()
    if isinstance(scored, Experiment):
        start = (scored.start_key,) if scored.start_key else ()
        made_of = (*start, scored.training_manifest)
    return Checkpoint(scored.key, encoder_scope(scored), made_of)


def _scores(
    checkpoint: Checkpoint, task: ScoringTask, benchmark: str, ids_of: Mapping[str, str], retries: int
) -> dg.AssetsDefinition:
    @dg.asset(
        key=list(task.scores_key(benchmark, checkpoint.name)),
        ins={"clips": dg.AssetIn(key=["benchmark", benchmark])},
        deps=[list(key) for key in (checkpoint.key, *checkpoint.made_of)],
        group_name=f"scores_{task.name}",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags={**gpu_tags(1), **needs_table(checkpoint.key)},
        pool=GPU,
        retry_policy=gpu_retries(retries),
        output_required=False,
        description=f"{task.title}: {checkpoint.name} on the test split of {benchmark}, with intervals, and "
        "whether it was trained on this benchmark. In a run with other assets, it is passed over if there is "
        "no such checkpoint yet.",
        metadata=schema_metadata(task.schema),
    )
    @scoped(checkpoint.scope)
    def benchmark_scores(
        context: dg.AssetExecutionContext, config: ScoringConfig, clips: pa.Table, store: StoreResource
    ) -> Iterator[dg.Output[pa.Table]]:
        from wavcaps_training.scoring.score import score_on_benchmark
        from wavcaps_training.scoring.stored import checkpoint_at

        tables = store.tables()
        asked_for = context.run.asset_selection or ()
        if len(asked_for) != 1 and not is_there(tables, checkpoint.key):
            context.log.warning(f"There is no checkpoint {checkpoint.name} yet: it is not scored.")
            return
        with final_errors(), logged_to(context), checkpoint_at(checkpoint.key, tables, ids_of) as subject:
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
