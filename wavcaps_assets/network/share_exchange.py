"""One change of the document in which machines share quotas.

The document has an entry for each machine, and the pauses of hosts. What a machine gives up it gives up in
its own file before the document is written; what it gets it may use afterwards. So a killed process, or a
write that fails, leaves a machine with less than its share, never with more.
"""

from __future__ import annotations

import logging
import socket
import uuid

from wavcaps_assets.network.share_records import Key, ShareRecords
from wavcaps_assets.network.shares import LONG_SPAN_S, Need, Share, is_used_up, new_share
from wavcaps_assets.store.shared_state import Document

logger = logging.getLogger(__name__)

# How often a machine that sends requests changes its entry (s).
BEAT_S = 20.0
# A machine whose entry others see unchanged for this long and a span is dead (s).
EXPIRES_S = 120.0
# A machine that waits for a share of a long span takes part in the division for this much longer (s).
WAITING_S = 3600.0
# Without a request for this long, a machine gives back what it has not used (s).
IDLE_S = 60.0
# In the document: each machine's entry by its name, and each paused host's pause.
OWNERS, PAUSES = "owners", "pauses"


class Exchange:
    """Changes the entry of one machine. The document is changed again where another machine was faster.

    Every method is called in a transaction of the machine's file, and gets the time in it (s).

    Args:
        records: the machine's file.
        token: new; shows the others that the entry has changed.
        wanted: limits in the settings, by key, of which requests need more.
        closing: give back everything that is not used.

    Attributes:
        limits_elsewhere: the smallest limits in other machines' settings, by key, once it has been made.
    """

    def __init__(self, records: ShareRecords, token: str, wanted: dict[Key, int], closing: bool) -> None:
        self._records = records
        self._token = token
        self._wanted = wanted
        self._closing = closing
        self._shares: dict[Key, Share] = {}
        self._usable: dict[Key, int] = {}
        self._pauses: dict[str, tuple[str, float]] = {}
        self._wrote = False
        self.limits_elsewhere: dict[Key, int] = {}

    def begin(self, now: float) -> None:
        self._began = now
        # Before the document, so that the entry of a killed process is known as this machine's.
        self._records.add_token(self._token)
        for key, requests in self._wanted.items():
            self._records.ask(key, requests, now)

    def edit(self, document: Document, now: float) -> None:
        """Changes the document."""
        owners: Document = document.setdefault(OWNERS, {})
        alive = self._remove_dead(owners, now)
        mine = owners.get(self._records.owner())
        if mine is not None and not self._records.has_token(mine["token"]):
            logger.warning("a copy of this machine's file of quotas is in use: it takes another name")
            self._records.new_owner()
            mine = None
        before = _shares_of(mine) if mine is not None else {}
        others = {owner: _shares_of(entry) for owner, entry in owners.items() if entry is not mine}
        self._shares = {
            key: self._new_share(key, before.get(key), others, alive, now) for key in self._records.shares()
        }
        self.limits_elsewhere = {}
        for shares in others.values():
            for key, share in shares.items():
                self.limits_elsewhere[key] = min(share.of, self.limits_elsewhere.get(key, share.of))
        self._edit_pauses(document.setdefault(PAUSES, {}), now)
        entry = _entry_of(self._shares)
        changed = entry != (mine["shares"] if mine is not None else {})
        self._wrote = changed or (bool(entry) and now - self._records.wrote_at() >= BEAT_S)
        if not entry:
            owners.pop(self._records.owner(), None)
        elif self._wrote:
            owners[self._records.owner()] = {
                "machine": socket.gethostname(),
                "token": self._token,
                "shares": entry,
            }

    def commit(self, now: float) -> None:
        """The document has been written."""
        for key, share in self._shares.items():
            self._records.hold(key, self._usable[key], now)
            if not share.held and not share.waits:
                self._records.drop(key)
        for host, (pause, until) in self._pauses.items():
            self._records.know_pause(pause, host, until)
        if self._wrote:
            self._records.wrote(self._began)

    def _new_share(
        self,
        key: Key,
        before: Share | None,
        others: dict[str, dict[Key, Share]],
        alive: dict[str, float],
        now: float,
    ) -> Share:
        of, asked_at, got_at, gave_at = self._records.shares()[key]
        host, seconds = key
        last_request = max(self._records.last_request(host), self._records.last_asked(host))
        used = self._records.used(key, now)
        asks = key in self._wanted and not self._closing
        takes_part_s = EXPIRES_S + (WAITING_S if seconds > LONG_SPAN_S else 0)
        rivals = [
            (shares[key], alive.get(owner, 0.0) < takes_part_s)
            for owner, shares in others.items()
            if key in shares
        ]
        need = Need(
            of=of,
            used=used,
            asks=asks,
            idle=self._closing or now - last_request > IDLE_S,
            keeps=now - got_at < BEAT_S,
            gave=now - gave_at < BEAT_S / 2,
        )
        # What the document says counts: others may have taken the share of a machine that they thought dead.
        held = before.held if before is not None else 0
        usable = self._usable[key] = new_share(need, held, seconds, rivals)
        if min(usable, held) < self._records.held(key):
            self._records.hold(key, min(usable, held), now)
        # Slots that were used in the last span are not passed on yet.
        new = max(usable, min(used, held))
        lacks = asks and is_used_up(new, used)
        waited = before is not None and before.waits and now - asked_at < BEAT_S and not self._closing
        return Share(of, new, lacks or waited)

    def _remove_dead(self, owners: Document, now: float) -> dict[str, float]:
        """Removes the shares of dead machines. Returns how long each other entry has been as it is (s)."""
        unchanged = {}
        for owner in [owner for owner in owners if owner != self._records.owner()]:
            entry = owners[owner]
            unchanged[owner] = now - self._records.seen_since(owner, entry["token"], now)
            left = {
                key: share
                for key, share in _shares_of(entry).items()
                if unchanged[owner] <= EXPIRES_S + key[1]
            }
            if left:
                entry["shares"] = _entry_of(left)
            else:
                logger.info("the share of requests of the machine %s has expired", entry["machine"])
                del owners[owner]
        self._records.keep_seen(list(unchanged))
        return unchanged

    def _edit_pauses(self, pauses: Document, now: float) -> None:
        """Learns of other machines' pauses, and adds this machine's."""
        self._pauses = {}
        own = self._records.pauses(now)
        for host, pause in list(pauses.items()):
            until = self._records.known_pause(pause["id"])
            if until is None:
                # It may have begun a while ago: no clock says when.
                until = now + pause["seconds"]
                self._pauses[host] = pause["id"], until
            if until <= now and host not in own:
                del pauses[host]
            elif own.get(host, 0.0) <= until + 1:
                own.pop(host, None)
        for host, until in own.items():
            pauses[host] = {"id": uuid.uuid4().hex, "seconds": round(until - now, 3)}
            self._pauses[host] = pauses[host]["id"], until


def _shares_of(entry: Document) -> dict[Key, Share]:
    return {
        (host, float(seconds)): Share(*share)
        for host, spans in entry["shares"].items()
        for seconds, share in spans.items()
    }


def _entry_of(shares: dict[Key, Share]) -> Document:
    entry: Document = {}
    for (host, seconds), share in sorted(shares.items()):
        if share.held or share.waits:
            entry.setdefault(host, {})[repr(seconds)] = [share.of, share.held, share.waits]
    return entry
