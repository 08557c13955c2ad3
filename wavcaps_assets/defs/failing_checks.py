"""Which blocking checks failed when they were evaluated last, from the events of the instance."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from wavcaps_assets.defs.jobs import LANE
from wavcaps_assets.sources.base import Source

SUCCEEDED = AssetCheckExecutionRecordStatus.SUCCEEDED
EVALUATED = (SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED)
SET = "wavcaps"


@dataclass(frozen=True)
class FailedCheck:
    """A blocking check that failed.

    Attributes:
        key: the check's key.
        partition: the partition; None: the asset has none.
    """

    key: dg.AssetCheckKey
    partition: str | None

    def __str__(self) -> str:
        where = f" [{self.partition}]" if self.partition else ""
        return f"{self.key.asset_key.to_user_string()}: {self.key.name}{where}"


def blocking_checks(graph: BaseAssetGraph) -> list[dg.AssetCheckKey]:
    return sorted((node.key for node in graph.asset_check_nodes if node.blocking), key=str)


def newest_evaluation(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, partition: str | None = None
) -> tuple[dg.AssetCheckEvaluation, datetime] | None:
    """The newest outcome of a check, and when it was stored (UTC); None: it was never evaluated.

    An evaluation that a run has planned, and not made yet, is none.
    """
    found = instance.event_log_storage.get_asset_check_execution_history(
        key, 1, status=set(EVALUATED), partition_filter=PartitionKeyFilter(key=partition)
    )
    made = found[0].evaluation if found else None
    if not isinstance(made, dg.AssetCheckEvaluation):
        return None
    return made, datetime.fromtimestamp(found[0].create_timestamp, UTC)


def failing(instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]) -> list[FailedCheck]:
    """Those of these checks that failed, and block, by their newest evaluation of each partition."""
    storage = instance.event_log_storage
    found = []
    for info in storage.get_asset_check_partition_info(list(keys)):
        # A run that has only planned a check, or died before it, leaves the outcome before it as it was.
        if info.latest_execution_status is SUCCEEDED:
            continue
        newest = newest_evaluation(instance, info.check_key, info.partition_key)
        if newest is None or newest[0].passed:
            continue
        # Of the quality checks, a figure beyond the first threshold warns, and does not block.
        if newest[0].severity is dg.AssetCheckSeverity.ERROR:
            found.append(FailedCheck(info.check_key, info.partition_key))
    return found


def by_source(failed: Iterable[FailedCheck], sources: Iterable[Source]) -> Mapping[str, list[str]]:
    """What blocks each source: its own checks, those of its captions, and those of the set."""
    found: dict[str, list[str]] = {source.name: [] for source in sources}
    for check in failed:
        path = check.key.asset_key.path
        if path[0] in found and len(path) > 1:
            found[path[0]].append(str(check))
        elif path[0] in LANE and check.partition in found:
            found[check.partition].append(f"{path[0]}: {check.key.name}")
        elif path == [SET]:
            for names in found.values():
                names.append(str(check))
    return found
