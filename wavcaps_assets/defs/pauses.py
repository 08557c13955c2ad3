"""A step that has to wait ends its run without a table: its partition stays missing, and says until when."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa

    from wavcaps_assets.network_errors import Paused
    from wavcaps_assets.stages import Stage

# On a run: when its partition may be taken up again, in ISO 8601.
PAUSED_TAG = "wavcaps/paused_until"
# On a run: a page could not be read, or a clip not be fetched, that another day may bring.
INCOMPLETE_TAG = "wavcaps/incomplete"


def paused(context: dg.AssetExecutionContext, pause: "Paused") -> Iterator[dg.AssetObservation]:
    """Tells the UI why there is no table yet, and the schedule when to come back."""
    until = pause.until.isoformat(timespec="seconds")
    context.log.warning(f"{pause}. What was read and fetched is kept; the next run goes on from there.")
    context.instance.add_run_tags(context.run_id, {PAUSED_TAG: until})
    yield dg.AssetObservation(
        asset_key=context.asset_key,
        partition=context.partition_key,
        description=str(pause),
        metadata={"paused until": dg.MetadataValue.timestamp(pause.until)},
    )


def unless_paused(
    context: dg.AssetExecutionContext, make: Callable[[], "pa.Table | Stage"]
) -> Iterator[dg.AssetObservation | dg.Output[Any]]:
    """The output of an asset that may have to wait: what `make` returns, or a pause where it raises one."""
    from wavcaps_assets.network_errors import Paused

    try:
        made = make()
    except Paused as pause:
        yield from paused(context, pause)
    else:
        yield dg.Output(made)


def paused_until(runs: list[dg.DagsterRun]) -> datetime | None:
    """The latest time until which one of these runs paused; None if none did, or it has passed."""
    until = [datetime.fromisoformat(run.tags[PAUSED_TAG]) for run in runs if PAUSED_TAG in run.tags]
    latest = max(until, default=None)
    return latest if latest is not None and latest > datetime.now(UTC) else None
