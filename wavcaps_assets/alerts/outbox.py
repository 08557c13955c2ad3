"""Which causes are known, and which alerts are to be delivered: each cause is reported once until it is over.

A cause, such as a check that fails, may concern many places, such as partitions. It is reported when it
appears, and is over when each of its places has worked since, or when nothing was heard of it for a week.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from wavcaps_assets.alerts.channels import Channel, NotDelivered
from wavcaps_assets.alerts.message import Alert, Kind
from wavcaps_assets.masking import masked

# A cause of which nothing was heard for so long is over.
FORGET_AFTER = timedelta(days=7)
# Of what happens again and again, such as withdrawn consent, one alert in this time.
REPEAT_AFTER = timedelta(days=1)
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class Finding:
    """Something that a person should know.

    Attributes:
        cause: what is wrong; the same for everything that has the same reason.
        place: where: an asset and a partition.
        kind: what it is about.
        title: one line.
        what: what happened.
        page: of the web UI.
        at: when (UTC).
        repeats: whether each place is news, and not a part of one story: reported at most once a day.
    """

    cause: str
    place: str
    kind: Kind
    title: str
    what: str
    page: str
    at: datetime
    repeats: bool = False


class Cause(BaseModel):
    """A cause that was reported and is not over.

    Attributes:
        places: those that have not worked since.
        reported: when its newest alert was made (UTC).
        heard: when it was noticed last (UTC).
    """

    places: list[str]
    reported: datetime
    heard: datetime


class Down(BaseModel):
    """A channel that failed.

    Attributes:
        failures: how often in a row.
        not_before: when it is tried again (UTC).
        problem: what was wrong.
    """

    failures: int
    not_before: datetime
    problem: str


class Waiting(BaseModel):
    """An alert, and the channels that do not have it yet.

    Attributes:
        cause: its cause.
        alert: the message.
        due: when it is sent (UTC).
        tries: by the name of each of these channels, how often it was sent there in vain.
        started: whether it was sent anywhere, so that its text must not change any more.
    """

    cause: str
    alert: Alert
    due: datetime
    tries: dict[str, int]
    started: bool = False


class Outbox(BaseModel):
    """What has to survive a restart. `save` it before anything is sent, and after each delivery.

    Attributes:
        newest_run: the newest run that was looked at, by its id and the time of its creation (s since the
            epoch); None: none yet.
        unfinished: runs that had not ended then.
        causes: by their names.
        waiting: alerts to deliver, the oldest first.
        down: the channels that failed last, by their names.
        failed_backfills: the newest backfills that had failed then, by their ids; None: not known.
    """

    model_config = ConfigDict(extra="ignore")

    newest_run: tuple[str, float] | None = None
    unfinished: list[str] = []
    causes: dict[str, Cause] = {}
    waiting: list[Waiting] = []
    down: dict[str, Down] = {}
    failed_backfills: list[str] | None = None

    def add(self, findings: Iterable[Finding], channels: Collection[str], now: datetime) -> None:
        """Notes what happened. A new cause becomes an alert to all channels.

        Args:
            channels: the names of those that are set.
            now: the time (UTC).
        """
        for finding in findings:
            known = self.causes.get(finding.cause)
            if known is None:
                self.causes[finding.cause] = Cause(places=[finding.place], reported=now, heard=now)
                self._queue(finding, channels, now)
                continue
            known.heard = now
            if finding.place in known.places:
                continue
            known.places.append(finding.place)
            unsent = self._unsent(finding.cause)
            if unsent is not None:
                unsent.alert.places.append(finding.place)
                if finding.repeats:
                    unsent.alert.what = f"{unsent.alert.what}\n{masked(finding.what)}"
            elif finding.repeats:
                due = max(now, known.reported + REPEAT_AFTER)
                known.reported = due
                self._queue(finding, channels, due)

    def end(self, places: Collection[str]) -> None:
        """Notes what works again. A cause is over when all of its places do."""
        for name, cause in list(self.causes.items()):
            cause.places = [place for place in cause.places if place not in places]
            if not cause.places:
                del self.causes[name]

    def end_of(self, cause: str) -> None:
        """Notes that a cause is over."""
        self.causes.pop(cause, None)

    def forget(self, now: datetime) -> None:
        """Drops the causes of which nothing was heard for long."""
        self.causes = {name: cause for name, cause in self.causes.items() if now - cause.heard < FORGET_AFTER}

    def deliver(
        self,
        channels: Mapping[str, Channel],
        now: datetime,
        save: Callable[[], None],
        time_is_up: Callable[[], bool],
    ) -> tuple[int, list[str]]:
        """Sends what is due. A channel that fails is left alone for a while, longer each time.

        Args:
            channels: by their names. An alert to a channel that is not set any more is dropped.
            save: writes this outbox; called after each delivery and each failure.
            time_is_up: whether the rest has to wait for the next time.

        Returns:
            The number of deliveries, and what went wrong.
        """
        self.down = {name: one for name, one in self.down.items() if name in channels}
        for one in self.waiting:
            one.tries = {name: tries for name, tries in one.tries.items() if name in channels}
        self.waiting = [one for one in self.waiting if one.tries]
        delivered, problems = 0, list[str]()
        for name, channel in channels.items():
            if name in self.down and self.down[name].not_before > now:
                continue
            # One that is never accepted must not keep back the others.
            due = [one for one in self.waiting if name in one.tries and one.due <= now]
            for one in sorted(due, key=lambda waiting: waiting.tries[name]):
                if time_is_up():
                    break
                problem = self._send(one, name, channel, now)
                save()
                if problem:
                    problems.append(f"{name}: {problem}")
                    break
                delivered += 1
        return delivered, problems

    def _send(self, one: Waiting, name: str, channel: Channel, now: datetime) -> str:
        """Sends one alert to one channel. Returns what went wrong; empty: nothing."""
        one.started = True
        try:
            channel.send(one.alert)
        except NotDelivered as error:
            failures = self.down[name].failures + 1 if name in self.down else 1
            wait = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
            self.down[name] = Down(failures=failures, not_before=now + wait, problem=str(error))
            one.tries[name] += 1
            return str(error)
        self.down.pop(name, None)
        del one.tries[name]
        if not one.tries:
            self.waiting.remove(one)
        return ""

    def _queue(self, finding: Finding, channels: Collection[str], due: datetime) -> None:
        alert = Alert(
            id=uuid.uuid4().hex,
            kind=finding.kind,
            title=masked(finding.title),
            what=masked(finding.what),
            places=[finding.place],
            page=finding.page,
            at=finding.at,
        )
        tries = dict.fromkeys(channels, 0)
        self.waiting.append(Waiting(cause=finding.cause, alert=alert, due=due, tries=tries))

    def _unsent(self, cause: str) -> Waiting | None:
        """The alert of a cause that was not sent anywhere yet."""
        return next((one for one in self.waiting if one.cause == cause and not one.started), None)
