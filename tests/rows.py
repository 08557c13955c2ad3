"""Rows of the pipeline's tables, for tests that care about a column or two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def raw_row(clip_id: str, source: str = "freesound", **changes: Any) -> dict[str, Any]:
    return {
        "clip_id": clip_id,
        "source": source,
        "source_id": clip_id,
        "title": None,
        "description": f"the description of {clip_id}",
        "tags": [],
        "events": [],
        "audio_url": "http://127.0.0.1/audio.wav",
        "crawled_at": datetime(2022, 11, 30, tzinfo=UTC),
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
        "peak_dbfs": -1.0,
        "rms_dbfs": -20.0,
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
        "model": "test",
        "prompt_version": "1",
        **changes,
    }
