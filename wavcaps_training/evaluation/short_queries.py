"""How well short queries find their clip: people type two words, and models are scored with sentences.

The rule: a query of two words is made of the first two content words of the clip's caption, in their order.
Not content are spaCy's English stop words, numbers, single letters, and words that only say that there is a
sound (`EMPTY_WORDS`). A caption with one content word gives a query of one; one without gives none.

A query finds its clip only if that very clip is ranked first, as in `retrieval`. Two words fit many clips,
so even a perfect model cannot reach 100 %: `shared` counts the queries whose words are all in another clip's
caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.rules.reading import words_of
from wavcaps_training.evaluation.guessing import chance_map10, chance_median_rank, chance_recall
from wavcaps_training.evaluation.intervals import intervals
from wavcaps_training.evaluation.ranking import DEPTHS, MAP_DEPTH, TIE, DirectionScores

WHOLE_CAPTION, TWO_WORDS = "caption", "two_words"
# Kinds of further captions that a person could have typed.
KINDS = ("query", "tags", "short")
NO_INTERVAL: tuple[None, None] = (None, None)
EMPTY_WORDS = frozenset(
    {"sound", "sounds", "noise", "noises", "audio", "recording", "heard", "hear", "background"}
)


@dataclass(frozen=True)
class Queries:
    """Queries of one kind.

    Attributes:
        kind: of the queries, as in `tables.QUERY_SCORES`.
        texts: the queries.
        clips: (queries,) the row of the clip that each one is for.
        shared: how many have only words that another clip's caption has too.
    """

    kind: str
    texts: list[str]
    clips: np.ndarray
    shared: int


def two_words(caption: str) -> str:
    """The first two content words of a caption; empty: it has none."""
    from spacy.lang.en.stop_words import STOP_WORDS

    content = [
        word
        for word in words_of(caption)
        if len(word) > 1 and word.isalpha() and word not in STOP_WORDS and word not in EMPTY_WORDS
    ]
    return " ".join(list(dict.fromkeys(content))[:2])


def queries_of(clips: pa.Table) -> list[Queries]:
    """The queries for some clips: whole captions, two words, and further captions.

    Args:
        clips: `caption` and `other_captions` of `tables.MANIFEST`.
    """
    captions = clips["caption"].to_pylist()
    texts: dict[str, list[tuple[int, str]]] = {
        WHOLE_CAPTION: list(enumerate(captions)),
        TWO_WORDS: [(row, two_words(caption)) for row, caption in enumerate(captions)],
    }
    for row, further in enumerate(clips["other_captions"].to_pylist()):
        for one in further or ():
            if one["kind"] in KINDS:
                texts.setdefault(one["kind"], []).append((row, one["text"]))
    stems = [_stems(caption) for caption in captions]
    found = []
    for kind in (WHOLE_CAPTION, TWO_WORDS, *KINDS):
        some = [(row, text) for row, text in texts.get(kind, []) if text.strip()]
        if some:
            shared = sum(_fits_another(_stems(text), row, stems) for row, text in some)
            found.append(
                Queries(kind, [text for _, text in some], np.array([row for row, _ in some]), shared)
            )
    return found


def score_queries(
    queries: Queries, texts: np.ndarray, sounds: np.ndarray, recordings: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The rows of `tables.QUERY_SCORES` for queries of one kind.

    Ties are broken against the model, as in `ranking`.

    Args:
        queries: the queries.
        texts: (queries, dim) their unit vectors.
        sounds: (clips, dim) the unit vectors of all clips.
        recordings: (clips,) the recording of each clip; the intervals draw recordings.
    """
    similarity = texts @ sounds.T
    own = similarity[np.arange(len(texts)), queries.clips]
    reached = np.count_nonzero(similarity >= own[:, None] - TIE, axis=1)
    # The clip itself reaches its own similarity.
    ranks = reached - 1
    scores = DirectionScores(ranks, np.where(ranks < MAP_DEPTH, 1 / (ranks + 1), 0.0))
    values = {f"R@{k}": scores.recall_at(k) for k in DEPTHS}
    values |= {"mAP@10": scores.map10, "median rank": scores.median_rank}
    number = len(sounds)
    chances = {f"R@{k}": chance_recall(number, k) for k in DEPTHS}
    chances |= {"mAP@10": chance_map10(number), "median rank": chance_median_rank(number)}
    _, recording_of_query = np.unique([recordings[row] for row in queries.clips], return_inverse=True)
    found = intervals(scores, recording_of_query, DEPTHS)
    about = {
        "query": queries.kind,
        "queries": len(queries.texts),
        "clips": number,
        "words": float(np.mean([len(text.split()) for text in queries.texts])),
        "shared": queries.shared,
        "example": queries.texts[0],
    }
    return [
        {
            **about,
            "metric": metric,
            "value": value,
            "low": found.get(metric, NO_INTERVAL)[0],
            "high": found.get(metric, NO_INTERVAL)[1],
            "chance": chances[metric],
        }
        for metric, value in values.items()
    ]


def test_clips(manifest: pa.Table, published: pa.Table) -> tuple[pa.Table, list[str]]:
    """The published clips of the test split, and their recordings.

    Args:
        manifest: `tables.TRAINING_MANIFEST`.
        published: `tables.MANIFEST`.
    """
    test = manifest.filter(pc.equal(manifest["split"], "test"))
    place = pc.index_in(test["clip_id"], value_set=published["clip_id"].combine_chunks())
    there = pc.is_valid(place)
    return published.take(place.filter(there)), test["recording"].filter(there).to_pylist()


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words_of(text))


def _fits_another(words: frozenset[str], row: int, stems: Sequence[frozenset[str]]) -> bool:
    return any(words <= other for place, other in enumerate(stems) if place != row)
