"""What the three stages make of clips."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, EVENTS, SECONDS, SOURCE, STRING, STRINGS

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
            "text",
            STRING,
            "the raw text that was captioned",
            derived_from=("title", "description", "tags", "events"),
        ),
        Column(
            "caption", STRING, "the model's caption", derived_from=("title", "description", "tags", "events")
        ),
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

FINDINGS = pa.list_(
    pa.struct(
        [
            pa.field("judgement", pa.int32(), nullable=False),
            pa.field("rule", pa.string(), nullable=False),
            pa.field("verdict", pa.string(), nullable=False),
            pa.field("detail", pa.string(), nullable=False),
        ]
    )
)

CAPTIONS = TableSchema(
    "captions",
    "Stage 3: captions that passed the rules, repaired where a rule could, or asked about a second time.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text that was captioned"),
        Column("caption", STRING, "the published caption"),
        Column("repairs", STRINGS, "the rules that repaired the caption", derived_from=("caption",)),
        Column(
            "verdict",
            STRING,
            "what the rules said first: `accept`, `repair`, or `ask_again`, whose second answer this is",
            derived_from=("caption",),
        ),
        Column(
            "findings",
            FINDINGS,
            "what each rule said, in judgement 0 of stage 2's caption and 1, 2, ... of later answers",
            derived_from=("caption",),
        ),
        Column(
            "first_caption",
            STRING,
            "the caption of stage 2, where it is another",
            nullable=True,
            derived_from=("caption",),
        ),
        Column(
            "second_answer_id",
            STRING,
            "the key in the response ledger of the second answer that is published",
            nullable=True,
            derived_from=(),
        ),
        Column("second_model", STRING, "the model that gave it", nullable=True, derived_from=()),
        Column(
            "second_prompt_version",
            STRING,
            "content hash of the prompt that it was asked with",
            nullable=True,
            derived_from=(),
        ),
    ),
)
