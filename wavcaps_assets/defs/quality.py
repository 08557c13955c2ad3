"""The quality checks of captions, on the table of each source and on the set as a whole.

They are the functions that `python -m wavcaps_assets.checks` calls for any manifest. A figure beyond
its limit `error` blocks what is downstream; one beyond `warn` shows in the UI and blocks nothing.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from wavcaps_assets.checks.figures import Result, Status
from wavcaps_assets.checks.quality import CHECKS, DRIFT, worst
from wavcaps_assets.defs.checks import table_checks, upstream_of
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import WHOLE

# Tables of this project cannot have these faults: their schema is checked when they are written.
OF_FOREIGN_FILES = frozenset({"unreadable", "repeated_ids"})
# Of a table that the event log knows no materialization of.
UNKNOWN_RUN = "unknown"
MEASURED = {name: said for name, said in CHECKS.items() if name not in OF_FOREIGN_FILES}


def caption_checks(sources: Sequence[Source], thresholds: str) -> Sequence[dg.AssetChecksDefinition]:
    """The checks of `captions`, and the quality checks of all that is published.

    Args:
        thresholds: a TOML file; empty: the defaults of `QualitySettings`.
    """
    by_source = source_partitions(sources)
    return [
        table_checks(["captions"], by_source, upstream_of("llm_captions")),
        *(quality_checks(asset, by_source, thresholds) for asset in ("captions", "manifest")),
        quality_checks("wavcaps", None, thresholds),
    ]


def quality_checks(
    asset: str, partitions: dg.PartitionsDefinition | None, thresholds: str
) -> dg.AssetChecksDefinition:
    """A check for each thing that captions are held to, all from one look at the table."""
    specs = [
        dg.AssetCheckSpec(name, asset=asset, blocking=True, description=said, partitions_def=partitions)
        for name, said in MEASURED.items()
    ]

    @dg.multi_asset_check(name=f"check_quality_of_{asset}", specs=specs)
    def run_checks(
        context: dg.AssetCheckExecutionContext, store: StoreResource
    ) -> Iterator[dg.AssetCheckResult]:
        from wavcaps_assets.checks.assessment import assess
        from wavcaps_assets.checks.baseline import Baseline

        tables = store.tables()
        partition = context.partition_key if context.has_partition_key else None
        table = tables.read([asset], [partition or WHOLE])
        baseline = Baseline(tables.store, [asset], partition, _materialization(context, asset, partition))
        found = assess(tables, asset, partition, table, baseline, thresholds)
        if found.passed:
            baseline.keep(table)
        for name in MEASURED:
            of_check = [result for result in found.results if result.check == name]
            yield _as_result(asset, name, of_check, found.compared_with)

    return run_checks


def _materialization(context: dg.AssetCheckExecutionContext, asset: str, partition: str | None) -> str:
    """The run that made the table that is checked."""
    of = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[partition] if partition else None
    )
    made = context.instance.fetch_materializations(of, limit=1).records
    return made[0].run_id if made else UNKNOWN_RUN


def _as_result(
    asset: str, name: str, results: Sequence[Result], compared_with: str | None
) -> dg.AssetCheckResult:
    from wavcaps_assets.checks.told import examples_table, results_table

    status = worst(results)
    measured = [result for result in results if result.figure is not None]
    faults = [result for result in measured if result.status is not Status.PASSED]
    if faults:
        said = "; ".join(result.said for result in faults)
    elif measured:
        said = "; ".join(result.said for result in measured) if len(measured) < 3 else MEASURED[name]
    else:
        said = results[0].note if results else "there are no captions"
    metadata: dict[str, dg.MetadataValue] = {
        "figures": dg.MetadataValue.md(results_table(results)),
        "worst examples": dg.MetadataValue.md(examples_table(faults or measured)),
    }
    for result in measured:
        assert result.figure is not None
        metadata[f"{result.scope}: {result.measure}"] = dg.MetadataValue.float(float(result.figure.value))
    # Where each source has a band of its own, the table of figures has them.
    if len(wanted := {result.wanted for result in measured}) == 1:
        metadata["wanted"] = dg.MetadataValue.text(wanted.pop())
    if name == DRIFT:
        metadata |= _last_that_passed(compared_with)
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=status in (Status.PASSED, Status.SKIPPED),
        severity=dg.AssetCheckSeverity.ERROR if status is Status.FAILED else dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def _last_that_passed(run_id: str | None) -> dict[str, dg.MetadataValue]:
    """What the drift is measured from, for the check's page."""
    if run_id is None:
        return {"compared with": dg.MetadataValue.text("nothing: no set has passed before this one")}
    said = "the last set that passed all blocking checks, not the last that was made"
    shown = {"compared with": dg.MetadataValue.text(said)}
    made_by = dg.MetadataValue.text(run_id) if run_id == UNKNOWN_RUN else dg.MetadataValue.dagster_run(run_id)
    return {**shown, "that set's run": made_by}


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(asset_checks=caption_checks(location.sources, location.settings.quality))
