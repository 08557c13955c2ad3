"""The scores of 975 captions with five references each, next to pycocoevalcap's own run of the same metrics.

`python -m benchmarks.caption_scores` scores captions that are drawn here, or, with `--list FILE`, the first
human caption of each clip of a list like AudioCaps' test.csv against the others. Ours computes intervals too.
Exits 1 if ours takes longer than pycocoevalcap (tokens, BLEU, METEOR, ROUGE-L, CIDEr-D), or finds others.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import children_peak_mb, report
from wavcaps_training.evaluation.caption_scores.java import java
from wavcaps_training.evaluation.caption_scores.scoring import score_captions
from wavcaps_training.models.text import clean_caption

CLIPS, REFERENCES = 975, 5
RUNS = 3
NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D")
SAME = 1e-9
SUBJECTS = (
    "a dog",
    "a man",
    "a woman",
    "an engine",
    "a crowd",
    "rain",
    "water",
    "a bird",
    "thunder",
    "a car",
)
VERBS = ("barks", "speaks", "idles", "cheers", "falls", "splashes", "chirps", "rumbles", "passes by", "hums")
ENDS = ("loudly", "in the distance", "nearby", "then stops", "over and over", "while wind blows", "", "")


def main() -> None:
    """Measures ours and pycocoevalcap's in turn, and prints the fastest run of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", type=Path)
    wanted = parser.parse_args()
    captions, references = listed(wanted.list) if wanted.list else drawn()
    os.environ["PATH"] = f"{java().parent}{os.pathsep}{os.environ['PATH']}"
    ours, theirs = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        found = score_captions(captions, references)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        expected = cocos(captions, references)
        theirs.append(time.perf_counter() - start)
    values = {name: score.value or 0.0 for name, score in found.scores.items()}
    worst = max(abs(values[name] - value) for name, value in expected.items())
    for name, value in expected.items():
        print(f"{name}: {values[name]:.4f}, pycocoevalcap {value:.4f}")  # noqa: T201
    report("scores of captions", min(ours), "s", "pycocoevalcap", min(theirs), children_peak_mb())
    if worst > SAME:
        sys.exit(f"a score differs from pycocoevalcap's by {worst}")
    sys.exit(min(ours) > min(theirs))


def cocos(captions: dict[str, str], references: dict[str, list[str]]) -> dict[str, float]:
    """pycocoevalcap's own scores, times 100, of captions and cleaned references."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    with contextlib.redirect_stdout(io.StringIO()):
        known = tokenizer.tokenize(
            {clip: [{"caption": clean_caption(text)} for text in own] for clip, own in references.items()}
        )
        written = tokenizer.tokenize({clip: [{"caption": text}] for clip, text in captions.items()})
        scorers: tuple[Any, ...] = (Bleu(4), Meteor(), Rouge(), Cider())
        values = [scorer.compute_score(known, written)[0] for scorer in scorers]
    flat = [*values[0], *values[1:]]
    return {name: 100 * float(value) for name, value in zip(NAMES, flat, strict=True)}


def listed(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The first caption of each clip of a list, and the others."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["file_name"]: [row[f"caption_{n}"] for n in range(1, 6)] for row in csv.DictReader(file)}
    return {clip: own[0] for clip, own in rows.items()}, {clip: own[1:] for clip, own in rows.items()}


def drawn() -> tuple[dict[str, str], dict[str, list[str]]]:
    """Captions of about ten words, and five references for each."""
    generator = np.random.default_rng(0)

    def caption() -> str:
        parts = [" ".join(generator.choice(words) for words in (SUBJECTS, VERBS, ENDS)) for _ in range(2)]
        return " and ".join(parts).strip().capitalize() + "."

    clips = [f"clip-{number}" for number in range(CLIPS)]
    return {clip: caption().lower() for clip in clips}, {
        clip: [caption() for _ in range(REFERENCES)] for clip in clips
    }


if __name__ == "__main__":
    main()
