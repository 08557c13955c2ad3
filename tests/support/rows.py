"""Rows of the pipeline's tables, for tests that care about a column or two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

CRAWLED = datetime(2022, 11, 30, tzinfo=UTC)


def raw_row(clip_id: str, source: str = "freesound", **changes: Any) -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "source": source,
        "source_id": clip_id,
        "title": None,
        "description": f"the description of {clip_id}",
        "tags": [],
        "events": [],
        "licence_id": "CC0-1.0",
        "licence_class": "CC0",
        "attribution": f"{clip_id}, CC0",
        "audio_url": "http://127.0.0.1/audio.wav",
        "version": 1,
        "record_sha256": f"sha of the record of {clip_id}",
        "first_crawled_at": CRAWLED,
        "crawled_at": CRAWLED,
        **changes,
    }


def audio_row(clip_id: str, source: str = "freesound", **changes: Any) -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "source": source,
        "audio_path": f"audio/{source}/{clip_id}.flac",
        "duration_s": 2.0,
        "sample_rate": 32_000,
        "original_sample_rate": 44_100,
        "original_channels": 2,
        "original_format": "WAV/PCM_16",
        "original_sha256": f"sha of the original of {clip_id}",
        "original_bytes": 1,
        "fetched_at": datetime(2022, 12, 1, tzinfo=UTC),
        "peak_dbfs": -1.0,
        "rms_dbfs": -20.0,
        "clipped_share": 0.0,
        "silence_share": 0.0,
        "bandwidth_hz": 16_000.0,
        "samples_sha256": f"sha of {clip_id}",
        "stored_bytes": 1,
        **changes,
    }


def manifest_row(clip_id: str, source: str = "freesound", **changes: Any) -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "source": source,
        "source_id": clip_id,
        "caption": "A dog barks.",
        "text": "dog",
        "tags": [],
        "events": [],
        "audio_path": f"audio/{source}/{clip_id}.flac",
        "duration_s": 2.0,
        "samples_sha256": f"sha of {clip_id}",
        "licence_id": "CC0-1.0",
        "attribution": f"{clip_id}, CC0",
        "model": "test",
        "prompt_version": "1",
        **changes,
    }
