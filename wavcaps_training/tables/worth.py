"""Tables of what changes of the data are worth."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

WORTH_KEY = ("worth",)
WORTH_EMBEDDINGS_KEY = ("worth", "embeddings")

_SCORES = ("weights_path", "audio_path", "caption", "split")


def _score(name: str, meaning: str) -> Column:
    return Column(name, pa.float64(), meaning, nullable=True, derived_from=_SCORES)


def _count(name: str, meaning: str) -> Column:
    return Column(name, pa.int32(), meaning, derived_from=("caption", "split"))


WORTH = TableSchema(
    "worth",
    "What a change of the data does to retrieval: the same model trained on two sets with several seeds, and "
    "the paired difference of its scores on the same test clips and reference captions.",
    (
        Column("before", STRING, "the first side, such as `v1-1a2b3c4d`", derived_from=()),
        Column("after", STRING, "the second side", derived_from=()),
        Column("references", STRING, "whose captions the test clips are searched by", derived_from=()),
        Column(
            "decides",
            pa.bool_(),
            "whether the conclusion is drawn from it: R@k of both directions with the chosen references",
            derived_from=(),
        ),
        Column(
            "direction", STRING, "`text_to_audio`, `audio_to_text`, or `both`: their mean", derived_from=()
        ),
        Column("metric", STRING, "`R@1`, `R@5` or `R@10`", derived_from=()),
        _score("before_value", "the score of the first side, the mean over seeds (%); null: identical sides"),
        _score("before_low", "lower end of its 95 % bootstrap interval over recordings and seeds (%)"),
        _score("before_high", "upper end of that interval (%)"),
        _score("after_value", "the score of the second side, the mean over seeds (%)"),
        _score("after_low", "lower end of its 95 % bootstrap interval over recordings and seeds (%)"),
        _score("after_high", "upper end of that interval (%)"),
        _score("chance", "what guessing scores (%)"),
        _score("difference", "after minus before (percentage points)"),
        _score("low", "lower end of its 95 % interval, by recordings and seeds as crossed factors"),
        _score("high", "upper end of that interval"),
        _score("bootstrap_low", "lower end of its 95 % bootstrap interval, of the same resamples"),
        _score("bootstrap_high", "upper end of that interval"),
        _score("p", "of no difference, two-sided, by the same factors"),
        _score("p_corrected", "corrected for all conclusions of this table (Holm); null: none is drawn"),
        _score(
            "detectable",
            "the smallest difference that is found in 80 % of cases (percentage points); null: not known, "
            "because both sides score the same with every seed, or nothing was trained",
        ),
        _count("seeds", "seeds of each side; 0: the sides are identical, and nothing was trained"),
        _count("clips", "test clips"),
        _count("recordings", "recordings that these are from"),
        _count("train_before", "clips that the first side is trained on"),
        _count("train_after", "clips that the second side is trained on"),
        _count("added", "train and validation clips of the second side only"),
        _count("removed", "train and validation clips of the first side only"),
        _count("recaptioned", "train and validation clips with another caption"),
        Column("model", STRING, "the model that is trained, such as `aisfx_minilm/demo`", derived_from=()),
        Column(
            "before_sha256", STRING, "a hash of what the first side is trained on", derived_from=("caption",)
        ),
        Column(
            "after_sha256", STRING, "a hash of what the second side is trained on", derived_from=("caption",)
        ),
    ),
    key=("before", "after", "references", "direction", "metric"),
)
