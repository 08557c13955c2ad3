"""Tables of a crawl: clips, their audio, and the ledger of both; and the dropped clips of any stage."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import (
    CLIP_ID,
    EVENT_MIDS,
    EVENTS,
    RECORDING,
    SECONDS,
    SITE_FIELDS,
    SOURCE,
    STRING,
    STRINGS,
)

RAW_CLIPS = TableSchema(
    "raw_clips",
    "The record of each clip at its source, as crawled.",
    (
        CLIP_ID,
        SOURCE,
        Column("source_id", STRING, "the clip's id at its source"),
        Column("title", STRING, "the clip's title at its source", nullable=True),
        Column("description", STRING, "the raw description, as its uploader wrote it", nullable=True),
        Column("tags", STRINGS, "tags or categories"),
        Column("events", EVENTS, "labelled sound events in order of onset (s); AudioSet only"),
        Column("start_s", SECONDS, "start of the clip in its recording (s); AudioSet only", nullable=True),
        Column("author", STRING, "who made the clip", nullable=True),
        Column("licence", STRING, "the licence as the source names it", nullable=True),
        Column(
            "licence_id",
            STRING,
            "SPDX identifier, or `LicenseRef-…` for a licence that SPDX does not list",
            derived_from=("licence",),
        ),
        Column(
            "licence_class",
            STRING,
            "`CC0`, `BY`, `BY-NC`, `Sampling+`, `RemArc`, …, or `unknown`",
            derived_from=("licence",),
        ),
        Column(
            "attribution",
            STRING,
            "the credit line: title, author, source, licence",
            derived_from=("title", "author", "licence", "page_url"),
        ),
        Column("page_url", STRING, "the clip's page, for attribution", nullable=True),
        Column(
            "audio_url", STRING, "where the audio is fetched from: a URL, or a path in the source's folder"
        ),
        Column("claimed_duration_s", SECONDS, "duration (s) that the source claims", nullable=True),
        Column("claimed_sample_rate", pa.int32(), "sample rate (Hz) that it claims", nullable=True),
        Column("claimed_channels", pa.int32(), "channels that it claims", nullable=True),
        Column("claimed_format", STRING, "file type that it claims, such as `wav`", nullable=True),
        Column("claimed_bytes", pa.int64(), "file size (bytes) that it claims", nullable=True),
        Column("claimed_md5", STRING, "MD5 of the original file that it claims", nullable=True),
        Column("created", STRING, "when the clip was published (ISO 8601), if known", nullable=True),
        Column("version", pa.int32(), "counts from 1; increases when the source changes the record"),
        Column(
            "record_sha256", STRING, "SHA-256 of the whole record, by this table's version", is_data=False
        ),
        Column(
            "first_crawled_at", pa.timestamp("us", tz="UTC"), "when the clip was first read", is_data=False
        ),
        Column("crawled_at", pa.timestamp("us", tz="UTC"), "when this version was first read", is_data=False),
        RECORDING,
        *SITE_FIELDS,
        Column(
            "claimed_crc32",
            STRING,
            "CRC-32 of the original file that it claims, in 8 hexadecimal digits; data packs only",
            nullable=True,
            added_in=3,
        ),
        EVENT_MIDS,
    ),
)

AUDIO = TableSchema(
    "audio",
    "The normalised audio of each clip: FLAC, 32 kHz, mono.",
    (
        CLIP_ID,
        SOURCE,
        Column("audio_path", STRING, "the FLAC file, relative to the store", derived_from=("audio_url",)),
        Column("duration_s", SECONDS, "measured duration (s)", derived_from=("audio_url",)),
        Column(
            "sample_rate", pa.int32(), "sample rate of the stored audio (Hz)", derived_from=("audio_url",)
        ),
        Column(
            "original_sample_rate", pa.int32(), "sample rate as downloaded (Hz)", derived_from=("audio_url",)
        ),
        Column("original_channels", pa.int32(), "channels as downloaded", derived_from=("audio_url",)),
        Column(
            "original_format",
            STRING,
            "container and codec as downloaded, such as `WAV/PCM_16` or `MP4/aac`",
            derived_from=("audio_url",),
        ),
        Column("original_sha256", STRING, "SHA-256 of the file as downloaded", derived_from=("audio_url",)),
        Column(
            "original_bytes",
            pa.int64(),
            "size of the file as downloaded (bytes)",
            derived_from=("audio_url",),
        ),
        Column(
            "fetched_at",
            pa.timestamp("us", tz="UTC"),
            "when the file was downloaded",
            derived_from=("audio_url",),
            is_data=False,
        ),
        Column("claimed_duration_s", SECONDS, "duration (s) that the source claims", nullable=True),
        Column(
            "peak_dbfs",
            pa.float64(),
            "peak level (dBFS); -inf for digital silence",
            derived_from=("audio_url",),
        ),
        Column(
            "rms_dbfs",
            pa.float64(),
            "RMS level (dBFS); -inf for digital silence",
            derived_from=("audio_url",),
        ),
        Column(
            "clipped_share",
            pa.float64(),
            "share of samples at or beyond full scale, as downloaded (0 to 1)",
            derived_from=("audio_url",),
        ),
        Column(
            "silence_share",
            pa.float64(),
            "share of 20 ms frames below -60 dBFS (0 to 1)",
            derived_from=("audio_url",),
        ),
        Column(
            "bandwidth_hz",
            pa.float64(),
            "highest frequency (Hz) within 60 dB of the strongest band; 0 for digital silence",
            derived_from=("audio_url",),
        ),
        Column("samples_sha256", STRING, "SHA-256 of the stored 16-bit samples", derived_from=("audio_url",)),
        Column("stored_bytes", pa.int64(), "size of the FLAC file (bytes)", derived_from=("audio_url",)),
    ),
)

DROPPED = TableSchema(
    "dropped",
    "The clips that a stage dropped, each with its reason.",
    (
        CLIP_ID,
        SOURCE,
        Column("stage", STRING, "the stage that dropped the clip"),
        Column("reason", STRING, "the rule, in one or two words, such as `too_short`"),
        Column("detail", STRING, "what was found, for people", nullable=True, is_data=False),
    ),
)

LEDGER = TableSchema(
    "ledger",
    "What happened to each clip of a source, and when: one row per event.",
    (
        CLIP_ID,
        SOURCE,
        Column("partition", STRING, "the partition that the clip was listed in", derived_from=()),
        Column(
            "event",
            STRING,
            "`listed`, `changed`, `gone`, `returned`, `missing`, `set_aside`, `unread`, `resolved`, "
            "`fields_added`, `stored`, `failed`, `copy_failed` or `host_fault`",
            derived_from=(),
        ),
        Column("at", pa.timestamp("us", tz="UTC"), "when", derived_from=(), is_data=False),
        Column(
            "round",
            STRING,
            "the id of the crawl, or of the fetch, in which it happened",
            derived_from=(),
            is_data=False,
        ),
        Column("version", pa.int32(), "the version of the record", nullable=True),
        Column(
            "attempt",
            pa.int32(),
            "the number of the attempt to fetch the audio, from 1",
            nullable=True,
            derived_from=(),
        ),
        Column("reason", STRING, "why, in one or two words", nullable=True),
        Column("detail", STRING, "what was found, for people", nullable=True, is_data=False),
        Column(
            "before",
            STRING,
            "the previous record as JSON, where it changed or is gone",
            nullable=True,
            derived_from=(),
        ),
        *SITE_FIELDS,
    ),
    key=("clip_id", "event", "round", "at"),
)
