"""Captioning scores of a checkpoint on the clips of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from wavcaps_assets.show.previews import preview
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin, read_weights
from wavcaps_training.checkpoints.weights import weights_sha256
from wavcaps_training.data import AudioFiles, Clip
from wavcaps_training.evaluation.caption_scores.java import require_java
from wavcaps_training.evaluation.caption_scores.scoring import (
    CaptioningScores,
    NothingToCompare,
    score_captions,
)
from wavcaps_training.evaluation.generated_captions import CaptionLog, caption_clips
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.models.device import device_name
from wavcaps_training.scoring.retrieval import clips_to_score
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import TRAINED, Scored
from wavcaps_training.settings.captioner import GenerationSettings
from wavcaps_training.settings.metric_files import MetricFiles
from wavcaps_training.tables import GENERATED_CAPTIONS, GENERATED_CAPTIONS_FOLDER, SCORES_OF_CLIP

# Digits of the weights' hash in the name of the table of their captions.
DIGITS = 16
CAPTIONS_SHOWN = 20
COMPARED = (
    "references are cleaned as in the released code; words are those of Stanford's PTB tokenizer; METEOR is "
    "version 1.5"
)


def score_captioning(weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
    """Generates a caption for each clip and scores it; the arguments are those of `ScoringTask.score`.

    Captions that a stopped run has generated are used. The captions and their scores are written as the table
    `generated_captions/<benchmark>/<weights>/<protocol>`.

    Raises:
        JavaError: the tokenizer or METEOR is missing or failed.
        StoreError: the captions cannot be written.
    """
    clips = clips_to_score(part.clips)
    if not any(text.strip() for clip in clips for text in clip.captions):
        raise NothingToScore(f"the benchmark {part.benchmark!r} has no captions to compare with")
    # Before the captions are generated, which takes long.
    require_java()
    model, settings = load_checkpoint(weights, device, task="captioning")
    sha256 = read_origin(weights).weights_sha256 or weights_sha256(read_weights(weights))
    wanted = PROTOCOLS[ProtocolName(protocol)]
    log = CaptionLog(store, sha256, wanted.settings(settings))
    written = caption_clips(model, clips, AudioFiles(store), settings, protocol=wanted, log=log)
    try:
        found = score_captions(
            written,
            {clip.clip_id: clip.captions for clip in clips},
            files=MetricFiles().folder,
            device=device,
            recordings={clip.clip_id: clip.recording for clip in clips},
        )
    except NothingToCompare as error:
        raise NothingToScore(f"the benchmark {part.benchmark!r}: {error}") from error
    how = f"{_search(settings.model.generation)}; {wanted.heard(settings)}; {COMPARED}"
    table = captions_table(clips, written, found, sha256, how)
    key = (GENERATED_CAPTIONS_FOLDER, part.benchmark, sha256[:DIGITS], protocol)
    TableStore(store).write(key, WHOLE, table)
    log.remove()
    counts = {
        "unreadable": len(clips) - len(written),
        "references": found.references,
        "without_reference": len(found.without_reference),
        "empty_references": found.empty_references,
        "empty_captions": found.empty,
        "captions_table": "/".join(key),
    }
    rows = [
        {
            "model": TRAINED,
            "metric": name,
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "note": score.note,
            **counts,
        }
        for name, score in found.scores.items()
    ]
    return Scored(
        rows=rows,
        clip_ids=found.clip_ids,
        protocol_name=protocol,
        protocol=how,
        device=device_name(next(model.parameters()).device),
        figures={"captions": _shown(table, found), **_not_measured(found)},
    )


def captions_table(
    clips: Sequence[Clip], written: Mapping[str, str], found: CaptioningScores, sha256: str, how: str
) -> pa.Table:
    """`tables.GENERATED_CAPTIONS`, in the clips' order.

    Args:
        clips: that were captioned, with their references.
        written: captions, by clip id.
        found: their scores.
        sha256: of the weights.
        how: the protocol, in one sentence.
    """
    scored = {clip_id: place for place, clip_id in enumerate(found.clip_ids)}
    return GENERATED_CAPTIONS.from_rows(
        [
            {
                "clip_id": clip.clip_id,
                "caption": written[clip.clip_id],
                "references": list(clip.captions),
                **{
                    column: float(found.per_clip[name][scored[clip.clip_id]])
                    if name in found.per_clip and clip.clip_id in scored
                    else None
                    for column, name in SCORES_OF_CLIP.items()
                },
                "checkpoint_sha256": sha256,
                "protocol": how,
            }
            for clip in clips
            if clip.clip_id in written
        ]
    )


def _search(generation: GenerationSettings) -> str:
    search = f"beam search with {generation.beams} beams" if generation.beams > 1 else "greedy search"
    tokens = f"{generation.min_tokens} to {generation.max_tokens} tokens"
    return f"{search}, {tokens}, no {generation.no_repeat_ngram} tokens twice"


def _shown(table: pa.Table, found: CaptioningScores) -> str:
    """Captions next to their references, the lowest CIDEr-D first."""
    rows = preview(
        table.sort_by([("cider_d", "ascending")]),
        ["clip_id", "caption", "references", "cider_d", "meteor"],
        CAPTIONS_SHOWN,
    )
    return f"{found.empty} of {len(found.clip_ids)} captions have no word.\n\n{rows}" if found.empty else rows


def _not_measured(found: CaptioningScores) -> dict[str, str]:
    """Which scores were not measured, and why, as a Markdown list."""
    lines = [f"- {name}: {score.note}" for name, score in found.scores.items() if score.value is None]
    return {"not measured": "\n".join(lines)} if lines else {}
