"""Accuracy by class name on folds of ESC-10 that a model has not heard, next to guessing.

The clips are the real ones of ESC-10 (a folder with `index.jsonl` and the audio, not part of the project: an
argument, or `../shared/data/esc10`). Without them, nothing is measured. Each fold is tested once: the next
one chooses the epoch, the others are trained on. Settings are the demo's (`PRETRAINED_DEMO`), which were
chosen on the demo's own validation split; nothing is chosen here. A caption is the class and the uploader's
title, as in "Rain: rain on a roof.wav". So the model knows the classes, and has not heard the clips: this is
no open vocabulary.

With `--three`, the three other folds are trained on, but for a tenth of their recordings, which choose the
epoch.

A recording is in one fold only. Twins under two FreeSound numbers (`TWINS`) are taken out of training and
validation when the other one is tested.

    python -m benchmarks.zero_shot [FOLDER]
    python -m benchmarks.zero_shot [FOLDER] --three
    python -m benchmarks.zero_shot [FOLDER] --checkpoint PATH

The last scores a checkpoint on all clips, such as the demo's, which has heard none of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.result import own_peak_mb, report
from wavcaps_assets.benchmark_sets.classes import Classes, classes_named
from wavcaps_assets.tables import BENCHMARK_CLIPS, TRAINING_MANIFEST
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFolder, Clip, FeatureCache, UnreadableClips
from wavcaps_training.evaluation.classification import Classified, Sounds, classify, labelled_clips
from wavcaps_training.evaluation.clip_features import compute_features
from wavcaps_training.evaluation.intervals import interval_of_mean
from wavcaps_training.evaluation.prompts import protocols_for
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.settings.training import PRETRAINED_DEMO
from wavcaps_training.training.train import RunOptions, train

DATA = Path(__file__).parents[2] / "shared" / "data" / "esc10"
SEEDS = (20, 21, 22)
TWINS = ({"30322", "28314"}, {"151085", "151080"}, {"142605", "142601"})
NAME, INDEX = "esc10", "index.jsonl"
# Of the recordings of three folds, the share that chooses the epoch: one in this many.
VALIDATED = 10
# Of ten classes, guessing gets a tenth. A tiny HTSAT from scratch gets a half.
LEAST = 70.0

Rows = Sequence[Mapping[str, Any]]


def benchmark_clips(rows: Rows) -> pa.Table:
    """`tables.BENCHMARK_CLIPS` of the folder's index."""
    return BENCHMARK_CLIPS.from_rows(
        [
            {
                "clip_id": row["id"],
                "benchmark": NAME,
                "version": "1",
                "split": "none",
                "file": row["audio"],
                "captions": [],
                "label": row["label"],
                "fold": row["fold"],
                "freesound_id": row["freesound_id"],
                "audio_path": row["audio"],
                "duration_s": row["duration"],
            }
            for row in rows
        ]
    )


def manifest(rows: Rows, tested: int, validated: int | None) -> pa.Table:
    """`tables.TRAINING_MANIFEST` of the folds that are not tested, without twins of clips that are.

    Args:
        tested: a fold.
        validated: the fold that chooses the epoch; None: a tenth of the recordings of all the others.
    """
    others = sorted({row["freesound_id"] for row in rows if row["fold"] != tested}, key=_drawn)
    drawn = set(others[: len(others) // VALIDATED])
    heard = {row["freesound_id"] for row in rows if row["fold"] == tested}
    twins = {sound for pair in TWINS if pair & heard for sound in pair - heard}
    return TRAINING_MANIFEST.from_rows(
        [
            {
                "clip_id": row["id"],
                "source": NAME,
                "caption": f"{row['label']}: {row['raw_text']}",
                "other_captions": [],
                "audio_path": row["audio"],
                "duration_s": row["duration"],
                "recording": row["freesound_id"],
                "split": "validation" if _chooses(row, validated, drawn) else "train",
            }
            for row in rows
            if row["fold"] != tested and row["freesound_id"] not in twins
        ]
    )


def _drawn(freesound_id: str) -> str:
    return hashlib.sha256(freesound_id.encode()).hexdigest()


def _chooses(row: Mapping[str, Any], validated: int | None, drawn: Container[str]) -> bool:
    return row["freesound_id"] in drawn if validated is None else row["fold"] == validated


def measure(folder: Path, three: bool = False) -> float:
    """The mean accuracy of the trained models, without a prompt. Prints it and others.

    Args:
        three: train on three folds, less a tenth of their recordings.
    """
    rows = read_index(folder)
    classes = classes_named([row["label"] for row in rows], str(folder / INDEX))
    folds = sorted({row["fold"] for row in rows})
    audio, settings = AudioFolder(folder), PRETRAINED_DEMO
    clips = [Clip(row["id"], ("",), row["audio"], row["duration"]) for row in rows]
    network = build_audio_encoder(settings.audio_encoder)
    features = compute_features(network, clips, audio, settings, UnreadableClips("clips", len(clips), 0))
    # By model and protocol: the hits of each seed, of all folds in their order.
    hits: dict[str, list[list[float]]] = {}
    for number, seed in enumerate(SEEDS):
        for place, tested in enumerate(folds):
            split = manifest(rows, tested, None if three else folds[(place + 1) % len(folds)])
            test = [row for row in rows if row["fold"] == tested]
            with tempfile.TemporaryDirectory() as name:
                run = settings.model_copy(update={"seed": seed})
                result = train(split, audio, run, Path(name), RunOptions(features=features))
                for what, weights in (("trained", result.weights), ("untrained", result.untrained_weights)):
                    for one in score(weights, test, classes, Sounds(audio, FeatureCache(features))):
                        of_seeds = hits.setdefault(f"{what}, {one.protocol.name}", [[] for _ in SEEDS])
                        of_seeds[number] += (100.0 * one.answers.correct).tolist()
    ordered = sorted(rows, key=lambda row: row["fold"])
    _, recordings = np.unique([row["freesound_id"] for row in ordered], return_inverse=True)
    of_fold = np.array([row["fold"] for row in ordered])
    for name, of_seeds in hits.items():
        every = np.array(of_seeds)
        means = every.mean(axis=1)
        print(  # noqa: T201
            f"{name}: {means.mean():.1f} ± {means.std(ddof=1):.1f} % over {len(SEEDS)} seeds"
            f"{said(interval_of_mean(every, recordings))}; by fold: "
            + ", ".join(f"{fold}: {every[:, of_fold == fold].mean():.1f}" for fold in folds)
        )
    print(f"chance: {100 / len(classes.labels):.1f} %")  # noqa: T201
    return float(np.mean(hits["trained, paper"]))


def measure_checkpoint(folder: Path, weights: Path) -> None:
    """Prints the accuracy of a checkpoint on all clips."""
    rows = read_index(folder)
    classes = classes_named([row["label"] for row in rows], str(folder / INDEX))
    for one in score(weights, rows, classes, Sounds(AudioFolder(folder))):
        overall = one.accuracies[0]
        print(f"{weights.name}, {one.protocol.name}: {overall.value:.1f} %{said(overall.interval)}")  # noqa: T201


def score(weights: Path, rows: Rows, classes: Classes, sounds: Sounds) -> list[Classified]:
    """A checkpoint's answers, among all classes."""
    model, settings = load_checkpoint(weights)
    labelled = labelled_clips(benchmark_clips(rows), classes)
    return classify(model, settings, labelled, classes, sounds, protocols_for(NAME))


def read_index(folder: Path) -> Rows:
    return [json.loads(line) for line in (folder / INDEX).read_text().splitlines()]


def said(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" (95 % interval {interval[0]:.1f} to {interval[1]:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DATA, help="the clips of ESC-10")
    parser.add_argument("--checkpoint", type=Path, help="score this checkpoint, too")
    parser.add_argument("--three", action="store_true", help="train on three folds")
    arguments = parser.parse_args()
    if not (arguments.folder / INDEX).is_file():
        print(f"nothing was measured: the clips of ESC-10 are not in {arguments.folder}")  # noqa: T201
        return
    if arguments.checkpoint is not None:
        measure_checkpoint(arguments.folder, arguments.checkpoint)
        return
    found = measure(arguments.folder, arguments.three)
    report("zero_shot", found, "% of ESC-10's clips, in folds not heard", "limit", LEAST, own_peak_mb())
    if found < LEAST:
        sys.exit(f"the limit: {LEAST} %")


if __name__ == "__main__":
    main()
