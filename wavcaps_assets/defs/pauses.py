"""A step that has to wait ends its run without a table. Its partition stays missing until the next run."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import dagster as dg
import pyarrow as pa

from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.own_tags import add_own_tags, own_tag
from wavcaps_assets.llm.reservations import BudgetExhausted
from wavcaps_assets.network.errors import BadAnswer, HostDown, Paused, QuotaExhausted
from wavcaps_assets.show.progress import Facts, NoProgress, Progress
from wavcaps_assets.tables.stage import Stage

# On a run: when its partition may continue, ISO 8601.
PAUSED_TAG = "wavcaps/paused_until"
# On a run: what it waits for, one of `Cause`.
PAUSE_CAUSE_TAG = "wavcaps/paused_by"
# On a run: a page could not be read, or a clip could not be fetched; a later run may succeed.
INCOMPLETE_TAG = "wavcaps/incomplete"
# On a run that was paused by a host that is down, or that lets no request through: since when, over all runs
# in a row that it paused, ISO 8601.
DOWN_SINCE_TAG = "wavcaps/host_down_since"
# A host that is down for longer is not waited for: the run fails, so that a person looks.
LONGEST_OUTAGE = timedelta(days=3)
# The newest runs of an asset, among which the one before is found.
NEWEST_OF_ASSET = 20


class Cause(StrEnum):
    """What a paused run waits for."""

    BUDGET = "budget"
    QUOTA = "quota"
    OUTAGE = "outage"
    # The site responds, and not as its protocol says.
    PROTOCOL = "protocol"
    # Such as a batch in progress.
    OTHER = "other"


def cause_of(pause: Paused) -> Cause:
    if isinstance(pause, BudgetExhausted):
        return Cause.BUDGET
    if isinstance(pause, QuotaExhausted):
        return Cause.QUOTA
    if not isinstance(pause, HostDown):
        return Cause.OTHER
    return Cause.PROTOCOL if _is_bad_answer(pause.__cause__) else Cause.OUTAGE


def _is_bad_answer(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, BadAnswer) or _is_bad_answer(error.__cause__))


class PageProgress:
    """A `Progress` whose facts are on the asset's page: the first ones at once, all of them at the end.

    Args:
        prefix: before the name of each fact, if a run has several of these.

    Attributes:
        bar: receives the updates.
        facts: everything that was recorded.
    """

    def __init__(self, context: dg.AssetExecutionContext, prefix: str = "") -> None:
        self.bar: Progress = NoProgress()
        self.facts: dict[str, Any] = {}
        self._context = context
        self._prefix = prefix

    def update(self, done: int, total: int, note: str = "") -> None:
        self.bar.update(done, total, note)

    def record(self, facts: Facts) -> None:
        first = not self.facts
        self.facts |= {f"{self._prefix}{name}": value for name, value in facts.items()}
        if first:
            # The events of a step are stored when it yields, hours later.
            description = f"what run {self._context.run_id[:8]} is about to ask"
            observation = _observation(self._context, description, self.facts)
            self._context.instance.report_runless_asset_event(observation)


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
    context: dg.AssetExecutionContext, pause: Paused, pages: Sequence[PageProgress] = ()
) -> Iterator[dg.AssetObservation]:
    """Shows in the UI why there is no table yet, and tells the schedule when to start the next run.

    Raises:
        Failure: a host has been down for days.
    """
    until = pause.until.isoformat(timespec="seconds")
    context.log.warning(f"{pause}. What was read and fetched is kept; the next run continues from there.")
    if isinstance(pause, HostDown) or (isinstance(pause, QuotaExhausted) and pause.in_vain):
        _require_not_down_for_long(context, pause)
    tags = {PAUSED_TAG: until, PAUSE_CAUSE_TAG: cause_of(pause).value}
    add_own_tags(context.instance, context.run_id, tags)
    until_when = {"paused until": dg.MetadataValue.timestamp(pause.until)}
    yield _observation(context, str(pause), {**until_when, **_facts(pages)})


def _require_not_down_for_long(context: dg.AssetExecutionContext, pause: HostDown | QuotaExhausted) -> None:
    before = _run_before(context)
    now = utc_now()
    known = own_tag(before, DOWN_SINCE_TAG) if before else None
    since = datetime.fromisoformat(known) if known else now
    add_own_tags(context.instance, context.run_id, {DOWN_SINCE_TAG: since.isoformat(timespec="seconds")})
    if now - since > LONGEST_OUTAGE:
        raise dg.Failure(
            f"{pause}. It has been so in every run since {since:%Y-%m-%d %H:%M} UTC. See in a browser "
            "whether the site is there, has moved, or refuses this machine. What was fetched is kept",
            allow_retries=False,
        ) from pause


def _run_before(context: dg.AssetExecutionContext) -> dg.DagsterRun | None:
    """The newest run before this one that was to make the same asset, of any partition, and has ended."""
    planned = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, context.asset_key)
    records = context.instance.event_log_storage.get_event_records(planned, limit=NEWEST_OF_ASSET)
    ids = dict.fromkeys(record.run_id for record in records if record.run_id != context.run_id)
    runs = (context.instance.get_run_by_id(run_id) for run_id in ids)
    return next((run for run in runs if run is not None and run.is_finished), None)


def unless_paused(
    context: dg.AssetExecutionContext,
    make: Callable[[], pa.Table | Stage],
    pages: Sequence[PageProgress] = (),
) -> Iterator[dg.AssetObservation | dg.Output[Any]]:
    """The output of an asset that may have to wait: the result of `make`, or a pause if it raises `Paused`.

    Args:
        pages: their facts become metadata of the output, or of the pause or failure.
    """
    try:
        made = make()
    except Paused as pause:
        yield from paused(context, pause, pages)
    except Exception as error:
        if known := _facts(pages):
            yield _observation(context, f"no table: {error}", known)
        raise
    else:
        context.add_output_metadata(_facts(pages))
        yield dg.Output(made)


def _facts(pages: Sequence[PageProgress]) -> dict[str, Any]:
    return {name: value for page in pages for name, value in page.facts.items()}


def paused_until(runs: Sequence[dg.DagsterRun]) -> datetime | None:
    """The latest time until which one of these runs paused; None if none did, or if it has passed."""
    run = paused_run(runs)
    return None if run is None else until_of(run)


def until_of(run: dg.DagsterRun) -> datetime:
    """When a paused run may go on."""
    until = own_tag(run, PAUSED_TAG)
    assert until is not None
    return datetime.fromisoformat(until)


def paused_run(runs: Sequence[dg.DagsterRun]) -> dg.DagsterRun | None:
    """That of these runs which paused for the longest; None if none did, or if that time has passed."""
    of = {until_of(run): run for run in runs if own_tag(run, PAUSED_TAG)}
    latest = max(of, default=None)
    return of[latest] if latest is not None and latest > utc_now() else None
