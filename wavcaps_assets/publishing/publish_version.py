"""Publishes a version of the set, if its content is new."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from wavcaps_assets.publishing.changelog import changelog
from wavcaps_assets.publishing.removals import with_reasons
from wavcaps_assets.publishing.version_diff import counts_of, diff
from wavcaps_assets.store.exclusive import WAIT_S, StillAlone, alone
from wavcaps_assets.store.storage import DamagedTable, Store, StoreError
from wavcaps_assets.tables import MANIFEST, SET_CHANGES
from wavcaps_assets.tables.asset_tables import WHOLE, OtherVersion, TableStore
from wavcaps_assets.tables.set_versions import (
    FOLDER,
    TABLE,
    SetVersion,
    SetVersions,
    content_hash,
    name_of,
    path_of,
)
from wavcaps_assets.tables.stage import Stage

logger = logging.getLogger(__name__)

KEY = ("wavcaps",)
# The run of a version that was adopted: the set of a project from before sets had versions.
ADOPTED = "adopted"
LOCK = ".publish.lock"


@dataclass(frozen=True)
class Publication:
    """The outcome of publishing.

    Attributes:
        version: the version that has the set's content.
        new: whether it was published now; else the newest version has the same content.
        changes: what it changed, `tables.SET_CHANGES`; empty for the first.
    """

    version: SetVersion
    new: bool
    changes: pa.Table


def publish_version(
    tables: TableStore, stage: Stage, sources: Sequence[str], run_id: str, now: datetime
) -> Publication:
    """Publishes the set as a new version, unless the newest one has the same content.

    In a store without versions, the set that is there becomes the first one, as it is. Of two runs that
    publish at the same time, the second one waits: no two versions have one number.

    Args:
        stage: the set, `tables.MANIFEST`, and what it leaves out.
        sources: those that take part.
        run_id: the run that publishes.

    Raises:
        StoreError: it cannot be written, another run publishes for too long, or the newest version cannot be
            read. There is no new version then.
    """
    with _alone(tables.store) as still_alone:
        return _publish(tables, stage, sources, run_id, now, still_alone)


def _publish(
    tables: TableStore,
    stage: Stage,
    sources: Sequence[str],
    run_id: str,
    now: datetime,
    still_alone: StillAlone,
) -> Publication:
    versions = SetVersions(tables.store)
    latest = versions.latest() or _adopt(tables, versions, now)
    hashed = content_hash(stage.kept)
    if latest is not None and latest.content_hash == hashed:
        return Publication(latest, False, versions.changes(latest))
    changes = SET_CHANGES.empty()
    if latest is not None:
        with tables.store.reading(path_of(latest.name, TABLE)) as before:
            changes = with_reasons(diff(before, stage.kept), tables, stage.dropped, sources)
    version = SetVersion(
        name=name_of(latest.number + 1 if latest is not None else 1, hashed),
        content_hash=hashed,
        created=now,
        run_id=run_id,
        clips=len(stage.kept),
        sources=tuple(sources),
        previous=latest.name if latest is not None else None,
        changes=counts_of(changes) if latest is not None else {"added": len(stage.kept)},
        removed=counts_of(changes, "why"),
    )
    page = page_of(version, changes)
    still_alone()
    versions.write(version, stage.kept, changes, page)
    logger.info("published %s, %d clips", version.name, version.clips)
    return Publication(version, True, changes)


@contextmanager
def _alone(store: Store) -> Iterator[StillAlone]:
    """Keeps other processes, on any machine, from publishing until the context ends."""
    with ExitStack() as held:
        try:
            still_alone = held.enter_context(alone(store, FOLDER, LOCK, f"{FOLDER}/{LOCK}", WAIT_S))
        except TimeoutError as error:
            raise StoreError(
                f"another run has been publishing a version of the set in {store.describe(FOLDER)} for "
                f"{WAIT_S:.0f} s: wait for it, and materialize wavcaps again"
            ) from error
        yield still_alone


def page_of(version: SetVersion, changes: pa.Table) -> str:
    """The changelog of a version, as Markdown."""
    since = f"what changed since {version.previous}" if version.previous else "the first version"
    title = f"{version.name}: {since} ({version.clips:,} clips, {version.created:%Y-%m-%d %H:%M} UTC)"
    return changelog(title, changes, version.changes, version.removed)


def _adopt(tables: TableStore, versions: SetVersions, now: datetime) -> SetVersion | None:
    """Makes a version of the set of an older version of the project; None: there is none."""
    if not tables.exists(KEY, None):
        return None
    try:
        table = tables.read(KEY, [WHOLE])
    except (DamagedTable, OtherVersion) as error:
        logger.warning("the set in the store is no version, because it cannot be read: %s", error)
        return None
    hashed = content_hash(table)
    version = SetVersion(
        name=name_of(1, hashed),
        content_hash=hashed,
        created=now,
        run_id=ADOPTED,
        clips=len(table),
        sources=tuple(tables.sources_of(KEY)),
        changes={"added": len(table)},
    )
    changes = SET_CHANGES.empty()
    versions.write(version, MANIFEST.check(table), changes, page_of(version, changes))
    return version
