"""The quality checks of captions, on the table of each source and on the whole set.

The command `wavcaps check` does the same for any manifest. A figure beyond its threshold `error` blocks what
is downstream. One beyond `warn` is shown in the UI and does not block.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from wavcaps_assets.checks.assessment import assess
from wavcaps_assets.checks.baseline import Baseline
from wavcaps_assets.checks.figures import Result, Status
from wavcaps_assets.checks.quality import CHECKS, DRIFT, worst
from wavcaps_assets.checks.render import examples_table, results_table
from wavcaps_assets.defs.checks import selected, table_checks, upstream_of
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.partitions import partition_of, source_partitions
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import WHOLE

# Faults that tables of this project cannot have: their schema is checked when they are written.
OF_FOREIGN_FILES = frozenset({"unreadable", "repeated_ids"})
# For a table without a materialization in the event log.
UNKNOWN_RUN = "unknown"
MEASURED = {name: description for name, description in CHECKS.items() if name not in OF_FOREIGN_FILES}


def caption_checks(sources: Sequence[Source], thresholds: str) -> Sequence[dg.AssetChecksDefinition]:
    """The checks of `captions`, and the quality checks of everything that is published.

    Args:
        thresholds: a TOML file; empty: the defaults of `QualitySettings`.
    """
    by_source, names = source_partitions(sources), [source.name for source in sources]
    return [
        table_checks(["captions"], by_source, upstream_of("llm_captions")),
        *(quality_checks(asset, by_source, thresholds) for asset in ("captions", "manifest")),
        quality_checks("wavcaps", None, thresholds, names),
    ]


def quality_checks(
    asset: str, partitions: dg.PartitionsDefinition | None, thresholds: str, sources: Sequence[str] = ()
) -> dg.AssetChecksDefinition:
    """All quality checks of an asset, from one pass over its table.

    Args:
        thresholds: a TOML file; empty: the defaults of `QualitySettings`.
        sources: for the whole set: the names of the sources that it is made of.
    """
    specs = [
        dg.AssetCheckSpec(
            name, asset=asset, blocking=True, description=description, partitions_def=partitions
        )
        for name, description in MEASURED.items()
    ]

    @dg.multi_asset_check(name=f"check_quality_of_{asset}", specs=specs, can_subset=True)
    def run_checks(
        context: dg.AssetCheckExecutionContext, store: StoreResource
    ) -> Iterator[dg.AssetCheckResult]:
        tables = store.tables()
        partition = partition_of([asset], partitions, context)
        table = tables.read([asset], [partition or WHOLE])
        baseline = Baseline(tables.store, [asset], partition, _materialization(context, asset, partition))
        found = assess(tables, asset, partition, table, baseline, thresholds, sources)
        executed = selected(context, MEASURED)
        # A person who tries a threshold on one check changes nothing that later sets are compared with.
        if found.passed and len(executed) == len(MEASURED):
            baseline.keep(table)
        for name in executed:
            of_check = [result for result in found.results if result.check == name]
            yield _as_result(asset, name, of_check, found.compared_with)

    return run_checks


def _materialization(context: dg.AssetCheckExecutionContext, asset: str, partition: str | None) -> str:
    """The run that made the checked table."""
    of = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[partition] if partition else None
    )
    made = context.instance.fetch_materializations(of, limit=1).records
    return made[0].run_id if made else UNKNOWN_RUN


def _as_result(
    asset: str, name: str, results: Sequence[Result], compared_with: str | None
) -> dg.AssetCheckResult:
    status = worst(results)
    measured = [result for result in results if result.figure is not None]
    faults = [result for result in measured if result.status is not Status.PASSED]
    if faults:
        description = "; ".join(result.summary for result in faults)
    elif measured:
        description = (
            "; ".join(result.summary for result in measured) if len(measured) < 3 else MEASURED[name]
        )
    else:
        description = results[0].note if results else "there are no captions"
    metadata: dict[str, dg.MetadataValue] = {
        "figures": dg.MetadataValue.md(results_table(results)),
        "worst examples": dg.MetadataValue.md(examples_table(faults or measured)),
    }
    for result in measured:
        assert result.figure is not None
        metadata[f"{result.scope}: {result.measure}"] = dg.MetadataValue.float(float(result.figure.value))
    # If sources have different limits, the table of figures has them.
    if len(limits := {result.limits_text for result in measured}) == 1:
        metadata["limits"] = dg.MetadataValue.text(limits.pop())
    if name == DRIFT:
        metadata |= _compared_with(compared_with)
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=status in (Status.PASSED, Status.SKIPPED),
        severity=dg.AssetCheckSeverity.ERROR if status is Status.FAILED else dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def _compared_with(run_id: str | None) -> dict[str, dg.MetadataValue]:
    """The set from which the drift is measured, for the check's page."""
    if run_id is None:
        return {"compared with": dg.MetadataValue.text("nothing: this is the first set that passes")}
    compared = "the last set that passed all blocking checks, which may be older than the previous set"
    shown = {"compared with": dg.MetadataValue.text(compared)}
    made_by = dg.MetadataValue.text(run_id) if run_id == UNKNOWN_RUN else dg.MetadataValue.dagster_run(run_id)
    return {**shown, "that set's run": made_by}


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(asset_checks=caption_checks(location.sources, location.settings.quality))
