"""Which causes are known, and which alerts are to be delivered: each cause is told once until it is over.

A cause, such as a check that fails, may concern many places, such as partitions. It is told when it appears,
and is over when each of its places has worked since, or when nothing was heard of it for a week.
"""

from __future__ import annotations

import hashlib
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
ID_CHARS = 24


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
        repeats: whether each place is news, and not a part of one story: told at most once a day.
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
    """A cause that was told and is not over.

    Attributes:
        places: those that have not worked since.
        told: when its newest alert was made (UTC).
        heard: when it was noticed last (UTC).
    """

    places: list[str]
    told: datetime
    heard: datetime


class Attempt(BaseModel):
    """How often an alert was sent to a channel in vain, when it is sent again, and what was wrong."""

    tries: int = 0
    not_before: datetime
    error: str = ""


class Waiting(BaseModel):
    """An alert, and the channels that do not have it yet.

    Attributes:
        started: whether it was sent anywhere, so that its text must not change any more.
    """

    cause: str
    started: bool = False
    alert: Alert
    channels: dict[str, Attempt]


class Outbox(BaseModel):
    """What has to survive a restart. `save` it before anything is sent, and after each delivery.

    Attributes:
        newest_run: the newest run that was looked at, by its id and the time of its creation (s since the
            epoch); None: none yet.
        unfinished: runs that had not ended then.
        causes: by their names.
        waiting: alerts to deliver, the oldest first.
    """

    model_config = ConfigDict(extra="ignore")

    newest_run: tuple[str, float] | None = None
    unfinished: list[str] = []
    causes: dict[str, Cause] = {}
    waiting: list[Waiting] = []

    def add(self, findings: Iterable[Finding], channels: Collection[str], now: datetime) -> None:
        """Notes what happened. A new cause becomes an alert to all channels.

        Args:
            channels: the names of those that are set.
            now: the time (UTC).
        """
        for finding in findings:
            known = self.causes.get(finding.cause)
            if known is None:
                self.causes[finding.cause] = Cause(places=[finding.place], told=now, heard=now)
                self._queue(finding, channels, now, now)
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
                due = max(now, known.told + REPEAT_AFTER)
                known.told = due
                self._queue(finding, channels, now, due)

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
        """Sends what is due. A channel that fails is left alone until the next time.

        Args:
            channels: by their names. An alert to a channel that is not set any more is dropped.
            save: writes this outbox; called after each delivery and each failure.
            time_is_up: whether the rest has to wait for the next time.

        Returns:
            The number of deliveries, and what went wrong.
        """
        delivered, problems = 0, dict[str, str]()
        for one in list(self.waiting):
            for name, attempt in list(one.channels.items()):
                if name in channels:
                    if name in problems or attempt.not_before > now or time_is_up():
                        continue
                    one.started = True
                    try:
                        channels[name].send(one.alert)
                    except NotDelivered as error:
                        attempt.tries += 1
                        attempt.error = problems[name] = str(error)
                        attempt.not_before = now + min(
                            FIRST_WAIT * 2 ** min(attempt.tries - 1, 10), LONGEST_WAIT
                        )
                        save()
                        continue
                    delivered += 1
                del one.channels[name]
                if not one.channels:
                    self.waiting.remove(one)
                save()
        return delivered, [f"{name}: {problem}" for name, problem in problems.items()]

    def _queue(self, finding: Finding, channels: Collection[str], now: datetime, due: datetime) -> None:
        named = hashlib.sha256(f"{finding.cause} {now.isoformat()}".encode()).hexdigest()[:ID_CHARS]
        alert = Alert(
            id=named,
            kind=finding.kind,
            title=masked(finding.title),
            what=masked(finding.what),
            places=[finding.place],
            page=finding.page,
            at=finding.at,
        )
        attempts = {name: Attempt(not_before=due) for name in channels}
        self.waiting.append(Waiting(cause=finding.cause, alert=alert, channels=attempts))

    def _unsent(self, cause: str) -> Waiting | None:
        """The alert of a cause that was not sent anywhere yet."""
        return next((one for one in self.waiting if one.cause == cause and not one.started), None)
