"""A small published set with real audio, to export."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import soundfile

from tests.support.rows import audio_row, manifest_row
from wavcaps_assets.exports.exported_set import ExportedSet, open_set
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RATE = 32_000


def flac(seed: int, seconds: float = 0.5) -> tuple[bytes, str]:
    """A FLAC file of noise, and the SHA-256 of its samples."""
    samples = np.random.default_rng(seed).integers(-9000, 9000, int(RATE * seconds), np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue(), hashlib.sha256(samples.tobytes()).hexdigest()


def publish(store: Store, clips: Sequence[Mapping[str, Any]], seconds: float = 0.5) -> ExportedSet:
    """Publishes clips as a version, with their audio.

    Args:
        clips: the columns of each that matter, of `tables.MANIFEST`, with at least `clip_id`.
    """
    rows, audio = [], []
    for number, clip in enumerate(clips):
        content, digest = flac(number, seconds)
        source = clip.get("source", "freesound")
        path = f"audio/{source}/one/{number:05d}.flac"
        store.write_bytes(path, content)
        about = {"audio_path": path, "samples_sha256": digest, "duration_s": seconds}
        rows.append(manifest_row(**{"source_id": clip["clip_id"], **about, **clip}))
        audio.append(audio_row(clip["clip_id"], source, **about, stored_bytes=len(content)))
    tables = TableStore(store)
    for source in {row["source"] for row in rows}:
        of_source = [row for row in audio if row["source"] == source]
        tables.write([source, "audio"], "one", AUDIO.from_rows(of_source))
    publish_version(tables, Stage(MANIFEST.from_rows(rows), DROPPED.empty()), ["freesound"], "run", NOW)
    return open_set(store)
