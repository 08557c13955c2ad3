"""The tables of captioning scores on a benchmark, and of the captions that were scored."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING
from wavcaps_training.tables.score_columns import benchmark_scores

# The captions that were scored: `generated_captions/<benchmark>/<digits of the weights' hash>/<protocol>`.
GENERATED_CAPTIONS_FOLDER = "generated_captions"
OF_CAPTION = ("weights_path", "audio_path")

BENCHMARK_CAPTIONING = benchmark_scores(
    "benchmark_captioning",
    "Captions of a benchmark's clips, compared with those of people: BLEU-1 to BLEU-4, ROUGE-L, METEOR 1.5, "
    "CIDEr-D, SPICE, SPIDEr, SPIDEr-FL, FENSE and fluency errors times 100, as in the paper, and how many "
    "words and captions differ.",
    more=(
        Column(
            "note",
            STRING,
            "why a score was not measured, and where to get what it needs; or why it has no interval",
            nullable=True,
            derived_from=(),
            is_data=False,
        ),
        Column(
            "references", pa.int32(), "reference captions of the scored clips", derived_from=("captions",)
        ),
        Column(
            "without_reference",
            pa.int32(),
            "clips that were left out, because they have no reference caption with a word",
            derived_from=("captions",),
        ),
        Column(
            "empty_references",
            pa.int32(),
            "reference captions without a word, which were left out",
            derived_from=("captions",),
        ),
        Column(
            "empty_captions",
            pa.int32(),
            "clips whose generated caption has no word; they are scored as they are",
            derived_from=OF_CAPTION,
        ),
        Column(
            "captions_table",
            STRING,
            "the asset key of the table with the captions that were scored",
            derived_from=("weights_path",),
        ),
    ),
)

# The columns of the scores that a clip has, and the scores' names.
SCORES_OF_CLIP = {
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "spider_fl": "SPIDEr-FL",
    "fense": "FENSE",
    "fluency_error": "fluency errors",
}

GENERATED_CAPTIONS = TableSchema(
    "generated_captions",
    "A model's captions of a benchmark's clips, next to those of people, with the scores that a clip has.",
    (
        Column("clip_id", STRING, "the clip"),
        Column("caption", STRING, "the generated caption", derived_from=OF_CAPTION),
        Column("references", pa.list_(STRING), "the captions that people wrote", derived_from=("captions",)),
        *(
            Column(
                name,
                pa.float64(),
                f"{title} of this clip, times 100; null: not measured, or the clip has no reference",
                nullable=True,
                derived_from=(*OF_CAPTION, "captions"),
            )
            for name, title in SCORES_OF_CLIP.items()
        ),
        Column("checkpoint_sha256", STRING, "a hash of the weights", derived_from=("weights_path",)),
        Column("protocol", STRING, "how the captions were made", derived_from=()),
    ),
    key=("clip_id",),
)
