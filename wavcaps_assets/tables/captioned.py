"""Tables of the three stages: filtered clips, captions, and their costs."""

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
        Column("title", STRING, "the clip's title at its source", nullable=True),
        Column("description", STRING, "the raw description", nullable=True),
        Column("tags", STRINGS, "tags or categories"),
        Column("events", EVENTS, "labelled sound events in order of onset (s)"),
        Column(
            "duration_s",
            SECONDS,
            "measured duration (s) where there is audio, else the claimed one",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
    ),
)

LLM_CAPTIONS = TableSchema(
    "llm_captions",
    "Stage 2: the language model's caption of each clip.",
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
        Column("attempts", pa.int32(), "how many requests it took", derived_from=()),
        Column(
            "events",
            EVENTS,
            "labelled sound events in order of onset (s), for the rule `event_order`; null if there are none",
            nullable=True,
            added_in=2,
        ),
    ),
)

OTHER_CAPTIONS = TableSchema(
    "other_captions",
    "Further captions of the clips, of other kinds than the main one, that passed the rules.",
    (
        CLIP_ID,
        SOURCE,
        Column(
            "kind",
            STRING,
            "`tags`, `short`, `long`, `query`, `temporal`, the name of a prompt of your own, or `other`",
            derived_from=(),
        ),
        Column("number", pa.int32(), "counts the captions of a kind from 1", derived_from=()),
        Column(
            "caption",
            STRING,
            "the caption, after repair",
            derived_from=("title", "description", "tags", "events"),
        ),
        Column("model", STRING, "the model that answered, or `template`", derived_from=()),
        Column("prompt_version", STRING, "content hash of the prompt and its examples", derived_from=()),
        Column(
            "answer_id",
            STRING,
            "the answer's key in the response ledger; null: made without a model",
            nullable=True,
            derived_from=(),
        ),
        Column("repairs", STRINGS, "the rules that repaired the caption", derived_from=("caption",)),
    ),
    key=("clip_id", "kind", "number"),
)

CAPTION_COMPARISON = TableSchema(
    "caption_comparison",
    "Captions of the same clips with two settings; the least similar first.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text that was captioned", nullable=True),
        Column(
            "first_caption",
            STRING,
            "caption with the first settings",
            nullable=True,
            derived_from=("caption",),
        ),
        Column(
            "second_caption",
            STRING,
            "caption with the second settings",
            nullable=True,
            derived_from=("caption",),
        ),
        Column("first_reason", STRING, "why there is no first caption", nullable=True, derived_from=()),
        Column("second_reason", STRING, "why there is no second caption", nullable=True, derived_from=()),
        Column("equal", pa.bool_(), "whether the captions have the same words", derived_from=("caption",)),
        Column(
            "rouge_l",
            pa.float64(),
            "ROUGE-L between the two (0 to 1)",
            nullable=True,
            derived_from=("caption",),
        ),
        Column(
            "overlap",
            pa.float64(),
            "shared words as a share of all words of both (0 to 1)",
            nullable=True,
            derived_from=("caption",),
        ),
    ),
)

LLM_COSTS = TableSchema(
    "llm_costs",
    "The cost of the language models' answers, from the response ledger.",
    (
        Column("source", STRING, "the source of the clips; `unknown` in old records", derived_from=()),
        Column("model", STRING, "the model", derived_from=()),
        Column("prompt_version", STRING, "content hash of the prompt and its examples", derived_from=()),
        Column("month", STRING, "month of the answer, YYYY-MM (UTC)", derived_from=()),
        Column("requests", pa.int64(), "answered requests", derived_from=()),
        Column("texts", pa.int64(), "texts in these requests", derived_from=()),
        Column(
            "answers",
            pa.int64(),
            "requests with a complete answer: not refused, not cut off",
            derived_from=(),
        ),
        Column("prompt_tokens", pa.int64(), "prompt tokens, where reported", derived_from=()),
        Column("completion_tokens", pa.int64(), "completion tokens, where reported", derived_from=()),
        Column("unpriced", pa.int64(), "requests whose cost is not known", derived_from=()),
        Column("cost_usd", pa.float64(), "cost of all other requests (USD)", derived_from=()),
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
    "Stage 3: captions that passed the rules, some of them repaired or requested a second time.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text that was captioned"),
        Column("caption", STRING, "the published caption"),
        Column("repairs", STRINGS, "the rules that repaired the caption", derived_from=("caption",)),
        Column(
            "verdict",
            STRING,
            "the first verdict: `accept`, `repair`, or `ask_again`, where this is the second answer",
            derived_from=("caption",),
        ),
        Column(
            "findings",
            FINDINGS,
            "the findings of the rules: judgement 0 is of stage 2's caption, 1, 2, ... of later answers",
            derived_from=("caption",),
        ),
        Column(
            "first_caption",
            STRING,
            "the caption of stage 2, where it differs",
            nullable=True,
            derived_from=("caption",),
        ),
        Column(
            "second_answer_id",
            STRING,
            "the key of the published second answer in the response ledger",
            nullable=True,
            derived_from=(),
        ),
        Column("second_model", STRING, "the model of the second answer", nullable=True, derived_from=()),
        Column(
            "second_prompt_version",
            STRING,
            "content hash of the prompt of the second request",
            nullable=True,
            derived_from=(),
        ),
    ),
)
