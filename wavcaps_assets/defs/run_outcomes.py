"""What the events of a run that has ended say: what a person should know, and what works again.

Everything is known by steps and partitions, never by the job or its tags: a run of the asset graph or of a
backfill has the same steps as the job's, and none of its tags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_shared.error import SerializableErrorInfo

from wavcaps_assets.alerts.message import Kind
from wavcaps_assets.alerts.outbox import Finding
from wavcaps_assets.defs.common import PARTITION_TAG
from wavcaps_assets.defs.crawl import CONSENT_KEPT, LISTING_WHOLE
from wavcaps_assets.defs.own_tags import own_tag
from wavcaps_assets.defs.pauses import DOWN_SINCE_TAG, PAUSE_CAUSE_TAG, PAUSED_TAG, Cause, until_of
from wavcaps_assets.llm.prices import PriceError
from wavcaps_assets.llm.reservations import BudgetTooSmall
from wavcaps_assets.network.errors import BadAnswer
from wavcaps_assets.sources.base import Source

Type = dg.DagsterEventType
READ = {
    Type.STEP_START,
    Type.STEP_OUTPUT,
    Type.STEP_SUCCESS,
    Type.STEP_FAILURE,
    Type.RUN_FAILURE,
    Type.ASSET_CHECK_EVALUATION,
    Type.ASSET_MATERIALIZATION_PLANNED,
    Type.ASSET_OBSERVATION,
}
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
# The check of the checkpoints, in the code location of training.
NO_WITHDRAWN = "no_withdrawn_clips"
# Numbers, ids and quoted names differ between runs that fail for the same reason.
PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f-]{8,}\b|\d+")
OWN_CLASS = re.compile(r"^wavcaps_\w+(?:\.\w+)+: ")
# A site whose quota is used up for longer, without one request that got through, is reported.
NO_NEWS = timedelta(days=1)
BUDGET_ERRORS = {BudgetTooSmall.__name__, PriceError.__name__}
INTERRUPTED = {DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__}
CHECK_FAILED = DagsterAssetCheckFailedError.__name__


@dataclass(frozen=True)
class Outcome:
    """What a run says.

    Attributes:
        findings: what a person should know.
        works: the places that worked.
    """

    findings: list[Finding]
    works: set[str]


def outcome_of(instance: dg.DagsterInstance, run: dg.DagsterRun, sources: Sequence[Source]) -> Outcome:
    """Reads the events of a run that has ended."""
    return _Reader(instance, run, sources).read()


class _Reader:
    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun, sources: Sequence[Source]) -> None:
        self._run = run
        self._titles = {source.name: source.title for source in sources}
        self._events = [
            (entry.dagster_event, datetime.fromtimestamp(entry.timestamp, UTC))
            for entry in instance.all_logs(run.run_id, of_type=READ)
            if entry.dagster_event is not None
        ]
        self._at = self._events[-1][1] if self._events else datetime.now(UTC)
        self._partition = _partition_of(run)

    def read(self) -> Outcome:
        works = {
            self._place(event.step_key)
            for event, _ in self._events
            if event.event_type is Type.STEP_OUTPUT and event.step_key
        }
        findings = [*self._checks(works), *self._failures(), *self._pause(), *self._death()]
        return Outcome(findings, works)

    def _checks(self, works: set[str]) -> Iterator[Finding]:
        for event, at in self._events:
            if event.event_type is not Type.ASSET_CHECK_EVALUATION:
                continue
            found = event.asset_check_evaluation_data
            asset = found.asset_key.to_user_string()
            partition = found.partition or self._partition
            name = f"{asset}: {found.check_name}"
            place = _named(name, partition)
            if found.passed:
                works.add(place)
                continue
            said = found.description or "no description"
            page, source = f"runs/{self._run.run_id}", found.asset_key.path[0]
            title = self._titles.get(source, source)
            if found.check_name == CONSENT_KEPT:
                # Other clips of the same partition are news, and a second look at the same ones is not.
                yield Finding(
                    f"consent/{source}",
                    f"{place}, {_hashed(said)[:6]}",
                    Kind.WITHDRAWN_CONSENT,
                    f"Permissions were withdrawn from clips of {title}",
                    said,
                    page,
                    at,
                    repeats=True,
                )
            elif found.check_name == NO_WITHDRAWN:
                named = f"consent/checkpoints/{_hashed(said)}"
                headline = "Checkpoints were trained on clips that were withdrawn since"
                yield Finding(named, place, Kind.WITHDRAWN_CONSENT, headline, said, page, at)
            elif found.check_name == LISTING_WHOLE:
                headline = f"Parts of the listing of {title} could not be read"
                yield Finding(f"unread/{source}", place, Kind.FAILED_CRAWL, headline, said, page, at)
            elif found.blocking and found.severity is dg.AssetCheckSeverity.ERROR:
                headline = f"Blocking check failed: {name}"
                yield Finding(f"check/{name}", place, Kind.FAILED_CHECK, headline, said, page, at)

    def _failures(self) -> Iterator[Finding]:
        for event, at, errors in self._failed_steps():
            classes = {error.cls_name or "" for error in errors}
            if CHECK_FAILED in classes:
                # The evaluation of the check is reported.
                continue
            said = _message(errors)
            step = event.step_key or ""
            place, source = self._place(step), step.partition("__")[0]
            page, title = f"runs/{self._run.run_id}", self._titles.get(source)
            if BadAnswer.__name__ in classes and title:
                headline = f"{title} has changed its protocol, or refuses requests"
                yield Finding(f"protocol/{source}", place, Kind.CHANGED_PROTOCOL, headline, said, page, at)
            elif classes & BUDGET_ERRORS:
                headline = "The budget of the language model does not permit its requests"
                yield Finding(self._cause("budget", said), place, Kind.BUDGET, headline, said, page, at)
            elif title:
                headline = f"The crawl of {title} failed"
                yield Finding(self._cause("failed", said), place, Kind.FAILED_CRAWL, headline, said, page, at)
            else:
                headline = f"A run failed: {_shown(step)}"
                yield Finding(self._cause("failed", said), place, Kind.FAILED_RUN, headline, said, page, at)

    def _failed_steps(self) -> Iterator[tuple[dg.DagsterEvent, datetime, list[SerializableErrorInfo]]]:
        """The steps that failed by themselves, not because their run was cancelled or its process ended."""
        for event, at in self._events:
            if event.event_type is Type.STEP_FAILURE and event.step_key:
                errors = list(_chain(event.step_failure_data.error))
                if not any(error.cls_name in INTERRUPTED for error in errors):
                    yield event, at, errors

    def _pause(self) -> Iterator[Finding]:
        """A budget that is used up, or a site that does not respond.

        A quota is no news, unless not one request has got through for a day.
        """
        if own_tag(self._run, PAUSED_TAG) is None:
            return
        cause = own_tag(self._run, PAUSE_CAUSE_TAG)
        said = next(
            (
                event.asset_observation_data.asset_observation.description or ""
                for event, _ in reversed(self._events)
                if event.event_type is Type.ASSET_OBSERVATION
            ),
            "",
        )
        step = self._unfinished_step()
        place, source = self._place(step), step.partition("__")[0]
        page, title = f"runs/{self._run.run_id}", self._titles.get(source, source)
        until = until_of(self._run)
        if cause == Cause.BUDGET:
            # A run's budget is over with the run, and a month's concerns all sources.
            of_month = until > self._at
            named = f"budget/{until:%Y-%m}" if of_month else f"budget/run/{place}"
            headline = "The month's budget is used up" if of_month else "A run stopped at its budget"
            yield Finding(named, place, Kind.BUDGET, headline, said, page, self._at)
        elif cause == Cause.PROTOCOL:
            headline = f"{title} has changed its protocol, or refuses requests"
            yield Finding(f"protocol/{source}", place, Kind.CHANGED_PROTOCOL, headline, said, page, self._at)
        elif cause == Cause.OUTAGE:
            headline = f"{title} cannot be read"
            yield Finding(f"outage/{source}", place, Kind.OUTAGE, headline, said, page, self._at)
        elif cause == Cause.QUOTA and self._has_waited_for_long():
            headline = f"{title} has let no request through for a day"
            yield Finding(f"outage/{source}", place, Kind.OUTAGE, headline, said, page, self._at)

    def _has_waited_for_long(self) -> bool:
        since = own_tag(self._run, DOWN_SINCE_TAG)
        return since is not None and self._at - datetime.fromisoformat(since) > NO_NEWS

    def _death(self) -> Iterator[Finding]:
        """A run that failed without a step that did, such as one whose process died."""
        if self._run.status is not dg.DagsterRunStatus.FAILURE:
            return
        if any(self._failed_steps()):
            return
        failed = next((event for event, _ in self._events if event.event_type is Type.RUN_FAILURE), None)
        said = (failed.message if failed is not None else None) or "the run failed without a message"
        step = self._unfinished_step()
        is_crawl = step.partition("__")[0] in self._titles
        yield Finding(
            self._cause("died", said),
            self._place(step),
            Kind.FAILED_CRAWL if is_crawl else Kind.FAILED_RUN,
            "Runs died" if is_crawl else f"A run died: {self._run.job_name}",
            said,
            f"runs/{self._run.run_id}",
            self._at,
        )

    def _unfinished_step(self) -> str:
        """The step that had no output: the first that was started, else the first that was planned."""
        done = {event.step_key for event, _ in self._events if event.event_type is Type.STEP_OUTPUT}
        for kind in (Type.STEP_START, Type.ASSET_MATERIALIZATION_PLANNED):
            for event, _ in self._events:
                if event.event_type is kind and event.step_key and event.step_key not in done:
                    return event.step_key
        return self._run.job_name

    def _cause(self, what: str, said: str) -> str:
        """The same for runs that fail for the same reason, also of other sources."""
        plain = said.replace(self._partition, "") if self._partition else said
        return f"{what}/{_hashed(PARTICULAR.sub('#', plain))}"

    def _place(self, step: str) -> str:
        return _named(_shown(step), self._partition)


def _partition_of(run: dg.DagsterRun) -> str:
    tags = run.tags
    if ASSET_PARTITION_RANGE_START_TAG in tags:
        return f"{tags[ASSET_PARTITION_RANGE_START_TAG]}...{tags.get(ASSET_PARTITION_RANGE_END_TAG, '')}"
    return tags.get(PARTITION_TAG, "")


def _named(what: str, partition: str | None) -> str:
    return f"{what} [{partition}]" if partition else what


def _shown(step: str) -> str:
    """A step's name as that of its asset."""
    return step.replace("__", "/")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """An error and its causes, Dagster's own wrapper first."""
    while error is not None:
        yield error
        error = error.cause or error.context


def _message(errors: Sequence[SerializableErrorInfo]) -> str:
    """What the error says that Dagster has wrapped. Our own errors are sentences, and need no class."""
    own = next((error for error in errors if not (error.cls_name or "").startswith("Dagster")), None)
    chosen = own or (errors[0] if errors else None)
    return (OWN_CLASS.sub("", chosen.message).strip() if chosen is not None else "") or "no message"
