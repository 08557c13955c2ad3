"""Steps whose checkpoint is not there are passed over before they get a process, which starts in seconds.

An asset declares what it needs with the tag `needs_table`. If the table has no row in the store, a run of
several assets ends the step at once, with a message, and without an output. A person who selects one asset
gets its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext

from wavcaps_assets.settings import Settings
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.executor.local_steps import step_key_of

NEEDS_TABLE_TAG = "wavcaps/needs_table"
"""Tag of an op: the key of the asset without which it is passed over, `checkpoint/htsat_bert/zero_shot`."""


def needs_table(key: tuple[str, ...]) -> dict[str, str]:
    """The `op_tags` of an asset that is passed over in a run of several if another asset has no table."""
    return {NEEDS_TABLE_TAG: "/".join(key)}


def is_there(tables: TableStore, key: tuple[str, ...]) -> bool:
    """Whether an asset has a table with a row.

    Raises:
        StoreError: the store cannot be read.
    """
    return tables.rows(key, WHOLE) > 0


class PassingOver(StepHandler):
    """Ends steps that lack what they need; another handler runs the others."""

    def __init__(self, runs: StepHandler) -> None:
        self._runs = runs

    @property
    def name(self) -> str:
        return self._runs.name

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        missing = self._missing(step_handler_context)
        if not missing:
            yield from self._runs.launch_step(step_handler_context)
            return
        context = step_handler_context.get_step_context(step_key_of(step_handler_context))
        yield dg.DagsterEvent.engine_event(
            context,
            f"{missing} is not there: passed over, without a process.",
            EngineEventData({"not there": dg.MetadataValue.asset(dg.AssetKey(missing.split("/")))}),
        )
        yield dg.DagsterEvent.step_start_event(context)
        yield dg.DagsterEvent.step_success_event(context, StepSuccessData(duration_ms=0.0))

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        health = self._runs.check_step_health(step_handler_context)
        if not health.is_healthy and self._missing(step_handler_context):
            # It has ended, and never had a process.
            return CheckStepHealthResult.healthy()
        return health

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        return self._runs.terminate_step(step_handler_context)

    def _missing(self, context: StepHandlerContext) -> str:
        """The key of the table that a step lacks; empty: none, or it cannot be said here."""
        tags: Mapping[str, str] = context.step_tags[step_key_of(context)] or {}
        needed = tags.get(NEEDS_TABLE_TAG, "")
        if not needed or len(context.dagster_run.asset_selection or ()) == 1:
            return ""
        own = Settings()
        tables = TableStore(open_store(own.store, own.s3.endpoint_url or None, own.s3.region or None))
        try:
            return "" if is_there(tables, tuple(needed.split("/"))) else needed
        except StoreError:
            # The step says it.
            return ""
