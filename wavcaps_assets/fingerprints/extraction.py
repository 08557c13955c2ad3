"""Fingerprints of stored clips. A clip whose audio is as it was is not fingerprinted again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pyarrow as pa

from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio
from wavcaps_assets.benchmark_sets.tars import MEMBER
from wavcaps_assets.fingerprints.landmarks import Landmarks, TooLongToCompare, landmarks_of_file
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.errors import MissingFile
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FINGERPRINTS
from wavcaps_assets.tables.stage import Stage, drop

logger = logging.getLogger(__name__)

STAGE = "fingerprints"
NO_AUDIO, UNREADABLE = "no_audio", "unreadable_audio"
# Stored with the table. Fingerprints of another recipe are computed again.
RECIPE = "landmarks 1: 16 kHz, 1024/256, 448 bins, 11 × 15, 70 dB"
# Read at a time, so that a Ctrl-C loses little and a long list needs no queue.
CLIPS_AT_A_TIME = 256
# Errors that concern one clip. Any other error of the store stops the work.
ERRORS = (UnreadableAudio, EmptyAudio, TooLongToCompare)
SILENT = NoProgress()


@dataclass(frozen=True)
class StoredClip:
    """A clip to fingerprint.

    Attributes:
        audio_path: in the store; None: there is none.
        audio_sha256: of its samples; None: the hash of the file is taken.
    """

    clip_id: str
    source: str
    audio_path: str | None
    audio_sha256: str | None = None


@dataclass(frozen=True)
class Fingerprint:
    """The landmarks of a clip.

    Attributes:
        audio_sha256: of what they were computed from.
        computed: false if they were there before.
    """

    audio_sha256: str
    landmarks: Landmarks
    computed: bool


@dataclass(frozen=True)
class Fingerprinted:
    """The fingerprints of some clips.

    Attributes:
        stage: `tables.FINGERPRINTS`; and the clips that have no readable audio, with the reason.
        computed: how many were computed; the others were there before.
    """

    stage: Stage
    computed: int


def fingerprint(
    clips: Sequence[StoredClip], store: Store, before: pa.Table | None = None, progress: Progress = SILENT
) -> Fingerprinted:
    """Fingerprints clips, on all processor cores.

    Args:
        before: fingerprints of the same recipe that exist already, by the hash of the audio.

    Raises:
        StoreError: the store cannot be read. A file that is not there, or cannot be decoded, concerns its
            clip only.
    """
    known = _by_hash(before) if before is not None else {}
    kept: list[tuple[StoredClip, Fingerprint]] = []
    dropped = []
    waiting = iter(clips)
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix=STAGE) as threads:
        while some := list(islice(waiting, CLIPS_AT_A_TIME)):
            for clip, outcome in zip(
                some, threads.map(lambda one: _one(one, store, known), some), strict=True
            ):
                if isinstance(outcome, Fingerprint):
                    kept.append((clip, outcome))
                else:
                    dropped.append(drop(clip.clip_id, clip.source, STAGE, *outcome))
            progress.update(len(kept) + len(dropped), len(clips), "clips fingerprinted")
    if dropped:
        logger.warning("%d of %d clips have no audio that can be compared", len(dropped), len(clips))
    stage = Stage(_table(kept), pa.Table.from_pylist(dropped, schema=DROPPED.arrow), settings=RECIPE)
    return Fingerprinted(stage, sum(one.computed for _, one in kept))


def landmarks_of(table: pa.Table) -> list[Landmarks]:
    """The landmarks of each row of `tables.FINGERPRINTS`, without copies."""
    found: list[Landmarks] = []
    for chunk in table.column("landmarks").chunks:
        offsets, values = chunk.offsets.to_numpy(), chunk.values.to_numpy(zero_copy_only=False)
        found += [values[offsets[row] : offsets[row + 1]] for row in range(len(chunk))]
    return found


def in_batches(table: pa.Table, clips: int) -> Iterator[pa.Table]:
    """Parts of a table, of this number of clips each."""
    return (table.slice(at, clips) for at in range(0, len(table), clips))


def _one(clip: StoredClip, store: Store, known: Mapping[str, Landmarks]) -> Fingerprint | tuple[str, str]:
    """The fingerprint of a clip; or the reason why it has none, and what was found."""
    if clip.audio_path is None:
        return NO_AUDIO, "its audio is not here"
    if clip.audio_sha256 is not None and clip.audio_sha256 in known:
        return Fingerprint(clip.audio_sha256, known[clip.audio_sha256], computed=False)
    try:
        with _reading(store, clip.audio_path) as path:
            sha256 = clip.audio_sha256
            if sha256 is None:
                with path.open("rb") as file:
                    sha256 = file_digest(file, "sha256").hexdigest()
            if sha256 in known:
                return Fingerprint(sha256, known[sha256], computed=False)
            return Fingerprint(sha256, landmarks_of_file(path), computed=True)
    except MissingFile as error:
        return NO_AUDIO, str(error)
    except ERRORS as error:
        return UNREADABLE, f"{clip.audio_path}: {error}"


@contextmanager
def _reading(store: Store, audio_path: str) -> Iterator[Path]:
    """A local copy of an audio file, or of one in a tar."""
    if member := MEMBER.fullmatch(audio_path):
        with NamedTemporaryFile() as file:
            file.write(store.read_span(member["tar"], int(member["start"]), int(member["size"])))
            file.flush()
            yield Path(file.name)
    else:
        with store.reading(audio_path) as path:
            yield path


def _by_hash(table: pa.Table) -> dict[str, Landmarks]:
    return dict(zip(table.column("audio_sha256").to_pylist(), landmarks_of(table), strict=True))


def _table(rows: Sequence[tuple[StoredClip, Fingerprint]]) -> pa.Table:
    lengths = [len(one.landmarks) for _, one in rows]
    values = np.concatenate([np.zeros(0, np.uint32), *(one.landmarks for _, one in rows)])
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    columns = [
        pa.array([clip.clip_id for clip, _ in rows], pa.string()),
        pa.array([clip.source for clip, _ in rows], pa.string()),
        pa.array([one.audio_sha256 for _, one in rows], pa.string()),
        pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)),
    ]
    return pa.table(columns, schema=FINGERPRINTS.arrow)
