"""A sensor that tells people what went wrong, once for each cause. It is off until it is switched on.

It looks at every run that has ended, launched in any way and of any code location. What it has sent,
and what it still has to send, is in the database of the instance.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

from wavcaps_assets.alerts.channels import Channel, NotDelivered, channels_of
from wavcaps_assets.alerts.message import Kind
from wavcaps_assets.alerts.outbox import Finding, Outbox
from wavcaps_assets.alerts.settings import AlertSettings
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.failing_checks import newest_evaluation
from wavcaps_assets.defs.jobs import fresh_check_key
from wavcaps_assets.defs.run_outcomes import ENDED, Outcome, outcome_of
from wavcaps_assets.defs.run_records import UNFINISHED
from wavcaps_assets.sources.base import Source

NAME = "alerts"
EVERY_S = 60
# In the database of the instance: what must survive a restart.
KEY = "wavcaps_alerts"
# Runs that are read at once.
PAGE = 200
# Dagster ends a tick after a minute. What was not read or sent by then is at the next one. The last alert
# takes 14 s at most (`alerts.channels`).
READING_S, DELIVERY_S = 20.0, 20.0
# Backfills that are looked at.
NEWEST_BACKFILLS = 50


def load(instance: dg.DagsterInstance) -> Outbox | None:
    """What was noticed and sent so far; None: nothing yet."""
    stored = instance.daemon_cursor_storage.get_cursor_values({KEY}).get(KEY)
    return None if stored is None else Outbox.model_validate_json(stored)


def save(instance: dg.DagsterInstance, outbox: Outbox) -> None:
    instance.daemon_cursor_storage.set_cursor_values({KEY: outbox.model_dump_json()})


def begin(instance: dg.DagsterInstance) -> Outbox:
    """An outbox that knows nothing of the runs that have ended before now."""
    newest = instance.get_run_records(limit=1)
    unfinished = instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)))
    return Outbox(
        newest_run=(newest[0].dagster_run.run_id, newest[0].create_timestamp.timestamp()) if newest else None,
        unfinished=[run.run_id for run in unfinished],
        failed_backfills=[backfill.backfill_id for backfill in _failed_backfills(instance)],
    )


def collect(
    instance: dg.DagsterInstance, outbox: Outbox, sources: Sequence[Source], channels: Mapping[str, Channel]
) -> int:
    """Notes what the runs say that have ended since the last time, and which sources are overdue.

    After a long time without a tick, there can be thousands of runs. Those that are not looked at in time are
    looked at the next time.

    Returns:
        The number of runs that were looked at.
    """
    now, until = utc_now(), time.monotonic() + READING_S
    _add_new_runs(instance, outbox)
    looked_at = 0
    for run in _ended(instance, outbox):
        if time.monotonic() > until:
            break
        try:
            outcome = outcome_of(instance, run, sources)
        except Exception as error:
            # A run that cannot be read must not hide all others.
            outcome = Outcome([_unreadable(run, error)], set())
        outbox.unfinished.remove(run.run_id)
        outbox.end(outcome.works)
        outbox.add(outcome.findings, channels, now)
        looked_at += 1
    outbox.add(_new_failed_backfills(instance, outbox), channels, now)
    for source in sources:
        _note_freshness(instance, outbox, source, channels)
    outbox.forget(now)
    return looked_at


def _add_new_runs(instance: dg.DagsterInstance, outbox: Outbox) -> None:
    """Adds the runs that were made since the last time to those that have not ended."""
    while True:
        filter_, cursor = None, None
        if outbox.newest_run is not None:
            run_id, created = outbox.newest_run
            if instance.get_run_by_id(run_id) is not None:
                cursor = run_id
            else:
                # It was removed. Those that were made at the same time may be looked at twice.
                filter_ = dg.RunsFilter(created_after=datetime.fromtimestamp(created, UTC))
        records = instance.get_run_records(filter_, limit=PAGE, cursor=cursor, ascending=True)
        known = set(outbox.unfinished)
        outbox.unfinished += [
            record.dagster_run.run_id for record in records if record.dagster_run.run_id not in known
        ]
        if records:
            newest = records[-1]
            outbox.newest_run = newest.dagster_run.run_id, newest.create_timestamp.timestamp()
        if len(records) < PAGE:
            return


def _ended(instance: dg.DagsterInstance, outbox: Outbox) -> list[dg.DagsterRun]:
    """Those of the runs to look at that have ended, in the order in which they did."""
    found: list[dg.RunRecord] = []
    there: set[str] = set()
    for first in range(0, len(outbox.unfinished), PAGE):
        ids = outbox.unfinished[first : first + PAGE]
        records = instance.get_run_records(dg.RunsFilter(run_ids=ids))
        there |= {record.dagster_run.run_id for record in records}
        found += [record for record in records if record.dagster_run.status in ENDED]
    # Others were removed.
    outbox.unfinished = [run_id for run_id in outbox.unfinished if run_id in there]
    found.sort(key=lambda record: (record.end_time or 0.0, record.storage_id))
    return [record.dagster_run for record in found]


def _failed_backfills(instance: dg.DagsterInstance) -> Sequence[PartitionBackfill]:
    failed = BulkActionsFilter(statuses=[BulkActionStatus.FAILED])
    return instance.get_backfills(filters=failed, limit=NEWEST_BACKFILLS)


def _new_failed_backfills(instance: dg.DagsterInstance, outbox: Outbox) -> list[Finding]:
    """Backfills that the daemon could not carry out. Where runs of a backfill fail, these are reported."""
    failed = _failed_backfills(instance)
    known = outbox.failed_backfills
    # An outbox of an older version does not know any.
    new = [] if known is None else [backfill for backfill in failed if backfill.backfill_id not in known]
    outbox.failed_backfills = [backfill.backfill_id for backfill in failed]
    return [
        Finding(
            f"backfill/{backfill.backfill_id}",
            f"backfill {backfill.backfill_id}",
            Kind.FAILED_RUN,
            "A backfill failed before all of its runs were started",
            backfill.error.message.strip() if backfill.error is not None else "no message",
            f"runs/b/{backfill.backfill_id}",
            utc_now(),
        )
        for backfill in reversed(new)
    ]


def _unreadable(run: dg.DagsterRun, error: Exception) -> Finding:
    said = f"its events cannot be read: {type(error).__name__}: {error}"
    page, title = f"runs/{run.run_id}", "A run ended, and what it says is not known"
    return Finding("unreadable", run.run_id[:8], Kind.FAILED_RUN, title, said, page, utc_now())


def _note_freshness(
    instance: dg.DagsterInstance, outbox: Outbox, source: Source, channels: Mapping[str, Channel]
) -> None:
    """Notes what the check `fresh` said last. The sensor `freshness` evaluates it, without a run."""
    newest = newest_evaluation(instance, fresh_check_key(source))
    if newest is None:
        return
    found, _ = newest
    place = found.asset_key.to_user_string()
    if found.passed:
        outbox.end_of(f"overdue/{source.name}")
        return
    page, title = f"assets/{place}?view=checks", f"{source.title} is overdue"
    said, now = found.description or "", utc_now()
    finding = Finding(f"overdue/{source.name}", place, Kind.OVERDUE, title, said, page, now)
    outbox.add([finding], channels, now)


def alerts_sensor(sources: Sequence[Source], settings: AlertSettings) -> dg.SensorDefinition:
    """The sensor, which sends to the channels that are set."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=EVERY_S,
        description="Tells people what went wrong, once for each cause until it is over: a blocking check "
        "that failed, a used-up budget, a crawl or another run that failed or died, a backfill that could "
        "not be carried out, a site that does not respond or has changed its protocol, withdrawn "
        "permissions, and a source that is overdue. It sends to the channels of WAVCAPS_ALERTS__… "
        "(`wavcaps alerts test` tries them). It begins with what "
        "happens after it is switched on, starts no runs, and costs nothing.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        channels = channels_of(settings)
        if not channels:
            return dg.SkipReason(
                "no channel is set: WAVCAPS_ALERTS__WEBHOOK_URL, WAVCAPS_ALERTS__SLACK_URL or "
                "WAVCAPS_ALERTS__EMAIL__HOST"
            )
        return tick(context.instance, sources, channels)

    return alerts


def tick(
    instance: dg.DagsterInstance, sources: Sequence[Source], channels: Mapping[str, Channel]
) -> dg.SkipReason:
    """Notes what happened, and sends what is due.

    Raises:
        NotDelivered: a channel did not accept an alert, which is sent again later.
    """
    outbox = load(instance) or begin(instance)
    ended = collect(instance, outbox, sources, channels)
    save(instance, outbox)
    until = time.monotonic() + DELIVERY_S
    delivered, problems = outbox.deliver(
        channels, utc_now(), lambda: save(instance, outbox), lambda: time.monotonic() > until
    )
    waiting = f"{len(outbox.waiting)} alerts wait"
    if problems:
        raise NotDelivered(f"{'; '.join(problems)}. {waiting}, and are sent again")
    return dg.SkipReason(
        f"{ended} runs have ended; {delivered} messages are delivered, {waiting}; "
        f"{len(outbox.causes)} causes are not over"
    )


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(sensors=[alerts_sensor(location.sources, location.settings.alerts)])
