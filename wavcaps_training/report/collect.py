"""Reads a report's data from the store; what does not exist yet is left out."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.analysis.words import Lexicon, texts_of
from wavcaps_assets.clock import utc_now
from wavcaps_assets.publishing.changelog import of_kind
from wavcaps_assets.show.text import shown
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.storage import Store
from wavcaps_assets.store.stored_file import StoredFile, usage_of
from wavcaps_assets.tables.asset_tables import TableStore, set_version_of
from wavcaps_assets.tables.set_versions import SetVersions
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.models import RETRIEVAL, Stage
from wavcaps_training.paper.stored_scores import StoredScores, read_scores
from wavcaps_training.report.analysis import read_analysis
from wavcaps_training.report.benchmark_scores import benchmark_tables, read_benchmark_scores, score_keys
from wavcaps_training.report.comparison import lay_out, lay_out_texts, outdated
from wavcaps_training.report.data import (
    Counted,
    Example,
    Published,
    ReportData,
    RunFacts,
    Score,
    Scores,
    SeedMean,
    Seeds,
    SetChange,
    SetHistory,
    Size,
    Training,
)
from wavcaps_training.report.field import field_lines
from wavcaps_training.report.funnel import make_funnels
from wavcaps_training.report.generated_sounds import read_generated_sounds
from wavcaps_training.report.short_queries import read_short_queries
from wavcaps_training.report.sound import excerpt
from wavcaps_training.report.status import read_status
from wavcaps_training.report.stories import read_stories
from wavcaps_training.tables import PAPER_COMPARISON_KEY, RETRIEVAL_SCORES_KEY, SEED_SCORES_KEY

EXAMPLES_PER_SOURCE = 8
VERSIONS_SHOWN = 10
OF_SETS = ("trained_on_version", "scored_on_version")
# Packages whose version can change a figure of the report.
PACKAGES = (
    "wavcaps-on-dagster",
    "dagster",
    "duckdb",
    "numpy",
    "openai",
    "pyarrow",
    "soundfile",
    "soxr",
    "spacy",
    "torch",
    "torchaudio",
    "transformers",
)


def collect(
    tables: TableStore, sources: Sequence[Source], experiment: Experiment, run: RunFacts | None = None
) -> ReportData:
    """Everything that the report shows.

    Args:
        tables: the store's tables, each of which may be missing.
        sources: the sources, in the order of the report.
        experiment: whose checkpoint and scores are shown.
        run: facts about the run that are not in the store.

    Raises:
        StoreError: a table exists and cannot be read.
    """
    wavcaps, retrieval = tables.read(["wavcaps"]), tables.read(RETRIEVAL_SCORES_KEY)
    comparison, files = tables.read(PAPER_COMPARISON_KEY), list(tables.store.files())
    on_benchmarks = read_benchmark_scores(tables, score_keys(files))
    return ReportData(
        written=utc_now(),
        run=run or RunFacts(),
        status=read_status(tables),
        funnels=make_funnels(tables, sources),
        published=_published(wavcaps, sources, tables.store),
        models=_count(wavcaps.column("model").to_pylist()),
        licences=_count(wavcaps.column("licence_id").to_pylist()),
        authors=len({author for author in wavcaps.column("author").to_pylist() if author}),
        training=_training(tables.read(experiment.key)),
        scores=_scores(tables, RETRIEVAL_SCORES_KEY, experiment, set_version_of(wavcaps)),
        seeds=_seeds(tables.read(SEED_SCORES_KEY), retrieval, experiment),
        other_scores=_other_scores(tables, experiment, set_version_of(wavcaps)),
        benchmarks=benchmark_tables(on_benchmarks),
        short_queries=read_short_queries(tables, files, set_version_of(wavcaps)),
        generated=read_generated_sounds(tables, files, wavcaps),
        paper=lay_out(comparison),
        paper_texts=lay_out_texts(comparison),
        paper_outdated=outdated(comparison, on_benchmarks),
        in_the_field=field_lines(),
        sizes=_sizes(files),
        analysis=read_analysis(tables),
        stories=read_stories(tables, sources, wavcaps),
        set_history=_set_history(tables.store),
        versions=_versions(),
    )


def _published(wavcaps: pa.Table, sources: Sequence[Source], store: Store) -> tuple[Published, ...]:
    described = []
    for source in sources:
        clips = wavcaps.filter(pc.equal(wavcaps.column("source"), source.name)).sort_by("clip_id")
        if not clips.num_rows:
            continue
        every = -(-clips.num_rows // EXAMPLES_PER_SOURCE)
        examples = clips.take(list(range(0, clips.num_rows, every))).to_pylist()
        described.append(
            Published(
                title=source.title,
                durations_s=tuple(clips.column("duration_s").to_pylist()),
                words=tuple(Lexicon().read(texts_of(clips.column("caption"))).lengths.tolist()),
                examples=tuple(
                    Example(
                        clip["clip_id"],
                        shown(clip["text"]),
                        shown(clip["caption"]),
                        shown(clip["author"]),
                        shown(clip["licence"]),
                        clip["duration_s"],
                        excerpt(store, clip["audio_path"]),
                    )
                    for clip in examples
                ),
                every=every,
            )
        )
    return tuple(described)


def _count(names: Iterable[str]) -> tuple[Counted, ...]:
    return tuple(Counted(shown(name), clips) for name, clips in Counter(names).most_common())


def _training(checkpoint: pa.Table) -> Training | None:
    if not checkpoint.num_rows:
        return None
    row = checkpoint.to_pylist()[0]
    row["learning_curve"] = tuple(row["learning_curve"])
    return Training(**{field.name: row[field.name] for field in fields(Training)})


def _scores(
    tables: TableStore, key: Sequence[str], experiment: Experiment, published: str | None
) -> Scores | None:
    """The scores of an experiment's checkpoint on the test split of its training manifest.

    Args:
        published: the version of the set that is published now; None: not known.
    """
    # Its package imports torch, which definitions do not need.
    from wavcaps_training.data.manifest_version import rows_sha256

    stored = read_scores(tables, key, experiment.key)
    if stored is None:
        return None
    values: dict[str, dict[str, dict[str, Score]]] = {}
    for row in stored.rows:
        models = values.setdefault(row["direction"], {})
        models.setdefault(row["model"], {})[row["metric"]] = Score(row["value"], row["low"], row["high"])
    manifest = tables.read(experiment.training_manifest)
    test = manifest.filter(pc.equal(manifest.column("split"), "test"))
    captions = Counter(test.column("caption").to_pylist())
    sharing = sum(clips for clips in captions.values() if clips > 1)
    about = next(iter(stored.trained), stored.rows[0])
    # The captions of now may not be those that were searched by.
    same = about["scored_on_sha256"] in (None, rows_sha256(manifest))
    trained_on, scored_on = about["trained_on_version"], about["scored_on_version"]
    return Scores(
        stored.rows[0]["clips"],
        values,
        sharing if test.num_rows and same else None,
        # Older tables do not say how many clips were left out.
        stored.rows[0]["unreadable"] or 0,
        stored.stale,
        shown(about["protocol"] or ""),
        about["recordings"],
        (trained_on, scored_on) if trained_on and scored_on else None,
        _other_set(stored, experiment, published),
    )


def _other_set(stored: StoredScores, experiment: Experiment, published: str | None) -> str:
    """A sentence if the set was published again since; empty: it was not, or not known."""
    about = next(iter(stored.trained), stored.rows[0])
    of = dict.fromkeys(version for name in OF_SETS if (version := about[name]) is not None)
    if published is None or not of or [*of] == [published]:
        return ""
    return (
        f"The set is {published} now, and this score is of {' and '.join(of)}: materialize "
        f"{'/'.join(experiment.key)} and {'/'.join(stored.key)} again for one of {published}."
    )


def _seeds(scores: pa.Table, retrieval: pa.Table, experiment: Experiment) -> Seeds | None:
    """The scores over several seeds, if they are of the weights and the test split of `retrieval`."""
    names = ("checkpoint", "weights_sha256", "scored_on_sha256")
    scored = {tuple(row[name] for name in names) for row in retrieval.to_pylist() if row["weights_sha256"]}
    rows = [
        row
        for row in scores.to_pylist()
        if row["checkpoint"] == experiment.name and tuple(row[name] for name in names) in scored
    ]
    if not rows:
        return None
    seeds = tuple(dict.fromkeys(row["seed"] for row in rows if row["seed"] is not None))
    values: dict[str, dict[str, tuple[float, ...]]] = {}
    means: dict[str, dict[str, SeedMean]] = {}
    for row in rows:
        direction, metric = row["direction"], row["metric"]
        if row["seed"] is None:
            mean = SeedMean(row["value"], row["low"], row["high"], row["deviation"])
            means.setdefault(direction, {})[metric] = mean
        else:
            of_metric = values.setdefault(direction, {})
            of_metric[metric] = (*of_metric.get(metric, ()), row["value"])
    return Seeds(seeds, values, means)


def _other_scores(tables: TableStore, experiment: Experiment, published: str | None) -> dict[str, Scores]:
    """The scores of the demo's other experiments on the same split, by the experiments' names."""
    others = [
        one
        for one in EXPERIMENTS
        if one.stage is Stage.DEMO and one.model.task is RETRIEVAL and one.name != experiment.name
    ]
    found = {
        one.name: _scores(tables, one.scores_key, one, published)
        for one in others
        if experiment.stage is Stage.DEMO
    }
    return {name: scores for name, scores in found.items() if scores is not None}


def _set_history(store: Store) -> SetHistory | None:
    known = SetVersions(store)
    names = known.names()
    if not names:
        return None
    versions = tuple(known.about(name) for name in reversed(names[-VERSIONS_SHOWN:]))
    changes = known.changes(versions[0])
    examples = {
        kind: tuple(
            SetChange(row["clip_id"], shown(row["before"]), shown(row["after"]), row["why"] or "")
            for row in of_kind(changes, kind, EXAMPLES_PER_SOURCE).to_pylist()
        )
        for kind in ("recaptioned", "removed", "added", "relicensed")
    }
    return SetHistory(versions, len(names), examples)


def _sizes(files: Sequence[StoredFile]) -> tuple[Size, ...]:
    return tuple(Size(folder, count, size) for folder, (count, size) in usage_of(files).items())


def _versions() -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
