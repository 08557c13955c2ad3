"""Zero-shot classification scores of a checkpoint on the clips of a benchmark."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavcaps_assets.benchmark_sets.classes import Classes, classes_of
from wavcaps_assets.show.matrices import confusion_figure
from wavcaps_assets.show.plots import as_markdown
from wavcaps_assets.show.previews import preview
from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFiles
from wavcaps_training.evaluation.classification import (
    Classified,
    LabelledClips,
    Sounds,
    classify,
    labelled_clips,
)
from wavcaps_training.evaluation.prompts import protocols_for
from wavcaps_training.evaluation.zero_shot import CLASS, OVERALL, confusion_matrix, most_confused
from wavcaps_training.models.device import device_name
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import CHANCE, TRAINED, Scored

PAIRS_SHOWN = 30

logger = logging.getLogger(__name__)


def score_classification(weights: Path, part: ScoredPart, store: Store, device: str, name: str) -> Scored:
    """Accuracies under each protocol, next to chance; the arguments are those of `ScoringTask.score`.

    Args:
        name: of one protocol; empty: all of them.
    """
    model, settings = load_checkpoint(weights, device)
    classes = classes_of(part.listed, part.benchmark, store)
    if len(classes.labels) < classes.official:
        logger.warning(
            "the lists of %s have %d of %d classes: with fewer classes, the score is too high to compare it "
            "with others",
            part.benchmark,
            len(classes.labels),
            classes.official,
        )
    labelled = labelled_clips(part.listed, classes)
    protocols = [one for one in protocols_for(part.benchmark) if name in ("", one.name)]
    found = classify(model, settings, labelled, classes, Sounds(AudioFiles(store)), protocols)
    first = found[0]
    counts = {
        "classes": len(classes.labels),
        "official_classes": classes.official or None,
        "unknown_labels": len(labelled.unknown),
    }
    rows = [row for one in found for row in _chance(one, classes)]
    for one in found:
        rows += _rows(one, classes, one.protocol.sentence(settings))
    return Scored(
        rows=[{**row, **counts} for row in rows],
        clip_ids=[clip.clip_id for clip in labelled.clips if clip.clip_id not in first.unreadable],
        protocol_name=first.protocol.name.value,
        protocol=first.protocol.sentence(settings),
        device=device_name(model.device),
        figures=_figures(first, classes, labelled),
    )


def _chance(found: Classified, classes: Classes) -> Iterator[Mapping[str, Any]]:
    """What guessing scores, in the rows that people compare with it."""
    for row in found.accuracies:
        if row.scope == OVERALL:
            yield {
                "model": CHANCE,
                "protocol_name": found.protocol.name.value,
                "scope": OVERALL,
                "group": "",
                "metric": row.metric,
                "value": 100.0 / len(classes.labels),
                "unreadable": len(found.unreadable),
            }


def _rows(found: Classified, classes: Classes, sentence: str) -> Iterator[Mapping[str, Any]]:
    matrix = confusion_matrix(found.answers, len(classes.labels))
    for row in found.accuracies:
        low, high = row.interval or (None, None)
        answers = None
        if row.scope == CLASS:
            given = matrix[classes.labels.index(row.group)]
            answers = [
                {"class": classes.labels[place], "clips": int(given[place])}
                for place in np.flatnonzero(given)
            ]
        yield {
            "model": TRAINED,
            "protocol_name": found.protocol.name.value,
            "protocol": sentence,
            "prompt": found.protocol.prompt,
            "scope": row.scope,
            "group": row.group,
            "metric": row.metric,
            "value": row.value,
            "low": low,
            "high": high,
            "clips": row.clips,
            "recordings": row.recordings,
            "answers": answers,
            "ties": found.answers.ties if row.scope == OVERALL else None,
            "unreadable": len(found.unreadable),
        }


def _figures(found: Classified, classes: Classes, labelled: LabelledClips) -> Mapping[str, str]:
    matrix = confusion_matrix(found.answers, len(classes.labels))
    name = found.protocol.name
    return {
        f"confusion matrix, {name}": as_markdown(confusion_figure(matrix, classes.names)),
        f"confused most, {name}": preview(_confused(matrix, classes), rows=PAIRS_SHOWN),
        "classes": _said(classes, labelled, found),
    }


def _confused(matrix: np.ndarray, classes: Classes) -> pa.Table:
    pairs = most_confused(matrix, PAIRS_SHOWN)
    return pa.table(
        {
            "class": [classes.labels[pair.truth] for pair in pairs],
            "answered": [classes.labels[pair.answered] for pair in pairs],
            "clips": [pair.clips for pair in pairs],
            "% of the class": [round(100 * pair.share) for pair in pairs],
        }
    )


def _said(classes: Classes, labelled: LabelledClips, found: Classified) -> str:
    """What people must know of the candidates, in a few sentences."""
    here = len(np.unique(found.answers.truth))
    official = f" of {classes.official} official" if classes.official else ""
    few = len(classes.labels) < classes.official
    return (
        f"{len(classes.labels)}{official} classes could be answered"
        + (": with fewer classes, the score is too high to compare it with others. " if few else ". ")
        + f"{here} of them have clips here. {len(labelled.unknown)} clips have a label that is no class. "
        f"{found.answers.ties} clips tie with another class."
    )
