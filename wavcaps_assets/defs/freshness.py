"""A check of each source that fails when partitions are overdue; a sensor evaluates it while nothing runs."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import dagster as dg

from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.freshness import Freshness, describe
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.crawl_times import freshness_of, schedule_name
from wavcaps_assets.defs.failing_checks import newest_evaluation
from wavcaps_assets.defs.jobs import FRESH, fresh_check_key
from wavcaps_assets.defs.resources import StoreResource, store_of
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import TableStore

EVERY_S = 600
# An outcome that stays the same is reported again after this time: nothing removes these events.
REPORT_AGAIN = timedelta(days=1)
LISTED = 50


def evaluate(
    instance: dg.DagsterInstance, tables: TableStore, source: Source, now: datetime
) -> dg.AssetCheckEvaluation:
    """Whether a source is as fresh as its schedule promises."""
    found = freshness_of(instance, tables, source, now)
    key = fresh_check_key(source)
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=found.is_fresh,
        severity=dg.AssetCheckSeverity.WARN,
        description=describe(found, schedule_name(source)),
        metadata=_metadata(found, now),
        blocking=False,
    )


def _metadata(found: Freshness, now: datetime) -> dict[str, dg.MetadataValue]:
    rows = [
        "| partition | due since | |",
        "| --- | --- | --- |",
        *(
            f"| {one.partition} | {f'{one.since:%Y-%m-%d %H:%M}' if one.since else 'not known'} | "
            f"{'never crawled' if one.missing else 'to be crawled again'} |"
            for one in found.overdue[:LISTED]
        ),
    ]
    shown: dict[str, dg.MetadataValue] = {
        "overdue partitions": dg.MetadataValue.int(len(found.overdue)),
        "crawled partitions": dg.MetadataValue.int(found.finished),
        "partitions": dg.MetadataValue.int(found.partitions),
    }
    if found.overdue:
        shown["overdue"] = dg.MetadataValue.md("\n".join(rows))
    if found.since is not None:
        shown["behind since"] = dg.MetadataValue.timestamp(found.since)
        shown["behind by (h)"] = dg.MetadataValue.float(round((now - found.since) / timedelta(hours=1), 1))
    if found.newest is not None:
        shown["newest crawl"] = dg.MetadataValue.timestamp(found.newest)
    return shown


def fresh_check(source: Source) -> dg.AssetChecksDefinition:
    """The check as a person evaluates it, and as it runs at the end of a crawl."""

    @dg.asset_check(
        asset=[source.name, "ledger"],
        name=FRESH,
        description="No partition is overdue: none has been due for a crawl for longer than a day, neither a "
        f"missing one while the schedule {schedule_name(source)} is on, nor one that is to be crawled again. "
        "The sensor `freshness` evaluates it while nothing runs.",
    )
    def fresh(context: dg.AssetCheckExecutionContext, store: StoreResource) -> dg.AssetCheckResult:
        found = evaluate(context.instance, store.tables(), source, utc_now())
        return dg.AssetCheckResult(
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=dict(found.metadata),
        )

    return fresh


def changed_evaluations(
    instance: dg.DagsterInstance, tables: TableStore, sources: Iterable[Source], now: datetime
) -> list[dg.AssetCheckEvaluation]:
    """The outcomes that differ from the last one that was reported, or were reported long ago."""
    found = []
    for source in sources:
        new = evaluate(instance, tables, source, now)
        newest = newest_evaluation(instance, fresh_check_key(source))
        if newest is not None:
            old, at = newest
            same = (old.passed, old.description) == (new.passed, new.description)
            if same and now - at < REPORT_AGAIN:
                continue
        found.append(new)
    return found


def freshness_sensor(sources: Sequence[Source], store: StoreResource) -> dg.SensorDefinition:
    @dg.sensor(
        name="freshness",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the check `fresh` of each source, so that it fails when nothing runs. It "
        "starts no runs and costs nothing.",
    )
    def check_freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = changed_evaluations(context.instance, store.tables(waits=False), sources, utc_now())
        if not found:
            return dg.SkipReason(f"no change: {len(sources)} sources")
        failed = [one.asset_key.path[0] for one in found if not one.passed]
        said = f"overdue: {', '.join(failed)}" if failed else "no source is overdue"
        return dg.SensorResult(asset_events=found, skip_reason=f"{len(found)} checks are reported; {said}")

    return check_freshness


def definitions(location: Location) -> dg.Definitions:
    if not location.sources:
        return dg.Definitions()
    return dg.Definitions(
        asset_checks=[fresh_check(source) for source in location.sources],
        sensors=[freshness_sensor(location.sources, store_of(location.settings))],
    )
