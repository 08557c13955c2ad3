"""Every table that crosses an asset boundary, in the order of the lineage graph.

A clip is one row of each per-clip table and is identified by `clip_id`; tables are joined by it,
never by position.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from wavcaps_assets.tables import Column, TableSchema

STRING = pa.string()
STRINGS = pa.list_(pa.string())
SECONDS = pa.float64()
EVENTS = pa.list_(
    pa.struct(
        [
            pa.field("onset_s", pa.float64(), nullable=False),
            pa.field("offset_s", pa.float64(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
        ]
    )
)

CLIP_ID = Column("clip_id", STRING, "`<source>-<id at the source>`, unique in the whole set")
SOURCE = Column("source", STRING, "the source's name, such as `freesound`")

RAW_CLIPS = TableSchema(
    "raw_clips",
    "What a source says of each of its clips, as crawled.",
    (
        CLIP_ID,
        SOURCE,
        Column("source_id", STRING, "the clip's id at its source"),
        Column("title", STRING, "the clip's name at its source", nullable=True),
        Column("description", STRING, "the raw description, as its uploader wrote it", nullable=True),
        Column("tags", STRINGS, "tags or categories"),
        Column("events", EVENTS, "labelled sound events in order of onset (s); AudioSet only"),
        Column("start_s", SECONDS, "where it starts in its recording (s); AudioSet only", nullable=True),
        Column("author", STRING, "who made the clip", nullable=True),
        Column("licence", STRING, "the licence as the source words it", nullable=True),
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
        Column("audio_url", STRING, "where the audio is fetched from"),
        Column("claimed_duration_s", SECONDS, "duration (s) that the source claims", nullable=True),
        Column("claimed_sample_rate", pa.int32(), "sample rate (Hz) that it claims", nullable=True),
        Column("claimed_channels", pa.int32(), "channels that it claims", nullable=True),
        Column("claimed_format", STRING, "file type that it claims, such as `wav`", nullable=True),
        Column("claimed_bytes", pa.int64(), "file size (bytes) that it claims", nullable=True),
        Column("claimed_md5", STRING, "MD5 of the original file that it claims", nullable=True),
        Column("created", STRING, "when the clip was published (ISO 8601), where said", nullable=True),
        Column("version", pa.int32(), "counts from 1; rises when the source changes the record"),
        Column("record_sha256", STRING, "SHA-256 of all that the source says of the clip"),
        Column("first_crawled_at", pa.timestamp("us", tz="UTC"), "when the clip was first read"),
        Column("crawled_at", pa.timestamp("us", tz="UTC"), "when this version was first read"),
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
            "share of the samples at or beyond full scale, as downloaded (0 to 1)",
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
    "The clips that a stage set aside, each with its reason.",
    (
        CLIP_ID,
        SOURCE,
        Column("stage", STRING, "the stage that set the clip aside"),
        Column("reason", STRING, "the rule, in a word or two, such as `too_short`"),
        Column("detail", STRING, "what was seen, for the person who looks", nullable=True),
    ),
)

LEDGER = TableSchema(
    "ledger",
    "What happened to each clip of a source, and when: one row an event.",
    (
        CLIP_ID,
        SOURCE,
        Column("partition", STRING, "the partition that the clip was listed in", derived_from=()),
        Column(
            "event",
            STRING,
            "`listed`, `changed`, `gone`, `returned`, `set_aside`, `unread`, `resolved`, "
            "`stored` or `failed`",
            derived_from=(),
        ),
        Column("at", pa.timestamp("us", tz="UTC"), "when", derived_from=()),
        Column("round", STRING, "the crawl, or the fetch, that it happened in", derived_from=()),
        Column("version", pa.int32(), "which version of the record", nullable=True),
        Column(
            "attempt", pa.int32(), "which attempt to get the audio, from 1", nullable=True, derived_from=()
        ),
        Column("reason", STRING, "why, in a word or two", nullable=True),
        Column("detail", STRING, "what was seen, for the person who looks", nullable=True),
        Column(
            "before",
            STRING,
            "the record's last version, as JSON, where it changed or is gone",
            nullable=True,
            derived_from=(),
        ),
    ),
    key=("clip_id", "event", "round", "at"),
)

FILTERED_CLIPS = TableSchema(
    "filtered_clips",
    "The clips that pass stage 1 (section III.B, Pre-Filtering).",
    (
        CLIP_ID,
        SOURCE,
        Column("title", STRING, "the clip's name at its source", nullable=True),
        Column("description", STRING, "the raw description", nullable=True),
        Column("tags", STRINGS, "tags or categories"),
        Column("events", EVENTS, "labelled sound events in order of onset (s)"),
        Column(
            "duration_s",
            SECONDS,
            "measured duration (s) where the audio is there, else the claimed one",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
    ),
)

LLM_CAPTIONS = TableSchema(
    "llm_captions",
    "Stage 2: what the language model made of each clip's description.",
    (
        CLIP_ID,
        SOURCE,
        Column(
            "text", STRING, "the raw text that was captioned", derived_from=("title", "description", "events")
        ),
        Column("caption", STRING, "the model's caption", derived_from=("title", "description", "events")),
        Column("model", STRING, "the model that answered, or `template`", derived_from=()),
        Column("prompt_version", STRING, "content hash of the prompt and its examples", derived_from=()),
        Column(
            "answer_id",
            STRING,
            "the answer's key in the response ledger",
            nullable=True,
            derived_from=(),
        ),
        Column("attempts", pa.int32(), "how often the model was asked", derived_from=()),
    ),
)

CAPTION_COMPARISON = TableSchema(
    "caption_comparison",
    "Two ways of captioning the same clips, side by side; the least alike first.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text that was captioned", nullable=True),
        Column("first_caption", STRING, "the first's caption", nullable=True, derived_from=("caption",)),
        Column("second_caption", STRING, "the second's caption", nullable=True, derived_from=("caption",)),
        Column("first_reason", STRING, "why the first has none", nullable=True, derived_from=()),
        Column("second_reason", STRING, "why the second has none", nullable=True, derived_from=()),
        Column("equal", pa.bool_(), "whether the captions have the same words", derived_from=("caption",)),
        Column(
            "rouge_l",
            pa.float64(),
            "ROUGE-L of the first against the second (0 to 1)",
            nullable=True,
            derived_from=("caption",),
        ),
        Column(
            "overlap",
            pa.float64(),
            "share of the words of either that both have (0 to 1)",
            nullable=True,
            derived_from=("caption",),
        ),
    ),
)

CAPTIONS = TableSchema(
    "captions",
    "Stage 3: captions that passed the rules, repaired where a rule could.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text that was captioned"),
        Column("caption", STRING, "the published caption"),
        Column("repairs", STRINGS, "the rules that repaired the caption", derived_from=("caption",)),
    ),
)

MANIFEST = TableSchema(
    "manifest",
    "What is published: one clip, its caption, its audio and whom to credit.",
    (
        CLIP_ID,
        SOURCE,
        Column("source_id", STRING, "the clip's id at its source"),
        Column("caption", STRING, "the caption"),
        Column("text", STRING, "the raw text that the caption was made from"),
        Column("title", STRING, "the clip's name at its source", nullable=True),
        Column("tags", STRINGS, "tags or categories"),
        Column("events", EVENTS, "labelled sound events in order of onset (s)"),
        Column("audio_path", STRING, "the FLAC file, relative to the store"),
        Column("duration_s", SECONDS, "measured duration (s)"),
        Column("samples_sha256", STRING, "SHA-256 of the stored 16-bit samples"),
        Column("author", STRING, "who made the clip", nullable=True),
        Column("licence", STRING, "the licence as the source words it", nullable=True),
        Column("licence_id", STRING, "SPDX identifier, or `LicenseRef-…`"),
        Column("attribution", STRING, "the credit line: title, author, source, licence"),
        Column("page_url", STRING, "the clip's page, for attribution", nullable=True),
        Column("model", STRING, "the model that wrote the caption, or `template`"),
        Column("prompt_version", STRING, "content hash of the prompt and its examples"),
    ),
)

RECORDINGS = TableSchema(
    "recordings",
    "Which clips are known to be cut or mixed from the same recording.",
    (
        CLIP_ID,
        Column("recording", STRING, "a name for the recording, the same for every clip made of it"),
    ),
    key=("clip_id", "recording"),
)

TRAINING_MANIFEST = TableSchema(
    "training_manifest",
    "The manifest with a fixed train, validation and test split by recording.",
    (
        CLIP_ID,
        SOURCE,
        Column("caption", STRING, "the caption"),
        Column("audio_path", STRING, "the FLAC file, relative to the store"),
        Column("duration_s", SECONDS, "measured duration (s)"),
        Column(
            "recording",
            STRING,
            "the group of clips that share a recording; a group is never split",
            derived_from=("recording", "samples_sha256"),
        ),
        Column("split", STRING, "`train`, `validation` or `test`", derived_from=("recording",)),
    ),
)

LEARNING_CURVE = pa.list_(
    pa.struct(
        [
            pa.field("epoch", pa.int32(), nullable=False),
            pa.field("train_loss", pa.float64(), nullable=False),
            pa.field("validation_loss", pa.float64(), nullable=False),
            pa.field("validation_recall_at_1", pa.float64(), nullable=False),
            pa.field("validation_recall_at_10", pa.float64(), nullable=False),
            pa.field("learning_rate", pa.float64(), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
        ]
    )
)

CHECKPOINT = TableSchema(
    "checkpoint",
    "A trained model: where its weights are and how it came to be. One row.",
    (
        Column("model", STRING, "the model, such as `htsat_bert`", derived_from=()),
        Column("setting", STRING, "the experiment's name", derived_from=()),
        Column(
            "weights_path",
            STRING,
            "the safetensors file, relative to the store",
            derived_from=("audio_path", "caption"),
        ),
        Column("untrained_weights_path", STRING, "the weights before the first step", derived_from=()),
        Column("settings_json", STRING, "all settings of the run, as JSON", derived_from=()),
        Column(
            "manifest_sha256",
            STRING,
            "what the run was trained on: hash of the manifest's rows",
            derived_from=("clip_id", "caption", "split"),
        ),
        Column("parameters", pa.int64(), "number of parameters", derived_from=()),
        Column(
            "trainable_parameters",
            pa.int64(),
            "number of parameters that were trained",
            derived_from=(),
        ),
        Column(
            "best_epoch",
            pa.int32(),
            "the epoch whose weights are kept, by validation",
            derived_from=("split",),
        ),
        Column("seconds", SECONDS, "how long training took (s)", derived_from=()),
        Column("device", STRING, "the device that it ran on", derived_from=()),
        Column("train_clips", pa.int32(), "clips in the train split", derived_from=("split",)),
        Column("validation_clips", pa.int32(), "clips in the validation split", derived_from=("split",)),
        Column("learning_curve", LEARNING_CURVE, "one entry an epoch", derived_from=("split",)),
    ),
    key=("model", "setting"),
)

RETRIEVAL_SCORES = TableSchema(
    "retrieval_scores",
    "Audio-language retrieval on the test split: R@k in percent, both ways.",
    (
        Column("model", STRING, "`trained`, `untrained` or `chance`", derived_from=("weights_path",)),
        Column("direction", STRING, "`text_to_audio` or `audio_to_text`", derived_from=()),
        Column("metric", STRING, "`R@1`, `R@5` or `R@10`", derived_from=()),
        Column(
            "value",
            pa.float64(),
            "the score in percent",
            derived_from=("weights_path", "audio_path", "caption", "split"),
        ),
        Column("clips", pa.int32(), "clips in the test split", derived_from=("split",)),
    ),
    key=("model", "direction", "metric"),
)

PAPER_COMPARISON = TableSchema(
    "paper_comparison",
    "The paper's figures beside this run's.",
    (
        Column("table", STRING, "the paper's table, such as `Table III`", derived_from=("source",)),
        Column("row", STRING, "the row of that table", derived_from=("source", "model")),
        Column("column", STRING, "the column of that table", derived_from=("metric",)),
        Column("paper", pa.float64(), "the paper's figure", nullable=True, derived_from=("metric",)),
        Column(
            "measured",
            pa.float64(),
            "this run's figure",
            nullable=True,
            derived_from=("value", "caption", "duration_s"),
        ),
        Column("unit", STRING, "the figures' unit", derived_from=("metric",)),
        Column("comparable", pa.bool_(), "whether the two may be compared", derived_from=("metric",)),
        Column("note", STRING, "why, or why not", derived_from=("metric",)),
    ),
    key=("table", "row", "column"),
)

LLM_COSTS = TableSchema(
    "llm_costs",
    "What the language models' answers cost, from the response ledger.",
    (
        Column("source", STRING, "whose clips were asked about; `unknown` in old records", derived_from=()),
        Column("model", STRING, "the model that was asked", derived_from=()),
        Column("prompt_version", STRING, "content hash of the prompt and its examples", derived_from=()),
        Column("month", STRING, "when it was answered, YYYY-MM (UTC)", derived_from=()),
        Column("requests", pa.int64(), "requests that were answered", derived_from=()),
        Column("texts", pa.int64(), "texts that they asked about", derived_from=()),
        Column(
            "answers", pa.int64(), "requests with a whole answer: no refusal, not cut off", derived_from=()
        ),
        Column("prompt_tokens", pa.int64(), "tokens of the questions, where told", derived_from=()),
        Column("completion_tokens", pa.int64(), "tokens of the answers, where told", derived_from=()),
        Column("unpriced", pa.int64(), "requests whose cost is not known", derived_from=()),
        Column("cost_usd", pa.float64(), "cost of all others (USD)", derived_from=()),
    ),
    key=("source", "model", "prompt_version", "month"),
)

BY_ASSET = {
    "raw_clips": RAW_CLIPS,
    "audio": AUDIO,
    "ledger": LEDGER,
    "filtered_clips": FILTERED_CLIPS,
    "llm_captions": LLM_CAPTIONS,
    "llm_costs": LLM_COSTS,
    "caption_comparison": CAPTION_COMPARISON,
    "captions": CAPTIONS,
    "manifest": MANIFEST,
    "wavcaps": MANIFEST,
    "recordings": RECORDINGS,
    "training_manifest": TRAINING_MANIFEST,
    "checkpoint": CHECKPOINT,
    "scores/retrieval": RETRIEVAL_SCORES,
    "paper_comparison": PAPER_COMPARISON,
}


def schema_of(asset_key: Sequence[str]) -> TableSchema:
    """The schema of an asset's table: by its whole key, else by its last part, else by its first.

    Raises:
        KeyError: the asset has no table.
    """
    for name in ("/".join(asset_key), asset_key[-1], asset_key[0]):
        if name in BY_ASSET:
            return BY_ASSET[name]
    raise KeyError(f"asset {'/'.join(asset_key)} has no schema in schemas.py")
