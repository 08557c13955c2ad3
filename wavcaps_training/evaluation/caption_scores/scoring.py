"""The scores of captions of a test set, by the tools that the field reports (Tables VI and X).

References are cleaned as in the released code; then captions and references become the words of Stanford's
tokenizer, which BLEU, ROUGE-L, METEOR, CIDEr-D and SPICE compare. FENSE reads captions as they were written.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wavcaps_training.evaluation.caption_scores import coco
from wavcaps_training.evaluation.caption_scores.judged import judged
from wavcaps_training.evaluation.caption_scores.meteor import meteor, meteor_counts
from wavcaps_training.evaluation.caption_scores.ptb_tokens import ptb_tokens
from wavcaps_training.evaluation.caption_scores.resampling import Resampling
from wavcaps_training.models.text import clean_caption

NAMES_SHOWN = 5

logger = logging.getLogger(__name__)


class NothingToCompare(ValueError):
    """There are no captions, or none with a reference."""


@dataclass(frozen=True)
class Score:
    """One score of a test set, in percent; a number of words or of captions.

    Attributes:
        value: None: it was not measured.
        low: lower end of the 95 % bootstrap interval; None: there is none.
        high: upper end.
        note: why it was not measured or has no interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None


@dataclass
class CaptioningScores:
    """The scores of a test set.

    Attributes:
        scores: by the names in `tables.CAPTIONING_SCORES`.
        clip_ids: the clips that were scored.
        per_clip: of these clips, in the same order, the scores that each clip has, in percent: (clips,).
        references: how many reference captions they have.
        empty: clips whose caption has no word; they are scored as they are.
        without_reference: clips without a reference caption that has a word; they are left out.
        empty_references: reference captions without a word, which are left out.
    """

    scores: dict[str, Score] = field(default_factory=dict)
    clip_ids: list[str] = field(default_factory=list)
    per_clip: dict[str, np.ndarray] = field(default_factory=dict)
    references: int = 0
    empty: int = 0
    without_reference: list[str] = field(default_factory=list)
    empty_references: int = 0


def score_captions(
    generated: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    files: Path | None = None,
    device: str = "cpu",
    recordings: Mapping[str, str] | None = None,
) -> CaptioningScores:
    """Scores one caption for each clip against the references of the same clip.

    Args:
        generated: captions, by clip id.
        references: one or several for each clip, by clip id. Those of other clips are not used.
        files: the folder of metric files; without it, SPICE, FENSE and what needs them are not measured.
        device: of FENSE's models: `cpu` or `cuda`.
        recordings: the recording of each clip, by clip id; None: each clip is one.

    Raises:
        NothingToCompare: there are no captions, or none of their clips has a reference.
        JavaError: the tokenizer or METEOR is missing or failed.
    """
    if not generated:
        raise NothingToCompare("there are no captions to score")
    clip_ids = sorted(generated)
    own = {clip_id: references.get(clip_id, ()) for clip_id in clip_ids}
    words = _words([*generated.values(), *(clean_caption(text) for texts in own.values() for text in texts)])
    known = {
        clip_id: [text for text in texts if words[clean_caption(text)]] for clip_id, texts in own.items()
    }
    result = CaptioningScores(
        clip_ids=[clip_id for clip_id in clip_ids if known[clip_id]],
        references=sum(map(len, known.values())),
        without_reference=[clip_id for clip_id in clip_ids if not known[clip_id]],
        empty_references=sum(map(len, own.values())) - sum(map(len, known.values())),
    )
    if not result.clip_ids:
        raise NothingToCompare(f"none of the {len(clip_ids)} clips with a caption has a reference caption")
    if result.without_reference:
        logger.warning(
            "%d clips have no reference caption and are left out, such as %s",
            len(result.without_reference),
            ", ".join(result.without_reference[:NAMES_SHOWN]),
        )
    written = [generated[clip_id] for clip_id in result.clip_ids]
    as_written = [known[clip_id] for clip_id in result.clip_ids]
    captions = [words[text] for text in written]
    compared = [[words[clean_caption(text)] for text in texts] for texts in as_written]
    result.empty = captions.count("")
    if result.empty:
        logger.warning("%d of %d captions have no word, and get 0", result.empty, len(captions))
    recording = recordings or {}
    resampling = Resampling([recording.get(clip_id) or clip_id for clip_id in result.clip_ids])
    # METEOR is a process of its own. It is started from here, so that an interrupt ends it.
    with ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(_add_coco, result, captions, compared, resampling)
        counts = meteor_counts(captions, compared)
        meanwhile.result()
    _add_meteor(result, counts, resampling)
    cider_d = result.per_clip["CIDEr-D"] / 100
    for score in judged((captions, compared), (written, as_written), cider_d, files, device):
        if score.values is None:
            result.scores[score.name] = Score(None, note=score.note)
        else:
            _add_mean(result, score.name, score.values, resampling)
    _add_variety(result, captions)
    return result


def _words(texts: Sequence[str]) -> dict[str, str]:
    """The words of each text; equal texts are tokenized once."""
    distinct = sorted(set(texts))
    return dict(zip(distinct, ptb_tokens(distinct), strict=True))


def _add_mean(result: CaptioningScores, name: str, values: np.ndarray, resampling: Resampling) -> None:
    """A score that is the mean over clips, from 0 to 1 for each."""
    result.per_clip[name] = 100 * values
    low, high = resampling.of_mean(100 * values)
    result.scores[name] = Score(float(100 * values.mean()), low, high)


def _add_coco(
    result: CaptioningScores,
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    resampling: Resampling,
) -> None:
    counts = coco.bleu_counts(captions, references)
    values = coco.bleu(counts.sum(axis=0))
    ends = resampling.of_counts(counts, lambda sums: 100 * coco.bleu(sums))
    for order, (value, (low, high)) in enumerate(zip(values.tolist(), ends, strict=True), 1):
        result.scores[f"BLEU-{order}"] = Score(100 * value, low, high)
    _add_mean(result, "ROUGE-L", coco.rouge_l(captions, references), resampling)
    _add_mean(result, "CIDEr-D", coco.cider_d(captions, references), resampling)


def _add_meteor(result: CaptioningScores, counts: np.ndarray, resampling: Resampling) -> None:
    result.per_clip["METEOR"] = 100 * meteor(counts)
    (interval,) = resampling.of_counts(counts, lambda sums: 100 * meteor(sums))
    result.scores["METEOR"] = Score(float(100 * meteor(counts.sum(axis=0))), *interval)


def _add_variety(result: CaptioningScores, captions: Sequence[str]) -> None:
    why = "no interval: clips drawn twice add no words"
    words = {word for caption in captions for word in caption.split()}
    result.scores["vocabulary"] = Score(float(len(words)), note=why)
    result.scores["different captions"] = Score(float(len(set(captions))), note=why)
