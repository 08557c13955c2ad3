"""A step that has to wait ends its run without a table: its partition stays missing, and says until when."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wavcaps_assets.llm.progress import Account, Facts

if TYPE_CHECKING:
    import pyarrow as pa

    from wavcaps_assets.network.errors import Paused
    from wavcaps_assets.tables.stage import Stage

# On a run: when its partition may be taken up again, in ISO 8601.
PAUSED_TAG = "wavcaps/paused_until"
# On a run: a page could not be read, or a clip not be fetched, that another day may bring.
INCOMPLETE_TAG = "wavcaps/incomplete"


class ShownAccount(Account):
    """An account on the asset's page: the estimate as soon as there is one, all of it if there is no table.

    Args:
        about: stands before the name of each fact, where a run has several accounts.
    """

    def __init__(self, context: dg.AssetExecutionContext, about: str = "") -> None:
        super().__init__()
        self._context = context
        self._about = about

    @property
    def shown(self) -> dict[str, Any]:
        return {f"{self._about}{name}": value for name, value in self.facts.items()}

    def estimated(self, facts: Facts) -> None:
        super().estimated(facts)
        said = f"what run {self._context.run_id[:8]} is about to ask"
        # A step's own events are written down when it yields, hours later.
        self._context.instance.report_runless_asset_event(_observation(self._context, said, self.shown))


def _observation(
    context: dg.AssetExecutionContext, description: str, metadata: dict[str, Any]
) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=context.asset_key,
        partition=context.partition_key,
        description=description,
        metadata=metadata,
    )


def paused(
    context: dg.AssetExecutionContext, pause: "Paused", accounts: Sequence[ShownAccount] = ()
) -> Iterator[dg.AssetObservation]:
    """Tells the UI why there is no table yet, and the schedule when to come back."""
    until = pause.until.isoformat(timespec="seconds")
    context.log.warning(f"{pause}. What was read and fetched is kept; the next run goes on from there.")
    context.instance.add_run_tags(context.run_id, {PAUSED_TAG: until})
    until_when = {"paused until": dg.MetadataValue.timestamp(pause.until)}
    yield _observation(context, str(pause), {**until_when, **_all_of(accounts)})


def unless_paused(
    context: dg.AssetExecutionContext,
    make: Callable[[], "pa.Table | Stage"],
    accounts: Sequence[ShownAccount] = (),
) -> Iterator[dg.AssetObservation | dg.Output[Any]]:
    """The output of an asset that may have to wait: what `make` returns, or a pause where it raises one.

    Args:
        accounts: what the run spends; a pause and a failure show it as the table's metadata would have.
    """
    from wavcaps_assets.network.errors import Paused

    try:
        made = make()
    except Paused as pause:
        yield from paused(context, pause, accounts)
    except Exception as error:
        if known := _all_of(accounts):
            yield _observation(context, f"no table: {error}", known)
        raise
    else:
        context.add_output_metadata(_all_of(accounts))
        yield dg.Output(made)


def _all_of(accounts: Sequence[ShownAccount]) -> dict[str, Any]:
    return {name: value for account in accounts for name, value in account.shown.items()}


def paused_until(runs: list[dg.DagsterRun]) -> datetime | None:
    """The latest time until which one of these runs paused; None if none did, or it has passed."""
    until = [datetime.fromisoformat(run.tags[PAUSED_TAG]) for run in runs if PAUSED_TAG in run.tags]
    latest = max(until, default=None)
    return latest if latest is not None and latest > datetime.now(UTC) else None
