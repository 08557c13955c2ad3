"""The report: one page from all tables."""

import hashlib

import dagster as dg

from wavcaps_assets.defs.common import PARTITION_TAG
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.store.row_hash import LENGTH
from wavcaps_assets.tables import analysis
from wavcaps_training.defs.common import OWNERS, Location
from wavcaps_training.paper.models import Stage
from wavcaps_training.report.data import RunFacts, StepTime
from wavcaps_training.report.render import REPORT, write_report
from wavcaps_training.tables import (
    PAPER_COMPARISON_KEY,
    QUERY_SCORES_FOLDER,
    RETRIEVAL_SCORES_KEY,
    SEED_SCORES_KEY,
)

# More than one pass over all sources needs; older runs belong to earlier passes.
RUNS_READ = 400


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=[report_asset(location)])


def report_asset(location: Location) -> dg.AssetsDefinition:
    @dg.asset(
        deps=[
            "wavcaps",
            "status",
            list(location.scored.training_manifest),
            list(location.scored.key),
            list(RETRIEVAL_SCORES_KEY),
            list(PAPER_COMPARISON_KEY),
            [QUERY_SCORES_FOLDER, *location.scored.key[1:]],
            *([list(SEED_SCORES_KEY)] if location.scored.stage is Stage.DEMO else []),
            *(["analysis", schema.name] for schema in analysis.TABLES),
        ],
        group_name="scores",
        kinds={"html"},
        owners=OWNERS,
        description="One self-contained page: the state of the sources, the funnel, captions, distributions, "
        "the learning curve, the scores, times and sizes.",
    )
    def report(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
        settings, tables = location.settings, store.tables()
        titles = {source.name: source.title for source in location.sources}
        made_of = [titles.get(name, name) for name in tables.sources_of(["wavcaps"])]
        facts = RunFacts(
            corpus=settings.corpus_note,
            times=step_times(context.instance),
            settings={
                "Sources": settings.sources.value,
                "Sources of the set": ", ".join(made_of) or "not known",
                "Language model": settings.llm.model,
            },
        )
        size = write_report(tables, location.sources, location.scored, facts)
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.path(tables.store.describe(REPORT)),
                "size (bytes)": dg.MetadataValue.int(size),
            },
            # It shows how long each step took, so every page is another one. Nothing is made from it.
            data_version=dg.DataVersion(hashlib.sha256(tables.store.read_bytes(REPORT)).hexdigest()[:LENGTH]),
        )

    return report


def step_times(instance: dg.DagsterInstance) -> tuple[StepTime, ...]:
    """How long each step took when it last succeeded, in the order in which they ran."""
    times: dict[str, tuple[float, StepTime]] = {}
    finished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
    for run in instance.get_runs(finished, limit=RUNS_READ):
        partition = run.tags.get(PARTITION_TAG)
        for step in instance.get_run_step_stats(run.run_id):
            if step.start_time is None or step.end_time is None or step.step_key.startswith("check_"):
                continue
            name = step.step_key.replace("__", "/") + (f" [{partition}]" if partition else "")
            # The newest run comes first.
            times.setdefault(name, (step.start_time, StepTime(name, step.end_time - step.start_time)))
    return tuple(time for _, time in sorted(times.values(), key=lambda entry: entry[0]))
