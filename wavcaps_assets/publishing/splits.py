"""The training manifest: a fixed split in which every recording is in one part only."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from wavcaps_assets.tables import RECORDINGS, TRAINING_MANIFEST

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network


class SplitSettings(BaseModel):
    """The sizes of the parts. The released set has no split, and the benchmarks have their own test sets."""

    validation_share: float = Field(0.15, ge=0, lt=1, description="share of the recordings in `validation`")
    test_share: float = Field(0.2, ge=0, lt=1, description="share of the recordings in `test`")
    seed: str = Field("wavcaps", description="another seed gives another split")


def parse_recordings(text: str) -> pa.Table:
    """Reads the csv `clip_id,recording` as `tables.RECORDINGS`. Rows with an empty cell are left out.

    Raises:
        ValueError: a column is missing.
    """
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    if not {"clip_id", "recording"} <= set(reader.fieldnames or ()):
        raise ValueError(
            f"the list of recordings needs the columns clip_id,recording; it has {reader.fieldnames}"
        )
    pairs = {((row["clip_id"] or "").strip(), _name(row["recording"])) for row in reader}
    return RECORDINGS.from_rows(
        {"clip_id": clip_id, "recording": recording}
        for clip_id, recording in sorted(pairs)
        # An empty name would be one recording of all clips that have none.
        if clip_id and recording
    )


def _name(recording: str | None) -> str:
    """A recording's name, the same however an accent is written and whatever blanks are around it."""
    return unicodedata.normalize("NFC", recording or "").strip()


def read_recordings(address: str, network: Network) -> pa.Table:
    """Reads the list of recordings from a file or a URL. An empty address is an empty list."""
    if not address:
        return RECORDINGS.empty()
    if "://" in address:
        return parse_recordings(network.get_text(address))
    return parse_recordings(Path(address).read_text(encoding="utf-8-sig"))


def all_recordings(listed: pa.Table, wavcaps: pa.Table) -> pa.Table:
    """The recordings in the list and those that the sources name, as `tables.RECORDINGS`.

    Args:
        listed: `tables.RECORDINGS`, from the user's own list.
        wavcaps: `tables.MANIFEST`.

    Raises:
        ValueError: the list names no clip of the set.
    """
    clips = wavcaps.select(["clip_id", "source", "recording"]).to_pylist()
    ids = {clip["clip_id"] for clip in clips}
    pairs = {(row["clip_id"], row["recording"]) for row in listed.to_pylist()}
    if pairs and ids and not any(clip_id in ids for clip_id, _ in pairs):
        raise ValueError(
            f"none of the {len(pairs)} clips in the list of recordings is in the set. It names "
            f"{min(pairs)[0]!r}, and the set has {min(ids)!r}: check WAVCAPS_RECORDINGS_URL"
        )
    # Two sources may use the same name for different recordings.
    pairs |= {
        (clip["clip_id"], f"{clip['source']}: {_name(clip['recording'])}")
        for clip in clips
        if clip["recording"]
    }
    return RECORDINGS.from_rows(
        {"clip_id": clip_id, "recording": recording} for clip_id, recording in sorted(pairs)
    )


def unknown_recordings(split: pa.Table, recordings: pa.Table) -> str:
    """Which sources name no recording, so that nothing keeps clips of one recording together; empty: none.

    Args:
        split: `tables.TRAINING_MANIFEST`.
        recordings: `tables.RECORDINGS`.
    """
    known = pc.is_in(split.column("clip_id"), recordings.column("clip_id").combine_chunks())
    counted = split.select(["source"]).append_column("known", known).group_by("source")
    rows = counted.aggregate([("known", "any"), ([], "count_all")]).sort_by("source").to_pylist()
    without = [f"{row['source']} ({row['count_all']:,} clips)" for row in rows if not row["known_any"]]
    if not without:
        return ""
    return (
        f"no recording is known for {', '.join(without)}: clips that were cut from one recording may be in "
        "two parts of the split. Name the recordings in a list (WAVCAPS_RECORDINGS_URL) or, for your own "
        "sounds, in the column `recording` of clips.csv"
    )


def split_by_recording(manifest: pa.Table, recordings: pa.Table, settings: SplitSettings) -> pa.Table:
    """Assigns every clip a split, the same one for all clips of a recording.

    Two clips are in the same group when they share a recording or have the same samples, directly or
    through other clips. The split depends only on the name of the group, so that clips added elsewhere
    never change it.

    Args:
        manifest: `tables.MANIFEST`.
        recordings: `tables.RECORDINGS`; a clip that is not listed there is a recording by itself.

    Returns:
        `tables.TRAINING_MANIFEST`.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for row in recordings.to_pylist():
        names[row["clip_id"]].append(f"recording:{row['recording']}")
    clips = manifest.select(
        ["clip_id", "source", "caption", "audio_path", "duration_s", "samples_sha256"]
    ).to_pylist()
    groups = _connected(
        (clip["clip_id"], f"samples:{clip['samples_sha256']}", *names[clip["clip_id"]]) for clip in clips
    )
    rows = []
    for clip in clips:
        group = groups[clip["clip_id"]]
        del clip["samples_sha256"]
        rows.append({**clip, "other_captions": [], "recording": group, "split": _split_of(group, settings)})
    return TRAINING_MANIFEST.from_rows(rows)


def _split_of(group: str, settings: SplitSettings) -> str:
    digest = hashlib.sha256(f"{settings.seed}\n{group}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < settings.test_share:
        return "test"
    if draw < settings.test_share + settings.validation_share:
        return "validation"
    return "train"


def _connected(groups: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """For each name, the smallest name in its connected component (union-find)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for first, *others in groups:
        for other in others:
            one, two = sorted((root(first), root(other)))
            parent[two] = one
    return {name: root(name) for name in list(parent)}
