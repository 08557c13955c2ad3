"""The quality checks on this project's own tables, with all that the store knows of their captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from wavcaps_assets.checks.baseline import Baseline, version_of
from wavcaps_assets.checks.caption_set import Shown, caption_set
from wavcaps_assets.checks.figures import Result, Status
from wavcaps_assets.checks.quality import check_drift, check_quality, worst
from wavcaps_assets.checks.quality_settings import QualitySettings, load_settings
from wavcaps_assets.tables.asset_tables import TableStore

# Of what failed, in the message; a page of the UI has all of it.
SHOWN_FAILURES = 8


class UnfitSet(ValueError):
    """Captions that must not be published; says which checks failed, and what to do.

    Attributes:
        failed: what failed.
    """

    def __init__(self, said: str, failed: Sequence[Result]) -> None:
        super().__init__(said)
        self.failed = failed


@dataclass(frozen=True)
class Assessed:
    """What the quality checks found.

    Attributes:
        compared_with: the materialization that the drift is measured from, the last that passed; None:
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
) -> Assessed:
    """Holds the captions of a table of this project against the thresholds.

    Args:
        asset, partition: whose table it is, or will be.
        table: `tables.CAPTIONS` or `tables.MANIFEST`.
        baseline: what the drift is measured from.
        thresholds: a TOML file; empty: the defaults of `QualitySettings`.

    Raises:
        UnusableSettings: the file of thresholds cannot be used.
        StoreError: a table cannot be read.
    """
    wanted = partition and [partition]
    if "prompt_version" not in table.column_names:
        table = _with_prompt_versions(
            table, tables.read(["llm_captions"], wanted, ["clip_id", "prompt_version"])
        )
    dropped = [tables.read_dropped([stage], wanted) for stage in ("llm_captions", "captions")]
    before = baseline.before()
    results = check_quality(
        caption_set(table, dropped, prompts_shown(table)),
        _settings(thresholds),
        before,
    )
    return Assessed(results, None if before is None else version_of(before))


def require_quality(tables: TableStore, wavcaps: pa.Table, run_id: str, thresholds: str) -> None:
    """Raises where the set must not be published; for the set before it is written.

    A check of the set itself comes too late, and a manifest's blocks within its own run only.

    Args:
        wavcaps: the manifests of all sources, `tables.MANIFEST`.
        run_id: the run that would publish it.
        thresholds: as for `assess`.

    Raises:
        UnfitSet: a blocking check failed.
        As `assess`.
    """
    baseline = Baseline(tables.store, ["wavcaps"], None, run_id)
    results = assess(tables, "wavcaps", None, wavcaps, baseline, thresholds).results
    # A manifest may have slipped since the last one that passed, which need not have been published.
    passed = (Baseline(tables.store, ["manifest"], source, run_id).before() for source in _sources(wavcaps))
    before = [table for table in passed if table is not None]
    if before:
        results += check_drift(caption_set(wavcaps), _settings(thresholds), pa.concat_tables(before))
    failed = [result for result in results if result.status is Status.FAILED]
    if not failed:
        return
    told = [f"{result.check}: {result.said}" for result in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        told.append(f"and {len(failed) - SHOWN_FAILURES} more")
    raise UnfitSet(
        f"not published, and the set from before stays, since {len(failed)} blocking checks failed. "
        f"{'; '.join(told)}. Mend what they name (materialize captions and manifest of that source again), "
        "or, where the captions are as they should be, change the thresholds (WAVCAPS_QUALITY; "
        "docs/quality.md)",
        failed,
    )


def _settings(thresholds: str) -> QualitySettings:
    return load_settings(Path(thresholds) if thresholds else None)


def _sources(table: pa.Table) -> list[str]:
    return sorted(table.column("source").unique().to_pylist())


def prompts_shown(table: pa.Table) -> Shown:
    """What the models were shown besides the texts, of those prompts that a preset of today has.

    Args:
        table: with the columns `source` and `prompt_version`.
    """
    from wavcaps_assets.captioning.prompts import find_prompt
    from wavcaps_assets.captioning.second_questions import find_second_prompt

    pairs = table.select(["source", "prompt_version"]).group_by(["source", "prompt_version"]).aggregate([])
    found = {}
    for pair in pairs.to_pylist():
        source, version = pair["source"], pair["prompt_version"]
        prompt = version and (find_prompt(version, source) or find_second_prompt(version))
        if prompt:
            found[source, version] = prompt.shown
    return found


def _with_prompt_versions(captions: pa.Table, llm_captions: pa.Table) -> pa.Table:
    """The captions of stage 3 with the prompts of stage 2, which judged them too."""
    # Imported here: what loads the definitions imports this module, and need not wait for it.
    import pyarrow.compute as pc

    places = pc.index_in(captions.column("clip_id"), value_set=llm_captions.column("clip_id"))
    return captions.append_column("prompt_version", llm_captions.column("prompt_version").take(places))
