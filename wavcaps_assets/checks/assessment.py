"""The quality checks on this project's own tables, with everything the store knows about the captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from wavcaps_assets.captioning.presets import keeps_given
from wavcaps_assets.captioning.prompts import find_prompt
from wavcaps_assets.captioning.second_questions import find_second_prompt
from wavcaps_assets.checks.baseline import Baseline, version_of
from wavcaps_assets.checks.caption_set import Shown, caption_set
from wavcaps_assets.checks.figures import WHOLE, Band, Limits, Result, Status
from wavcaps_assets.checks.measures import UNREPAIRED
from wavcaps_assets.checks.quality import CAPTION_RULES, check_drift, check_quality, worst
from wavcaps_assets.checks.quality_settings import QualitySettings, load_settings
from wavcaps_assets.rules.time_rules import EVENT_ORDER
from wavcaps_assets.tables.asset_tables import TableStore

# Failures listed in the message; the UI has a page with all of them.
SHOWN_FAILURES = 8
# Checks of how captions are written, and not of whether they belong to their clips.
WORDING = frozenset(
    {"mean_words", "digits", "banned_words", UNREPAIRED, "named_entities", "no_verb", EVENT_ORDER}
    | {CAPTION_RULES, "unique", "near_duplicates", "most_frequent"}
)
# What stage 3's table lacks.
OF_STAGE_2 = ("prompt_version", "events")


class UnfitSet(ValueError):
    """Captions that must not be published. The message names the failed checks and what to do.

    Attributes:
        failed: the results beyond a blocking threshold.
    """

    def __init__(self, message: str, failed: Sequence[Result]) -> None:
        super().__init__(message)
        self.failed = failed


@dataclass(frozen=True)
class Assessed:
    """The results of the quality checks.

    Attributes:
        compared_with: the last materialization that passed, from which the drift is measured; None if
            none has passed before.
    """

    results: list[Result]
    compared_with: str | None

    @property
    def passed(self) -> bool:
        return worst(self.results) is not Status.FAILED


def assess(
    tables: TableStore,
    asset: str,
    partition: str | None,
    table: pa.Table,
    baseline: Baseline,
    thresholds: str,
    sources: Sequence[str],
) -> Assessed:
    """Compares the captions of a table of this project with the thresholds.

    Args:
        asset, partition: the asset that the table belongs to.
        table: `tables.CAPTIONS` or `tables.MANIFEST`.
        baseline: the captions from which the drift is measured.
        thresholds: a TOML file; empty: the defaults of `QualitySettings`.
        sources: the names of those that take part. What the store has of others does not count.

    Raises:
        UnusableSettings: the file of thresholds cannot be read, or has an unknown setting.
        StoreError: a table cannot be read.
    """

    def wanted(stage: str) -> list[str]:
        return [partition] if partition else [name for name in tables.partitions([stage]) if name in sources]

    if "prompt_version" not in table.column_names:
        columns = ["clip_id", *OF_STAGE_2]
        table = _with_stage_2(table, tables.read(["llm_captions"], wanted("llm_captions"), columns))
    dropped = [tables.read_dropped([stage], wanted(stage)) for stage in ("llm_captions", "captions")]
    before = baseline.before()
    results = check_quality(
        caption_set(table, dropped, prompts_shown(table)),
        _settings(thresholds),
        before,
    )
    given = [name for name in _sources(table) if keeps_given(tables, name)]
    return Assessed(_as_given(results, given), None if before is None else version_of(before))


def require_quality(
    tables: TableStore, wavcaps: pa.Table, run_id: str, thresholds: str, sources: Sequence[str]
) -> None:
    """Raises if the set must not be published. Call it before the set is written.

    An asset check of the set would come too late. A manifest's checks block only within their own run.

    Args:
        wavcaps: the manifests of all sources, `tables.MANIFEST`.
        run_id: the run that would publish it.
        thresholds, sources: as for `assess`.

    Raises:
        UnfitSet: a blocking check failed.
        UnusableSettings, StoreError: as `assess`.
    """
    baseline = Baseline(tables.store, ["wavcaps"], None, run_id)
    results = assess(tables, "wavcaps", None, wavcaps, baseline, thresholds, sources).results
    # The captions may be shifted against the last manifest that passed, even if that was not published.
    passed = (Baseline(tables.store, ["manifest"], source, run_id).before() for source in _sources(wavcaps))
    before = [table for table in passed if table is not None]
    if before:
        results += check_drift(caption_set(wavcaps), _settings(thresholds), pa.concat_tables(before))
    failed = [result for result in results if result.status is Status.FAILED]
    if not failed:
        return
    shown = [f"{result.check}: {result.summary}" for result in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        shown.append(f"and {len(failed) - SHOWN_FAILURES} more")
    raise UnfitSet(
        f"not published: {len(failed)} blocking checks failed, and the previous set is kept. "
        f"{'; '.join(shown)}. Fix the captions (materialize captions and manifest of that source again); "
        "if they are correct, change the thresholds (WAVCAPS_QUALITY; docs/quality.md)",
        failed,
    )


def _as_given(results: Sequence[Result], given: Sequence[str]) -> list[Result]:
    """The results, where the wording of captions that imported clips came with warns and does not block.

    Args:
        given: the sources whose captions are published as they came.
    """
    softened = {*given, WHOLE} if given else set[str]()
    return [
        replace(result, limits=Limits(warn=result.limits.error, error=Band()))
        if result.status is Status.FAILED and result.check in WORDING and result.scope in softened
        else result
        for result in results
    ]


def _settings(thresholds: str) -> QualitySettings:
    return load_settings(Path(thresholds) if thresholds else None)


def _sources(table: pa.Table) -> list[str]:
    return sorted(table.column("source").unique().to_pylist())


def prompts_shown(table: pa.Table) -> Shown:
    """What else the models were shown than the texts, for the prompts that a current preset has.

    Args:
        table: with the columns `source` and `prompt_version`.
    """
    pairs = table.select(["source", "prompt_version"]).group_by(["source", "prompt_version"]).aggregate([])
    found = {}
    for pair in pairs.to_pylist():
        source, version = pair["source"], pair["prompt_version"]
        prompt = version and (find_prompt(version, source) or find_second_prompt(version))
        if prompt:
            found[source, version] = prompt.shown
    return found


def _with_stage_2(captions: pa.Table, llm_captions: pa.Table) -> pa.Table:
    """The captions of stage 3, with the prompt versions and the labelled events of stage 2."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    places = pc.index_in(captions.column("clip_id"), value_set=llm_captions.column("clip_id"))
    for name in OF_STAGE_2:
        captions = captions.append_column(name, llm_captions.column(name).take(places))
    return captions
