"""Asset checks of tables. They block what is downstream, except the advisory ones."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.checks.tables import check_nothing_lost, check_schema, check_unique
from wavcaps_assets.defs.partitions import partition_of
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.tables import schema_of
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.stage import Stage

# From the tables and a partition: the clips that the asset must have kept or dropped.
Upstream = Callable[[TableStore, str | None], pa.Table]
Check = Callable[[TableStore, str | None], CheckOutcome]


def upstream_of(asset: str) -> Upstream:
    """Reads the ids of an asset's table, for the same partition."""
    return lambda tables, partition: tables.read([asset], partition and [partition], ["clip_id"])


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
        upstream: reads the ids of the input; without it there is no check `nothing_lost`.
        unique: whether each clip has one row.
        advisory: names in `more` of checks that only warn.
        more: further checks by name, each a description and a function.
    """
    schema = schema_of(key)

    def own(tables: TableStore, partition: str | None) -> pa.Table:
        return tables.read(key, [partition or WHOLE])

    checks: dict[str, tuple[str, Check]] = {
        "schema": (
            "The columns match the schema in tables/, and no required value is missing.",
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
            "The counts add up: every input clip was kept, or dropped with a reason, and once.",
            lambda tables, partition: check_nothing_lost(
                upstream(tables, partition),
                Stage(
                    tables.read(key, [partition or WHOLE], ["clip_id"]),
                    tables.read_dropped(key, [partition or WHOLE]),
                ),
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

    # A person can execute one of the checks.
    @dg.multi_asset_check(name=f"check_{'_'.join(key)}", specs=specs, can_subset=True)
    def run_checks(
        context: dg.AssetCheckExecutionContext, store: StoreResource
    ) -> Iterator[dg.AssetCheckResult]:
        tables = store.tables()
        partition = partition_of(key, partitions, context)
        for name in selected(context, checks):
            _, check = checks[name]
            severity = dg.AssetCheckSeverity.WARN if name in advisory else dg.AssetCheckSeverity.ERROR
            yield as_result(key, name, check(tables, partition), severity)

    return run_checks


def selected(context: dg.AssetCheckExecutionContext, names: Iterable[str]) -> list[str]:
    """Those of an asset's checks that a step evaluates, in the given order."""
    chosen = {check.name for check in context.selected_asset_check_keys}
    return [name for name in names if name in chosen]


def as_result(
    key: Sequence[str], name: str, verdict: CheckOutcome, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(key),
        check_name=name,
        passed=verdict.passed,
        severity=severity,
        description=verdict.description,
        metadata=dict(verdict.numbers),
    )
