"""Asset checks. They block, but for the advisory ones: what breaks its promise is not built upon."""

from collections.abc import Callable, Collection, Iterator, Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.checks.tables import check_nothing_lost, check_schema, check_unique
from wavcaps_assets.checks.verdict import Verdict
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.tables import schema_of
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

# Given the tables and the partition: the clips that should be in the asset, or among its dropped.
Upstream = Callable[[TableStore, str | None], pa.Table]
Check = Callable[[TableStore, str | None], Verdict]


def upstream_of(asset: str) -> Upstream:
    """The table of an asset, of the same partition."""
    return lambda tables, partition: tables.read([asset], partition and [partition])


def table_checks(
    key: Sequence[str],
    partitions: dg.PartitionsDefinition | None,
    upstream: Upstream | None = None,
    *,
    unique: bool = True,
    advisory: Collection[str] = (),
    **more: tuple[str, Check],
) -> dg.AssetChecksDefinition:
    """The checks of one table.

    Args:
        key: the asset's key.
        partitions: its partitions.
        upstream: what went in; without it, `nothing_lost` has nothing to compare with.
        unique: whether a clip has one row.
        advisory: those of `more` that warn, and block nothing.
        more: further checks: by name, a description and a function.
    """
    schema = schema_of(key)

    def own(tables: TableStore, partition: str | None) -> pa.Table:
        return tables.read(key, [partition or WHOLE])

    checks: dict[str, tuple[str, Check]] = {
        "schema": (
            "The columns are those of tables/, and nothing required is missing.",
            lambda tables, partition: check_schema(own(tables, partition), schema),
        ),
    }
    if unique:
        checks["clip_id_unique"] = (
            "Every clip has one row.",
            lambda tables, partition: check_unique(own(tables, partition)),
        )
    if upstream is not None:
        checks["nothing_lost"] = (
            "Every clip that went in came out, or was dropped with a reason.",
            lambda tables, partition: check_nothing_lost(
                upstream(tables, partition), tables.read_stage(key, [partition or WHOLE])
            ),
        )
    checks.update(more)
    specs = [
        dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey(key),
            blocking=name not in advisory,
            description=description,
            partitions_def=partitions,
        )
        for name, (description, _) in checks.items()
    ]

    @dg.multi_asset_check(name=f"check_{'_'.join(key)}", specs=specs)
    def run_checks(
        context: dg.AssetCheckExecutionContext, store: StoreResource
    ) -> Iterator[dg.AssetCheckResult]:
        tables = store.tables()
        partition = context.partition_key if context.has_partition_key else None
        for name, (_, check) in checks.items():
            severity = dg.AssetCheckSeverity.WARN if name in advisory else dg.AssetCheckSeverity.ERROR
            yield as_result(key, name, check(tables, partition), severity)

    return run_checks


def as_result(
    key: Sequence[str], name: str, verdict: Verdict, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(key),
        check_name=name,
        passed=verdict.passed,
        severity=severity,
        description=verdict.description,
        metadata=dict(verdict.numbers),
    )
